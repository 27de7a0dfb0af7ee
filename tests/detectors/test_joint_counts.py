"""Products of scores in panes: exact, additive, order-free, and kept over a restart."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.batch import CategoryColumn, Column, NumberColumn, PredictionBatch, Schema
from detectors.columns.reference_error import ReferenceError as BadReference
from detectors.joint.counts import JointCounts, unzigzag, zigzag
from detectors.joint.scores import SCORE_UNIT, ScoreTable, ScoreTables
from detectors.windows.pane import Pane
from detectors.windows.window import Windows, WindowSpec
from tests.detectors.batches import NUMBERS, batch_of, reference_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from collectors.batch import Floats
    from detectors.reference.reference import Reference

RANDOM = np.random.default_rng(5)
HEALTHY: dict[str, Column] = {
    "x": NumberColumn(RANDOM.integers(-4, 5, 2_000).astype(float)),
    "y": NumberColumn(RANDOM.standard_normal(2_000)),
    "z": NumberColumn(np.exp(9 * RANDOM.standard_normal(2_000))),
}
REFERENCE = reference_of(HEALTHY)
OTHER_REFERENCE = reference_of({name: column.take(slice(500)) for name, column in HEALTHY.items()})
SCHEMA = Schema({"x": "number", "y": "number", "z": "number"})


@st.composite
def parts(draw: st.DrawFn) -> PredictionBatch:
    rows = draw(st.integers(0, 12))
    columns: dict[str, Column] = {
        name: NumberColumn(np.array(draw(st.lists(NUMBERS, min_size=rows, max_size=rows)), float))
        for name in draw(st.sets(st.sampled_from(["x", "y", "z", "unknown"])))
    }
    if "y" not in columns:
        # A column of another kind than the reference's has no scores.
        columns["y"] = CategoryColumn(["a"] * rows)
    status = draw(st.lists(st.sampled_from([200, 503]), min_size=rows, max_size=rows))
    return batch_of([1.0] * rows, columns, status=status)


def pane_of(*batches: PredictionBatch, reference: Reference = REFERENCE) -> Pane:
    pane = Pane(reference, SCHEMA)
    for batch in batches:
        pane.add(batch)
    return pane


def joint_of(pane: Pane) -> JointCounts:
    assert pane.joint is not None
    return pane.joint


def quiet(rows: int, seed: int = 0) -> PredictionBatch:
    random = np.random.default_rng(seed)
    columns: dict[str, Column] = {
        name: NumberColumn(random.standard_normal(rows)) for name in ("x", "y", "z")
    }
    return batch_of([1.0] * rows, columns)


@given(st.lists(parts(), max_size=5), st.randoms(use_true_random=False))
def test_merging_panes_equals_counting_all_rows_in_one_in_any_order(
    batches: list[PredictionBatch], random: Random
) -> None:
    shuffled = list(batches)
    random.shuffle(shuffled)

    merged = Pane(REFERENCE, SCHEMA)
    for batch in shuffled:
        merged.merge(pane_of(batch))

    assert merged.encode() == pane_of(*batches).encode()
    assert joint_of(merged).rows == merged.answered


@given(st.lists(st.integers(0, 3_000), max_size=4))
def test_cutting_a_batch_changes_nothing(cuts: list[int]) -> None:
    batch = quiet(3_000)
    cut = Pane(REFERENCE, SCHEMA)

    for start, stop in pairwise(sorted({0, 3_000, *cuts})):
        cut.add(batch, slice(start, stop))

    assert joint_of(cut).state() == joint_of(pane_of(batch)).state()


@given(st.lists(parts(), min_size=1, max_size=4), st.lists(parts(), max_size=3))
def test_a_restored_pane_goes_on_as_if_nothing_had_happened(
    before: list[PredictionBatch], after: list[PredictionBatch]
) -> None:
    restored = Pane.decode(pane_of(*before).encode(), REFERENCE, SCHEMA)
    for batch in after:
        restored.add(batch)

    assert restored.encode() == pane_of(*before, *after).encode()


def test_sums_and_products_are_those_of_the_scores() -> None:
    batch = quiet(5_000, seed=1)
    tables = joint_of(pane_of()).tables

    rows, sums, products = joint_of(pane_of(batch)).moments()

    scores = tables.matrix([(batch.columns, batch.rows)]).astype(np.int64)
    assert rows == 5_000
    assert sums.tolist() == scores.sum(axis=1).tolist()
    assert products.tolist() == (scores @ scores.T).tolist()


@pytest.mark.parametrize(
    "values",
    [
        RANDOM.standard_normal(4_096),
        np.exp(9 * RANDOM.standard_normal(4_096)),
        RANDOM.standard_cauchy(4_096),
        1.7e9 + RANDOM.random(4_096),
    ],
    ids=["normal", "orders of magnitude", "no mean", "times"],
)
def test_scores_of_the_pilot_are_nearly_standard_normal_and_rise_with_the_value(
    values: Floats,
) -> None:
    tables = ScoreTables({"x": ScoreTable.of_pilot(values)})

    (scores,) = tables.matrix([({"x": NumberColumn(np.sort(values))}, values.size)]) / SCORE_UNIT

    assert (np.diff(scores) >= 0).all()
    assert scores.mean() == pytest.approx(0, abs=0.02)
    assert scores.std() == pytest.approx(1, abs=0.04)


def test_one_enormous_value_counts_as_one_row_at_the_end() -> None:
    values = RANDOM.standard_normal(4_096)
    tables = ScoreTables({"x": ScoreTable.of_pilot(values)})
    odd = np.array([values.max(), 1e9, 1e308, np.inf, values.min(), -np.inf, np.nan])

    (scores,) = tables.matrix([({"x": NumberColumn(odd)}, odd.size)]).tolist()

    assert scores == [scores[0]] * 4 + [-scores[0]] * 2 + [0.0]


@pytest.mark.parametrize("values", [np.full(100, 3.0), np.array([7.0])], ids=["many", "one"])
def test_a_constant_column_has_no_scores(values: Floats) -> None:
    tables = ScoreTables({"x": ScoreTable.of_pilot(values)})
    odd = NumberColumn(np.array([*values[:1], np.nan]))

    assert tables.matrix([({"x": odd}, 2)]).tolist() == [[0.0, 0.0]]


@given(st.lists(st.integers(-(2**40), 2**40)))
def test_signed_numbers_are_written_as_unsigned_ones(values: Sequence[int]) -> None:
    numbers = np.array(values, np.int64)

    assert unzigzag(zigzag(numbers)).tolist() == numbers.tolist()
    assert (zigzag(numbers) >= 0).all()


def test_a_pane_from_before_there_were_products_counts_them_from_here_on() -> None:
    state = msgspec.msgpack.decode(pane_of(quiet(300)).encode())
    old = msgspec.msgpack.encode(state[:-1])

    pane = Pane.decode(old, REFERENCE, SCHEMA)
    pane.add(quiet(200))

    assert (pane.answered, joint_of(pane).rows) == (500, 200)


def test_products_of_other_scores_are_dropped_and_the_columns_stay() -> None:
    stored = pane_of(quiet(300)).joint
    assert stored is not None
    other = joint_of(pane_of(reference=OTHER_REFERENCE))

    restored = other.restored(stored.state())

    assert (restored.rows, restored.tables.digest) == (0, other.tables.digest)
    with pytest.raises(ValueError, match="different tables"):
        other.merge(stored)


def test_without_products_panes_are_as_they_were_and_add_up() -> None:
    without = Pane(REFERENCE, SCHEMA, joint=False)
    without.add(quiet(300))
    with_products = pane_of(quiet(200))

    total = Pane.sum([without, with_products])
    restored = Pane.decode(with_products.encode(), REFERENCE, SCHEMA, joint=False)

    assert without.joint is None
    assert restored.joint is None
    assert (total.answered, joint_of(total).rows) == (500, 200)
    assert Pane.sum([without]).joint is None


def test_windows_without_products_stay_so_over_a_restart() -> None:
    spec = WindowSpec("events", length=100, slide=100)
    windows = Windows(spec, "m", joint=False)
    windows.add(quiet(150), REFERENCE, now=1e9)

    again = Windows.decode(
        spec,
        "m",
        windows.encode(),
        panes=windows.dirty_panes(),
        references={"1": REFERENCE},
        joint=windows.joint,
    )
    again.add(quiet(50), REFERENCE, now=1e9)

    assert [window.pane.joint for window in again.close()] == [None, None]


def test_tables_that_contradict_themselves_are_refused() -> None:
    table = ScoreTable.of_pilot(np.arange(100.0))

    with pytest.raises(BadReference, match="not in order"):
        ScoreTables({"b": table, "a": table})
    with pytest.raises(BadReference, match="65 tables"):
        ScoreTables({f"{number:02}": table for number in range(65)})
    with pytest.raises(BadReference, match="expected 1024"):
        ScoreTable(np.empty(0), 0.0, 1.0, np.zeros(3, np.int8))
    with pytest.raises(BadReference, match="no place"):
        ScoreTable(np.empty(0), 0.0, 0.0, np.zeros(1_024, np.int8))
