"""What a reference learns of rows that are not independent."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter
from scipy.stats import binom

from collectors.batch import CategoryColumn, Column, NumberColumn
from detectors.columns.dispersion import LEVEL, DesignEffect, Dispersion, Scale
from detectors.columns.profile import NumberProfile, design_effect
from detectors.columns.reference_error import ReferenceError as BadReference
from detectors.reference import reference_file
from detectors.reference.reference import Reference, ReferenceBuilder
from tests.detectors.batches import reference_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator

    from collectors.batch import Floats

WINDOWS = (1, 50, 500, 5_000, 1_000_000)


def dispersion_of(column: Column) -> Dispersion:
    dispersion = reference_of({"x": column}).columns["x"].dispersion
    assert dispersion is not None
    return dispersion


def numbers(values: Floats) -> NumberColumn:
    return NumberColumn(np.asarray(values, np.float64))


def autocorrelated(random: Generator, rows: int, by: float) -> Floats:
    noise = random.standard_normal(rows + 500) * np.sqrt(1 - by**2)
    return np.asarray(lfilter([1.0], [1.0, -by], noise)[500:], np.float64)


def effect_at_lag(correlations: Floats, rows: int) -> float:
    """Return the variance of a sum of `rows` rows with these lag correlations, over `rows`."""
    lags = np.arange(1, correlations.size + 1)
    return float(1 + 2 * ((1 - lags / rows) * correlations).sum())


INDEPENDENT: dict[str, Callable[[Generator], Column]] = {
    "normal": lambda random: numbers(random.standard_normal(5_000)),
    "few rows": lambda random: numbers(random.standard_normal(400)),
    "mostly zeros": lambda random: numbers(random.poisson(0.1, 5_000).astype(float)),
    "rare missing values": lambda random: numbers(
        np.where(random.random(5_000) < 0.005, np.nan, random.standard_normal(5_000))
    ),
    "many categories": lambda random: CategoryColumn(
        [f"c{name}" for name in random.zipf(1.5, 5_000).tolist()]
    ),
}


@pytest.mark.parametrize("law", INDEPENDENT)
def test_independent_rows_are_taken_for_dependent_ones_at_the_stated_level(law: str) -> None:
    seeds = 600

    mistaken = 0
    for seed in range(seeds):
        column = INDEPENDENT[law](np.random.default_rng(seed))
        mistaken += not dispersion_of(column).independent

    assert mistaken <= binom.ppf(0.999, seeds, LEVEL)


def test_independent_rows_have_no_design_effect_at_all() -> None:
    column = numbers(np.random.default_rng(1).standard_normal(20_000))

    dispersion = dispersion_of(column)

    assert [dispersion.design_effect(rows) for rows in WINDOWS] == [DesignEffect(1.0, 1.0)] * 5


@pytest.mark.parametrize("kind", ["number", "category"])
def test_rows_of_one_user_count_as_one_row(kind: str) -> None:
    session, rows = 10, 200_000
    users = np.random.default_rng(2).standard_normal(rows // session).repeat(session)
    named = CategoryColumn(np.digitize(users, [-1.0, 0.0, 0.5]).astype(str).tolist())

    dispersion = dispersion_of(numbers(users) if kind == "number" else named)

    for scale in dispersion.scales:
        if scale.blocks < 100:
            continue
        expected = effect_at_lag(1 - np.arange(1, session) / session, scale.rows)
        tolerance = 4 * np.sqrt(2 / scale.blocks)
        assert scale.bins_mean == pytest.approx(expected, rel=tolerance)
        assert scale.cumulative_mean == pytest.approx(expected, rel=tolerance)
        assert scale.bins >= expected * (1 - tolerance)


def test_autocorrelated_rows_have_the_effect_that_simulated_windows_have() -> None:
    random = np.random.default_rng(3)
    window, by = 256, 0.8
    windows = autocorrelated(random, 4_000 * 2 * window, by).reshape(-1, 2 * window)[:, :window]
    simulated = (windows > 0).sum(axis=1).var() / (window / 4)
    lags = np.arange(1, window)
    assert simulated == pytest.approx(
        effect_at_lag(2 / np.pi * np.arcsin(by**lags), window), rel=0.1
    )

    effect = dispersion_of(numbers(autocorrelated(random, 400_000, by))).design_effect(window)

    assert 0.9 * simulated < effect.cumulative < 1.5 * simulated
    assert 1 < effect.bins < effect.cumulative


def test_a_season_matters_the_more_the_longer_the_window_is() -> None:
    cycle = 8_192
    random = np.random.default_rng(4)
    swing = np.sin(2 * np.pi * np.arange(20 * cycle) / cycle)

    dispersion = dispersion_of(numbers(random.standard_normal(swing.size) + swing))

    effects = [dispersion.design_effect(rows) for rows in (32, 64, 128, 256, 512, 1_024)]
    for shorter, longer in pairwise(effects):
        assert 1.6 < longer.cumulative / shorter.cumulative < 2.1
        assert 1.5 < longer.bins / shorter.bins < 2.5
    swinging = 1 + 1_024 / 12  # the middle's share swings by about 1/sqrt(12) sd of a row
    assert effects[-1].cumulative > swinging


def test_a_season_that_long_blocks_show_is_in_the_short_ones_too() -> None:
    random = np.random.default_rng(5)
    swing = 0.06 * np.sin(2 * np.pi * np.arange(80_000) / 16_000)

    dispersion = dispersion_of(numbers(random.standard_normal(swing.size) + swing))

    assert dispersion.scales[0].p_value > LEVEL
    assert dispersion.design_effect(32).cumulative > 1


@pytest.mark.parametrize("rows", [255, 256, 5_000, 40_000])
def test_scales_double_while_there_are_eight_blocks(rows: int) -> None:
    profile = reference_of({"x": numbers(np.random.default_rng(6).random(rows))}).columns["x"]

    scales = profile.dispersion.scales if profile.dispersion else ()

    blocks = [(32 << scale, rows // (32 << scale)) for scale in range(16)]
    assert [(one.rows, one.blocks) for one in scales] == [one for one in blocks if one[1] >= 8]


@pytest.mark.parametrize("decimals", [0, 1, 6], ids=["ties", "some ties", "no ties"])
def test_effects_depend_on_the_order_of_values_only(decimals: int) -> None:
    values = autocorrelated(np.random.default_rng(7), 20_000, 0.7).round(decimals)

    assert dispersion_of(numbers(values)) == dispersion_of(numbers(np.exp(values)))


@pytest.mark.parametrize(
    "column",
    [
        numbers(np.full(10_000, 3.0)),
        numbers(np.full(10_000, np.nan)),
        numbers(np.arange(100.0)),
        numbers(np.empty(0)),
        CategoryColumn(["a"] * 10_000),
        CategoryColumn([None] * 10_000),
    ],
    ids=["constant", "missing", "few rows", "no rows", "one category", "missing categories"],
)
def test_columns_that_tell_nothing_have_no_dispersion(column: Column) -> None:
    profile = reference_of({"x": column, "more": numbers(np.arange(10_000.0))}).columns["x"]

    assert profile.dispersion is None
    assert [design_effect(profile, rows) for rows in WINDOWS] == [DesignEffect(1.0, 1.0)] * 5


def test_values_that_go_missing_together_move_the_bins_and_no_cumulated_count() -> None:
    missing = (np.random.default_rng(8).random(400) < 0.2).repeat(50)
    values = np.random.default_rng(9).standard_normal(missing.size)

    effect = dispersion_of(numbers(np.where(missing, np.nan, values))).design_effect(512)

    assert effect.bins > 5
    assert effect.cumulative < 2


def test_rows_of_a_wrong_type_are_missing_ones() -> None:
    values = np.random.default_rng(10).standard_normal(10_000)
    values[::7] = np.nan
    wrong = tuple(range(0, 10_000, 7))

    assert dispersion_of(NumberColumn(values, wrong)) == dispersion_of(NumberColumn(values))


def test_between_scales_effects_are_linear_and_beyond_the_last_one_proportional() -> None:
    dispersion = Dispersion(
        (
            Scale(32, 64, 2.0, 2.0, 2.0, 3.0, 0.0, 2.0),
            Scale(64, 32, 2.0, 2.0, 4.0, 2.0, 0.0, 3.0),
        )
    )

    effects = {rows: dispersion.design_effect(rows) for rows in (8, 32, 48, 64, 640)}

    assert effects == {
        8: DesignEffect(2.0, 3.0, 2.0),
        32: DesignEffect(2.0, 3.0, 2.0),
        48: DesignEffect(3.0, 3.0, 2.5),
        64: DesignEffect(4.0, 3.0, 3.0),
        640: DesignEffect(40.0, 30.0, 30.0),
    }


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        ((Scale(64, 9, 1, 1, 1, 1, 1), Scale(32, 18, 1, 1, 1, 1, 1)), "ascending"),
        ((Scale(0, 9, 1, 1, 1, 1, 1),), "no rows"),
        ((Scale(32, 9, 1, 1, 1, 1, 1.5),), "chance"),
        ((Scale(32, 9, 1, 1, float("nan"), 1, 1),), "finite"),
        ((Scale(32, 9, 1, 1, 1, -1, 1),), "negative"),
    ],
    ids=["descending", "empty blocks", "no chance", "NaN", "negative"],
)
def test_contradicting_scales_are_refused(scales: tuple[Scale, ...], message: str) -> None:
    with pytest.raises(BadReference, match=message):
        Dispersion(scales)


def rows_of_everything(rows: int) -> dict[str, Column]:
    random = np.random.default_rng(11)
    values = autocorrelated(random, rows, 0.9)
    late = np.where(np.arange(rows) < 100, np.nan, values)
    names: list[str | None] = [f"c{int(value)}" for value in 3 * values]
    names[50:70] = [None] * 20
    return {"x": numbers(values), "late": numbers(late), "c": CategoryColumn(names)}


EVERYTHING = rows_of_everything(9_000)


def collected(cuts: list[int], restarts: frozenset[int] = frozenset()) -> ReferenceBuilder:
    """Collect the rows cut into batches, each restart being through the stored state."""
    builder = ReferenceBuilder()
    for number, (start, stop) in enumerate(zip([0, *cuts], [*cuts, 9_000], strict=True)):
        builder.add({name: column.take(slice(start, stop)) for name, column in EVERYTHING.items()})
        if number in restarts:
            builder = ReferenceBuilder.decode(builder.encode())
    return builder


CUTS = st.lists(st.integers(0, 9_000), max_size=6).map(sorted)


@settings(max_examples=30, deadline=None)
@given(CUTS, st.frozensets(st.integers(0, 6)))
def test_neither_batches_nor_restarts_change_what_is_collected(
    cuts: list[int], restarts: frozenset[int]
) -> None:
    whole, parts = collected([]), collected(cuts, restarts)

    assert whole.encode() == parts.encode()
    built = reference_file.dump(whole.build(0.0, "x"))
    assert built == reference_file.dump(parts.build(0.0, "x"))
    assert all(column.dispersion for column in reference_file.load(built).columns.values())


def test_building_midway_does_not_disturb_what_follows() -> None:
    builder, other = ReferenceBuilder(), ReferenceBuilder()
    for start in (0, 1_000, 5_000):
        part = {name: column.take(slice(start, start + 999)) for name, column in EVERYTHING.items()}

        builder.add(part)
        other.add(part)
        builder.build(0.0, "x")

    assert builder.encode() == other.encode()


def test_a_column_that_comes_late_begins_when_it_comes() -> None:
    values = numbers(autocorrelated(np.random.default_rng(12), 9_000, 0.9))
    builder = ReferenceBuilder()

    builder.add({"x": values})
    builder.add({"x": values, "late": values})

    columns = builder.build(0.0, "x").columns
    assert columns["late"].missing == 9_000
    assert columns["late"].dispersion == dispersion_of(values)


def test_of_rows_in_no_order_nothing_is_learned() -> None:
    builder = ReferenceBuilder(in_order=False)
    builder.add(EVERYTHING)
    builder = ReferenceBuilder.decode(builder.encode())
    builder.add({"new": numbers(np.arange(1_000.0))})

    columns = builder.build(0.0, "x").columns.values()

    assert [column.dispersion for column in columns] == [None] * 4


def test_a_state_of_the_first_format_goes_on_without_dispersion() -> None:
    builder = ReferenceBuilder()
    builder.add(EVERYTHING)
    _, rows, points_max, of_numbers, categories, *_ = msgspec.msgpack.decode(builder.encode())
    stripped = [{n: state[:-1] for n, state in kept.items()} for kept in (of_numbers, categories)]
    old = msgspec.msgpack.encode([1, rows, points_max, *stripped])

    again = ReferenceBuilder.decode(old)
    again.add(EVERYTHING)
    builder.add(EVERYTHING)

    reference = again.build(0.0, "x")
    assert reference.digest == builder.build(0.0, "x").digest
    assert [column.dispersion for column in reference.columns.values()] == [None] * 3


def test_a_file_of_the_first_format_has_no_dispersion() -> None:
    profile = NumberProfile(np.array([1.0]), np.array([2]), 0, 0)
    data = bytearray(reference_file.dump(Reference({"x": profile}, 2, 0.0, "x")))
    assert data[8:12] == b"\x02\0\0\0"
    data[8:12] = b"\x01\0\0\0"

    again = reference_file.load(bytes(data))

    assert again.columns["x"].dispersion is None
