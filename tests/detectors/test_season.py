"""The same hour's reference: exactly the hour's rows, from panes that know of no season."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from collectors.batch import CategoryColumn, Column, NumberColumn, PredictionBatch, Schema
from detectors.columns.category_counts import CategoryCounts
from detectors.columns.number_counts import NumberCounts
from detectors.columns.profile import CategoryProfile, NumberProfile, design_effect
from detectors.columns.reference_error import ReferenceError  # noqa: A004 - ours
from detectors.kinds import COLUMN_METRICS, measure
from detectors.reference.reference import Reference, ReferenceBuilder
from detectors.reference.reference_file import dump, load
from detectors.reference.season import Season
from detectors.reference.season_builder import (
    CELLS_MAX,
    SLOT_ROWS_MIN,
    SeasonBuilder,
    SeasonResiduals,
)
from detectors.statistics.ks import ks
from detectors.windows.pane import Pane

HOURS = 24
Rows = tuple[np.ndarray, dict[str, Column]]


def rows_of(
    days: int, per_hour: int, rng: np.random.Generator, *, sessions: int = 1, digits: int = 12
) -> Rows:
    """Rows of some days in order: a number and a category that follow the hour.

    Sessions are so many rows in a row of one value.
    """
    slots = np.tile(np.repeat(np.arange(HOURS), per_hour), days)
    wave = np.sin(slots / HOURS * 2 * np.pi)
    noise = np.repeat(rng.normal(size=slots.size // sessions + 1), sessions)[: slots.size]
    plan = np.where(rng.random(slots.size) < 0.5 + 0.4 * wave, "gold", "basic")
    return slots, {
        "x": NumberColumn(np.round(3 * wave + noise, digits)),
        "plan": CategoryColumn(plan.tolist()),
    }


def built(rows: Rows) -> Reference:
    slots, columns = rows
    builder = ReferenceBuilder()
    builder.add(columns)
    whole = builder.build(0.0, "test")
    counted = SeasonBuilder(whole, "hour-of-day", "UTC")
    for part in np.array_split(np.arange(slots.size), 7):
        counted.add(slots[part], {name: column.pick(part) for name, column in columns.items()})
    residuals = SeasonResiduals(counted.season())
    residuals.add(slots, columns)
    season = residuals.season()
    return Reference(whole.columns, whole.rows, whole.created, whole.origin, season=season)


def slot_of(reference: Reference, slot: int) -> Reference:
    assert reference.season is not None
    return reference.season.slots[slot]


def pane_of(reference: Reference, columns: dict[str, Column]) -> Pane:
    rows = len(next(iter(columns.values())).values)
    pane = Pane(reference, Schema({}))
    pane.add(
        PredictionBatch(
            model="m",
            version="7",
            role="live",
            latency_kind="server",
            ts=np.zeros(rows),
            latency_ms=np.full(rows, np.nan),
            status=np.full(rows, 200),
            weight=np.ones(rows),
            columns=columns,
        )
    )
    return pane


@given(
    st.dictionaries(st.integers(0, 20), st.booleans(), min_size=1),
    st.lists(st.one_of(st.integers(-3, 23), st.just(float("nan"))), max_size=60),
)
def test_counts_over_some_points_are_what_counting_over_them_gives(
    points: dict[int, bool], values: list[float]
) -> None:
    grid = np.array(sorted(points), float)
    some = np.array(sorted(point for point, is_kept in points.items() if is_kept), float)
    column = NumberColumn(np.array(values, float))
    counts, direct = NumberCounts(grid), NumberCounts(some)
    counts.add(column)
    direct.add(column)

    part = counts.over(some)

    assert part.state() == direct.state()
    assert part.cells().tolist() == direct.cells().tolist()
    assert (part.rows, part.missing) == (direct.rows, direct.missing)


@given(st.lists(st.sampled_from([None, "a", "b", "c", "d", "new"])), st.integers(0, 4))
def test_counts_over_the_first_values_are_what_counting_over_them_gives(
    values: list[str | None], kept: int
) -> None:
    names = ("a", "b", "c", "d")
    counts, direct = CategoryCounts(names), CategoryCounts(names[:kept])
    counts.add(CategoryColumn(values))
    direct.add(CategoryColumn(values))

    part = counts.over(names[:kept])

    assert part.known.tolist() == direct.known.tolist()
    assert (part.other, part.missing) == (direct.other, direct.missing)


def test_ks_with_an_hour_is_scipys_with_the_rows_of_that_hour() -> None:
    rng = np.random.default_rng(1)
    slots, columns = rows_of(3, 400, rng, digits=1)
    reference = built((slots, columns))
    window = np.round(rng.normal(size=300), 1)
    pane = pane_of(reference, {"x": NumberColumn(window)}).over(slot_of(reference, 6))
    profile, counts = slot_of(reference, 6).columns["x"], pane.columns["x"]
    assert isinstance(profile, NumberProfile)
    assert isinstance(counts, NumberCounts)
    column = columns["x"]
    assert isinstance(column, NumberColumn)

    value = ks(profile, counts.upto(), confidence=0.99).value

    assert profile.rank_error == 0
    expected = stats.ks_2samp(column.values[slots == 6], window).statistic
    assert value == pytest.approx(expected, abs=1e-12)


def test_an_hour_of_many_values_is_off_by_no_more_than_it_states() -> None:
    slots, columns = rows_of(2, 3_000, np.random.default_rng(2))
    profile = slot_of(built((slots, columns)), 6).columns["x"]
    column = columns["x"]
    assert isinstance(profile, NumberProfile)
    assert isinstance(column, NumberColumn)

    values = np.sort(column.values[slots == 6])
    true = values.searchsorted(profile.points, "right") / values.size
    kept = np.cumsum(profile.counts) / profile.rows

    assert profile.rows == values.size
    assert 0 < profile.rank_error < 0.05
    assert np.abs(true - kept).max() <= 1e-12  # exact at its points
    everywhere = values.searchsorted(values, "right") / values.size
    at = profile.points.searchsorted(values, "right")
    stepped = np.concatenate(([0], kept))[at]
    assert np.abs(everywhere - stepped).max() <= profile.rank_error + 1e-12


def test_the_files_bytes_give_the_same_season_back() -> None:
    reference = built(rows_of(2, 600, np.random.default_rng(3)))

    again = load(dump(reference))

    assert again.digest == reference.digest
    assert again.season is not None
    assert (again.season.kind, again.season.zone) == ("hour-of-day", "UTC")
    assert set(again.season.slots) == set(range(24))
    assert slot_of(again, 3).digest == slot_of(reference, 3).digest
    first, second = (slot_of(one, 3).columns["x"].dispersion for one in (again, reference))
    assert first == second
    assert first is not None


def test_a_season_makes_another_reference_and_none_leaves_the_digest_as_it_was() -> None:
    reference = built(rows_of(2, 600, np.random.default_rng(3)))
    whole = Reference(reference.columns, reference.rows, reference.created, reference.origin)
    other = Season(
        "hour-of-day", "Europe/Berlin", reference.season.slots if reference.season else {}
    )

    moved = Reference(whole.columns, whole.rows, whole.created, whole.origin, season=other)

    assert len({whole.digest, reference.digest, moved.digest}) == 3
    assert load(dump(whole)).digest == whole.digest


def test_hours_of_few_rows_are_left_out() -> None:
    rng = np.random.default_rng(4)
    slots, columns = rows_of(1, SLOT_ROWS_MIN, rng)
    kept = np.flatnonzero((slots != 5) | (rng.random(slots.size) < 0.9))
    picked = {name: column.pick(kept) for name, column in columns.items()}

    season = built((slots[kept], picked)).season

    assert season is not None
    assert set(season.slots) == set(range(24)) - {5}


def test_a_value_that_an_hour_has_not_seen_is_no_new_category() -> None:
    rng = np.random.default_rng(5)
    slots, columns = rows_of(2, 600, rng)
    plans = ["rare" if slot == 1 else "gold" for slot in slots]
    reference = built((slots, {**columns, "plan": CategoryColumn(plans)}))
    pane = pane_of(reference, {"plan": CategoryColumn(["rare"] * 50 + ["never"] * 50)})
    part = slot_of(reference, 6)

    measured = measure(pane, reference, seconds=1.0, confidence=0.99, part=part)

    profile = part.columns["plan"]
    assert isinstance(profile, CategoryProfile)
    assert profile.counts.tolist() == [1_200, 0]
    ratio = next(one for one in measured if one.metric == "new_category_ratio")
    assert ratio.value == 0.5


def test_memory_is_bounded_however_many_columns_and_values_there_are() -> None:
    rng = np.random.default_rng(6)
    slots = np.repeat(np.arange(168), 600)
    columns: dict[str, Column] = {
        f"x{number}": NumberColumn(rng.normal(size=slots.size)) for number in range(20)
    }
    builder = ReferenceBuilder()
    builder.add(columns)
    counted = SeasonBuilder(builder.build(0.0, "test"), "hour-of-week", "UTC")
    counted.add(slots, columns)

    season = counted.season()

    profiles = [profile for one in season.slots.values() for profile in one.columns.values()]
    points = sum(one.counts.size for one in profiles if isinstance(one, NumberProfile))
    assert len(season.slots) == 168
    assert points <= CELLS_MAX


def test_what_the_season_explains_is_not_taken_for_dependence() -> None:
    reference = built(rows_of(6, 600, np.random.default_rng(7)))
    part = slot_of(reference, 6)

    assert design_effect(reference.columns["x"], 600).cumulative > 10
    assert design_effect(part.columns["x"], 600).cumulative == 1
    assert design_effect(part.columns["plan"], 600).cumulative == 1


def test_what_the_season_does_not_explain_is_learned() -> None:
    reference = built(rows_of(6, 600, np.random.default_rng(8), sessions=10))

    effect = design_effect(slot_of(reference, 6).columns["x"], 600)

    # Ten equal rows in a row: a tenth of the rows is independent.
    assert 8 <= effect.cumulative <= 20


def test_a_window_that_is_usual_at_another_hour_is_seen_at_this_one() -> None:
    rng = np.random.default_rng(9)
    reference = built(rows_of(6, 600, rng))
    quiet: list[float] = []
    moved: list[float] = []
    for hour in range(HOURS):
        part = slot_of(reference, hour)
        for shift, found in ((0.0, quiet), (0.7, moved)):
            x = 3 * np.sin(hour / HOURS * 2 * np.pi) + rng.normal(size=600) + shift
            pane = pane_of(reference, {"x": NumberColumn(x)})
            measured = measure(pane, reference, seconds=1.0, confidence=0.99, part=part)
            found += [one.p_value or 1.0 for one in measured if one.metric == "ks"]

    assert sum(p < 0.001 for p in quiet) <= 1
    assert all(p < 0.001 for p in moved)


def test_a_season_with_an_hour_that_is_none_is_refused() -> None:
    reference = built(rows_of(1, 600, np.random.default_rng(10)))

    with pytest.raises(ReferenceError, match="24 slots"):
        Season("hour-of-day", "UTC", {24: slot_of(reference, 1)})


@pytest.mark.parametrize("metric", sorted(COLUMN_METRICS))
def test_every_metric_of_columns_takes_an_hour_that_lacks_values_of_the_whole(metric: str) -> None:
    rng = np.random.default_rng(11)
    slots, columns = rows_of(2, 600, rng)
    plans = ["rare" if slot == 1 else "gold" for slot in slots]
    night = np.where(slots == 6, np.nan, np.round(rng.normal(size=slots.size), 2))
    reference = built(
        (slots, {**columns, "plan": CategoryColumn(plans), "day": NumberColumn(night)})
    )
    part = slot_of(reference, 6)
    pane = pane_of(
        reference,
        {
            "x": NumberColumn(rng.normal(size=400) + 3),
            "plan": CategoryColumn(["rare"] * 100 + ["gold"] * 300),
            "day": NumberColumn(rng.normal(size=400)),
        },
    )

    measured = measure(pane, reference, seconds=1.0, confidence=0.99, part=part, metrics=[metric])

    for one in measured:
        if one.metric == metric and one.value is not None:
            assert one.low is None or one.low <= one.value
            assert one.high is None or one.value <= one.high
