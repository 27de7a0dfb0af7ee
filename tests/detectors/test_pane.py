"""Panes: additive statistics."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.batch import (
    STATUS_UNKNOWN,
    CategoryColumn,
    NumberColumn,
    PredictionBatch,
    Schema,
)
from detectors.columns.category_counts import NEW_NAMES_MAX, CategoryCounts
from detectors.columns.number_counts import NumberCounts
from detectors.columns.row_counts import RowCounts
from detectors.kinds import measure
from detectors.windows.pane import Pane, PaneError, PaneReferenceError
from tests.detectors.batches import batch_of, batches, reference_of

if TYPE_CHECKING:
    from random import Random


REFERENCE = reference_of(
    {
        "x": NumberColumn(np.array([-2.0, 0.0, 0.0, 1.0, 3.0])),
        "c": CategoryColumn(["a", "a", "b", None, "b"]),
    }
)
OTHER_REFERENCE = reference_of({"x": NumberColumn(np.array([1.0, 2.0]))})
SCHEMA = Schema({"x": "number", "c": "category", "unknown": "number"})
SCHEMAS = st.sampled_from([SCHEMA, Schema({})])


def pane_of(*parts: PredictionBatch, schema: Schema = SCHEMA) -> Pane:
    pane = Pane(REFERENCE, schema)
    for part in parts:
        pane.add(part)
    return pane


@given(st.lists(batches(), max_size=5), st.randoms(use_true_random=False), SCHEMAS)
def test_merging_panes_equals_counting_all_rows_in_one_in_any_order(
    parts: list[PredictionBatch], random: Random, schema: Schema
) -> None:
    shuffled = list(parts)
    random.shuffle(shuffled)

    merged = Pane(REFERENCE, schema)
    for part in shuffled:
        merged.merge(pane_of(part, schema=schema))

    assert merged.encode() == pane_of(*parts, schema=schema).encode()


@given(batches(rows_max=30), st.lists(st.integers(0, 30), max_size=4))
def test_cutting_a_batch_changes_nothing(batch: PredictionBatch, cuts: list[int]) -> None:
    edges = sorted({0, batch.rows, *(min(cut, batch.rows) for cut in cuts)})
    cut = Pane(REFERENCE, SCHEMA)

    for start, stop in pairwise(edges):
        cut.add(batch, slice(start, stop))

    assert cut.encode() == pane_of(batch).encode()


@given(batches(rows_max=20))
def test_rows_may_be_given_by_index(batch: PredictionBatch) -> None:
    odd, even = np.arange(1, batch.rows, 2), np.arange(0, batch.rows, 2)
    pane = Pane(REFERENCE, SCHEMA)

    pane.add(batch, odd)
    pane.add(batch, even)

    assert pane.encode() == pane_of(batch).encode()


@given(st.lists(batches(), min_size=1, max_size=4), st.lists(batches(), max_size=3))
def test_a_restored_pane_goes_on_as_if_nothing_had_happened(
    before: list[PredictionBatch], after: list[PredictionBatch]
) -> None:
    pane = pane_of(*before)

    restored = Pane.decode(pane.encode(), REFERENCE, SCHEMA)
    for part in after:
        restored.add(part)

    assert restored.encode() == pane_of(*before, *after).encode()


@given(st.lists(batches(), min_size=1, max_size=4))
def test_a_sum_leaves_its_panes_as_they_were(parts: list[PredictionBatch]) -> None:
    panes = [pane_of(part) for part in parts]
    before = [pane.encode() for pane in panes]

    total = Pane.sum(panes)

    assert total.encode() == pane_of(*parts).encode()
    assert [pane.encode() for pane in panes] == before


def test_a_row_of_a_request_that_carries_no_status_is_no_request() -> None:
    pane = pane_of(
        batch_of(
            [1.0, 2.0, 3.0, 4.0],
            status=[200, 0, 404, 503],
            weight=[2.0, 2.0, 10.0, 1.0],
            latency_ms=[5.0, np.nan, 7.0, np.nan],
        )
    )

    assert (pane.events, pane.requests, pane.errors, pane.weight) == (4, 3, 2, 13.0)
    assert pane.statuses == {2: 1, 4: 1, 5: 1}
    assert (pane.first_ts, pane.last_ts) == (1.0, 4.0)
    assert pane.latency["model"].n == 2


def test_latency_kinds_are_never_mixed() -> None:
    pane = pane_of(
        batch_of([1.0], latency_ms=[1.0], latency_kind="model"),
        batch_of([1.0], latency_ms=[9.0], latency_kind="client"),
    )

    assert {kind: histogram.n for kind, histogram in pane.latency.items()} == {
        "model": 1,
        "client": 1,
    }


def test_a_row_without_a_watched_column_is_missing_in_it() -> None:
    pane = pane_of(batch_of([1.0, 2.0]), batch_of([3.0], {"x": NumberColumn(np.array([0.0]))}))

    counts = pane.columns["x"]
    assert (counts.rows, counts.missing) == (1, 2)


def test_without_a_reference_rows_missing_and_invalid_are_still_counted() -> None:
    pane = Pane(None, Schema({}))

    pane.add(batch_of([1.0] * 3, {"x": NumberColumn(np.array([1.0, np.nan, np.nan]), (1,))}))

    counts = pane.columns["x"]
    assert isinstance(counts, RowCounts)
    assert (counts.rows, counts.missing, counts.invalid) == (1, 1, 1)


def test_values_of_another_kind_than_the_references_are_invalid() -> None:
    pane = pane_of(batch_of([1.0, 2.0], {"x": CategoryColumn(["a", "b"])}))

    assert (pane.columns["x"].rows, pane.columns["x"].invalid) == (0, 2)


def test_one_outlier_moves_nothing_but_its_own_row() -> None:
    rows = np.array([0.0, 1.0, 2.0])
    usual = pane_of(batch_of([1.0] * 4, {"x": NumberColumn(np.append(rows, 5.0))}))
    extreme = pane_of(batch_of([1.0] * 4, {"x": NumberColumn(np.append(rows, 1e9))}))

    assert usual.encode() == extreme.encode()


def test_panes_of_two_references_do_not_add_up() -> None:
    pane = pane_of()

    with pytest.raises(PaneReferenceError, match="cannot add a pane counted against reference"):
        pane.merge(Pane(OTHER_REFERENCE, SCHEMA))


def test_a_stored_pane_of_another_reference_is_refused_or_keeps_its_requests_only() -> None:
    column = NumberColumn(np.array([0.0]))
    data = pane_of(batch_of([1.0], {"x": column}, latency_ms=[5.0])).encode()

    with pytest.raises(PaneReferenceError):
        Pane.decode(data, OTHER_REFERENCE, SCHEMA)
    rebased = Pane.decode_rebased(data, OTHER_REFERENCE, SCHEMA)

    assert (rebased.events, rebased.requests, rebased.latency["model"].n) == (1, 1, 1)
    counts = rebased.columns["x"]
    assert isinstance(counts, NumberCounts)
    assert (counts.size, counts.rows, counts.missing) == (5, 0, 0)


@pytest.mark.parametrize("data", [b"", b"\x00", b"\xc1garbage"])
def test_damaged_panes_are_refused(data: bytes) -> None:
    with pytest.raises(PaneError, match="damaged"):
        Pane.decode(data, REFERENCE, SCHEMA)


def test_a_pane_of_another_format_is_refused() -> None:
    import msgspec  # noqa: PLC0415 - only this test takes the bytes apart

    fields = msgspec.msgpack.decode(pane_of().encode())
    fields[0] = 99

    with pytest.raises(PaneError, match="format 99"):
        Pane.decode(msgspec.msgpack.encode(fields), REFERENCE, SCHEMA)


@given(st.lists(st.lists(st.integers(0, 400), max_size=80), max_size=6))
def test_the_kept_names_of_new_categories_are_bounded_exact_and_order_free(
    parts: list[list[int]],
) -> None:
    forward, backward = CategoryCounts(("a",)), CategoryCounts(("a",))

    for part in parts:
        forward.add(CategoryColumn([f"v{number}" for number in part]))
    for part in reversed(parts):
        single = CategoryCounts(("a",))
        single.add(CategoryColumn([f"v{number}" for number in reversed(part)]))
        backward.merge(single)

    every = [f"v{number}" for part in parts for number in part]
    assert forward.state() == backward.state()
    assert len(forward.new_names) == min(NEW_NAMES_MAX, len(set(every)))
    assert all(rows == every.count(name) for name, rows in forward.new_names.items())
    assert forward.other == len(every)


def test_a_failed_request_counts_as_an_error_and_in_no_column() -> None:
    batch = PredictionBatch(
        model="m",
        version="1",
        role="live",
        latency_kind="server",
        ts=np.arange(3.0),
        latency_ms=np.full(3, 5.0),
        status=np.array([200, 500, 200]),
        weight=np.ones(3),
        columns={"x": NumberColumn(np.array([1.0, np.nan, np.nan]))},
    )
    pane = Pane(None, Schema({"x": "number", "y": "number"}))

    pane.add(batch)

    assert (pane.events, pane.answered, pane.requests, pane.errors) == (3, 2, 3, 1)
    assert pane.columns["x"].missing == 1
    assert pane.columns["y"].missing == 2


def test_a_request_of_unknown_status_is_a_request_and_tells_nothing_of_errors() -> None:
    unknown = pane_of(batch_of([1.0, 2.0, 3.0], status=[STATUS_UNKNOWN, STATUS_UNKNOWN, 0]))
    some = pane_of(batch_of([1.0, 2.0, 3.0], status=[STATUS_UNKNOWN, 200, 500]))

    told = [
        next(
            one
            for one in measure(pane, None, seconds=1.0, confidence=0.9)
            if one.metric == "error_ratio"
        )
        for pane in (unknown, some)
    ]

    assert [(pane.requests, pane.ended, pane.errors) for pane in (unknown, some)] == [
        (2, 0, 0),
        (3, 2, 1),
    ]
    assert [one.value for one in told] == [None, 0.5]


def test_rows_that_tell_of_requests_only_are_missing_in_no_column() -> None:
    requests = replace(batch_of([1.0, 2.0], status=[200, 500]), requests_only=True)

    pane = pane_of(requests, batch_of([3.0], {"x": NumberColumn(np.array([1.0]))}))
    merged = pane_of(requests)
    merged.merge(pane_of(batch_of([3.0], {"x": NumberColumn(np.array([1.0]))})))

    assert (pane.events, pane.requests, pane.errors, pane.answered) == (3, 3, 1, 1)
    assert [pane.columns[name].missing for name in ("x", "c")] == [0, 1]
    assert merged.encode() == pane.encode()
