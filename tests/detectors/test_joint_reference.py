"""What a reference learns of its number columns together."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.streams import QUIET, drifting, quiet
from collectors.batch import Column, NumberColumn
from detectors.columns.reference_error import ReferenceError as BadReference
from detectors.joint.profile import JointProfile
from detectors.joint.scores import COLUMNS_MAX
from detectors.reference import reference_file
from detectors.reference.reference import Reference, ReferenceBuilder
from tests.detectors.batches import reference_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STREAM = quiet("sessions", 3, reference=10_000, windows=1).reference


def joint_of(reference: Reference) -> JointProfile:
    assert reference.joint is not None
    return reference.joint


def built(columns: Mapping[str, Column], cuts: Sequence[int], *, restarts: bool) -> Reference:
    rows = max(len(column.values) for column in columns.values())
    builder = ReferenceBuilder()
    for start, stop in pairwise(sorted({0, rows, *cuts})):
        builder.add({name: column.take(slice(start, stop)) for name, column in columns.items()})
        if restarts:
            builder = ReferenceBuilder.decode(builder.encode())
    return builder.build(0.0, "test")


def as_bytes(reference: Reference) -> bytes:
    return reference_file.dump(reference)


@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(0, 10_000), max_size=4), restarts=st.booleans())
def test_what_is_learned_does_not_depend_on_batches_or_restarts(
    *, cuts: list[int], restarts: bool
) -> None:
    assert as_bytes(built(STREAM, cuts, restarts=restarts)) == as_bytes(reference_of(STREAM))


def test_a_builder_goes_on_after_it_built() -> None:
    builder = ReferenceBuilder()
    halves = [
        {name: column.take(half) for name, column in STREAM.items()}
        for half in (slice(0, 3_000), slice(3_000, None))
    ]

    builder.add(halves[0])
    first = builder.build(0.0, "test")
    builder.add(halves[1])

    assert joint_of(first).rows == 3_000
    assert as_bytes(builder.build(0.0, "test")) == as_bytes(reference_of(STREAM))


def test_a_file_gives_back_what_was_learned() -> None:
    reference = reference_of(STREAM)

    again = reference_file.load(as_bytes(reference))

    assert as_bytes(again) == as_bytes(reference)
    assert joint_of(again).tables.digest == joint_of(reference).tables.digest
    assert again.digest == reference.digest


def test_the_digest_that_counts_are_marked_with_is_that_of_the_columns_alone() -> None:
    reference = reference_of(STREAM)

    assert replace(reference, joint=None).digest == reference.digest


def test_a_state_and_a_file_from_before_have_no_correlations() -> None:
    builder = ReferenceBuilder()
    builder.add(STREAM)
    state = msgspec.msgpack.decode(builder.encode())

    # From the format to the sample of rows: what a state held then.
    again = ReferenceBuilder.decode(msgspec.msgpack.encode(state[:7]))
    reference = again.build(0.0, "test")

    assert reference.joint is None
    assert reference_file.load(as_bytes(reference)).joint is None


def test_of_rows_in_no_order_correlations_are_learned_and_not_how_they_vary() -> None:
    builder = ReferenceBuilder(in_order=False)
    builder.add(STREAM)

    joint = joint_of(ReferenceBuilder.decode(builder.encode()).build(0.0, "test"))

    assert joint.scales == ()
    assert joint.independent
    assert np.abs(np.tanh(joint.centers)).max() > 0.5


def test_where_correlations_are_not_asked_for_none_are_learned_after_a_restart_either() -> None:
    builder = ReferenceBuilder(joint=False)
    builder.add(STREAM)

    after = ReferenceBuilder.decode(builder.encode())
    after.add(STREAM)

    assert after.build(0.0, "test").joint is None
    assert as_bytes(builder.build(0.0, "test")) == as_bytes(
        replace(reference_of(STREAM), joint=None)
    )


@pytest.mark.parametrize("columns", [0, 1])
def test_fewer_than_two_number_columns_have_no_correlations(columns: int) -> None:
    names = ("score", "plan")[:1] if columns else ("plan",)

    assert reference_of({name: STREAM[name] for name in names}).joint is None


def test_columns_beyond_the_limit_are_left_out_the_last_by_name() -> None:
    random = np.random.default_rng(0)
    columns: dict[str, Column] = {
        f"c{number:02}": NumberColumn(random.random(200)) for number in range(COLUMNS_MAX + 3)
    }

    joint = joint_of(reference_of(columns))

    assert joint.tables.names == tuple(sorted(columns)[:COLUMNS_MAX])
    assert joint.left_out == 3


def test_a_column_that_comes_behind_the_pilot_takes_no_part() -> None:
    late = STREAM["score"]
    assert isinstance(late, NumberColumn)
    values = late.values.copy()
    values[:4_096] = np.nan

    joint = joint_of(reference_of({**STREAM, "late": NumberColumn(values)}))

    assert "late" not in joint.tables.names


@pytest.mark.parametrize("family", QUIET)
def test_independent_rows_are_told_from_dependent_ones(family: str) -> None:
    dependent = family in ("seasonality", "autocorrelated rows", "sessions")

    told = [joint_of(reference_of(quiet(family, seed).reference)).independent for seed in range(5)]

    assert told == [not dependent] * 5


def test_columns_that_follow_one_another_may_be_independent_rows_all_the_same() -> None:
    random = np.random.default_rng(4)
    common = random.standard_normal((20_000, 1))
    values = 0.8 * common + 0.6 * random.standard_normal((20_000, 12))
    columns: dict[str, Column] = {
        f"c{number:02}": NumberColumn(column) for number, column in enumerate(values.T)
    }

    joint = joint_of(reference_of(columns))

    assert joint.independent
    assert np.tanh(joint.centers) == pytest.approx(0.64, abs=0.03)


def test_windows_of_dependent_rows_are_expected_to_vary_ever_more_with_their_length() -> None:
    joint = joint_of(reference_of(quiet("seasonality", 1).reference))
    longest = joint.scales[-1].rows

    noises = [joint.expected(rows).noises for rows in (100, 500, longest, 2 * longest, 4 * longest)]

    assert all((after >= before).all() for before, after in pairwise(noises))
    assert (noises[0] >= 1).all()
    assert noises[-1] == pytest.approx(2 * noises[-2])


def test_short_windows_of_a_season_are_compared_with_blocks_as_short() -> None:
    columns = quiet("seasonality", 1).reference
    joint = joint_of(reference_of(columns))

    short, whole = joint.expected(256), joint.expected(joint.rows)

    scale = next(one for one in joint.scales if one.rows == 256)
    assert short.centers == pytest.approx(scale.centers)
    assert whole.centers == pytest.approx(joint.centers)
    assert np.abs(short.centers).max() < np.abs(whole.centers).max()


def test_parts_that_contradict_one_another_are_refused() -> None:
    joint = joint_of(reference_of(drifting("abrupt", "small", 1, windows=2).reference))

    for wrong in (
        {"centers": joint.centers[1:]},
        {"noises": np.full_like(joint.noises, np.inf)},
        {"rows": 0},
        {"scales": joint.scales[::-1]},
        {"scales": (replace(joint.scales[0], blocks=1),)},
    ):
        with pytest.raises(BadReference):
            replace(joint, **wrong)
