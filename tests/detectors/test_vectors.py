"""Columns of vectors: what is counted of them, kept in references, and told of their drift.

That bounds hold as often as they say is simulated in test_vectors_simulated.py.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.batch import Column, Floats, NumberColumn, Schema, VectorColumn
from detectors.columns import vector_builder, vector_counts
from detectors.columns.profile import VectorProfile
from detectors.columns.vector_axes import KEPT_MAX, RADIUS, VectorAxes
from detectors.columns.vector_builder import VectorBuilder
from detectors.columns.vector_counts import VectorCounts
from detectors.kinds import COLUMN_DEFAULTS, measure
from detectors.measurement import Measurement
from detectors.reference import reference_file
from detectors.reference.reference import Reference, ReferenceBuilder
from detectors.reference.season_builder import SeasonBuilder
from detectors.rules.drift_watch import Watch
from detectors.windows.pane import Pane
from tests.detectors.batches import batch_of, reference_of
from tests.detectors.columns import compared

RANDOM = np.random.default_rng(5)
ROWS = RANDOM.normal(size=(3_000, 6)) * np.arange(1, 7) + 3
WIDE = RANDOM.normal(size=(1_500, 384)) / 20
METRICS = ("mean_distance", "mmd")


def profile_of(reference: Reference) -> VectorProfile:
    profile = reference.columns["x"]
    assert isinstance(profile, VectorProfile)
    return profile


def vector_reference(rows: Floats = ROWS) -> Reference:
    return reference_of({"x": VectorColumn(rows)})


def counted(profile: VectorProfile, rows: Floats, ts: Floats | None = None) -> VectorCounts:
    counts = VectorCounts(profile.axes)
    counts.add(VectorColumn(rows), ts)
    return counts


@given(st.integers(1, 80), st.lists(st.integers(0, 200), max_size=4), st.randoms())
@settings(deadline=None, max_examples=30)
def test_the_place_of_a_row_does_not_depend_on_the_rows_beside_it(
    dimensions: int, cuts: list[int], random: object
) -> None:
    rows = np.random.default_rng(random.randrange(1 << 30)).normal(size=(200, dimensions))  # type: ignore[attr-defined]  # Hypothesis' Random
    axes = VectorAxes.of(rows[:50])
    edges = sorted({0, 200, *cuts})

    parts = [axes.places(rows[start:stop]) for start, stop in pairwise(edges)]

    assert np.array_equal(np.concatenate(parts), axes.places(rows))


@pytest.mark.parametrize("dimensions", [65, 384, 4_096])
def test_projected_distances_are_about_those_of_the_rows(dimensions: int) -> None:
    rows = RANDOM.normal(size=(40, dimensions))
    axes = VectorAxes.of(rows)

    places = axes.places(rows) * axes.step

    assert places.shape == (40, KEPT_MAX)
    for one, other in pairwise(range(40)):
        ratio = np.linalg.norm(places[one] - places[other]) / np.linalg.norm(
            rows[one] - rows[other]
        )
        assert ratio == pytest.approx(1, abs=5 / math.sqrt(2 * KEPT_MAX))


def test_short_rows_keep_their_distances() -> None:
    axes = VectorAxes.of(ROWS[:256])

    places = axes.places(ROWS) * axes.step + axes.center

    assert np.abs(places - ROWS).max() <= axes.step / 2


def test_a_row_far_out_counts_as_one_at_the_radius() -> None:
    axes = VectorAxes.of(ROWS[:256])

    far = axes.places(np.array([[1e300] * 6, [-1e308] * 6]))

    assert np.linalg.norm(far, axis=1).max() <= RADIUS


def test_panes_of_vectors_add_up_in_any_order_and_however_rows_were_batched() -> None:
    reference = vector_reference()
    ts = np.arange(3_000.0)
    whole = Pane(reference, Schema({}))
    whole.add(batch_of(ts.tolist(), {"x": VectorColumn(ROWS)}))

    merged = Pane(reference, Schema({}))
    for start, stop in ((2_000, 3_000), (0, 1), (1, 700), (700, 2_000)):
        part = Pane(reference, Schema({}))
        part.add(batch_of(ts[start:stop].tolist(), {"x": VectorColumn(ROWS[start:stop])}))
        merged.merge(part)

    assert merged.encode() == whole.encode()


def test_a_pane_of_vectors_goes_on_where_it_stood_and_stays_small() -> None:
    reference = vector_reference(WIDE)
    pane = Pane(reference, Schema({}))
    pane.add(batch_of([0.0] * 1_500, {"x": VectorColumn(WIDE)}))

    stored = pane.encode()

    assert Pane.decode(stored, reference, Schema({})).encode() == stored
    assert len(stored) < 30_000


def test_the_sample_is_of_all_rows_alike_also_of_equal_ones() -> None:
    axes = VectorAxes.of(ROWS[:256])
    values = np.repeat(ROWS[:3], [600, 300, 100], axis=0)
    seen: Counter[int] = Counter()

    for turn in range(40):
        counts = VectorCounts(axes)
        for part in range(5):
            ts = np.full(200, 1_000.0 * turn + part)
            counts.add(VectorColumn(values[part::5]), ts)
        for place in counts.sample:
            seen[int(np.abs(axes.places(ROWS[:3]) - place).sum(axis=1).argmin())] += 1

    assert seen.total() == 40 * vector_counts.SAMPLE_MAX
    for value, share in enumerate((0.6, 0.3, 0.1)):
        assert seen[value] / seen.total() == pytest.approx(share, abs=0.03)


def test_rows_of_another_length_and_of_another_kind_are_invalid() -> None:
    reference = vector_reference()
    pane = Pane(reference, Schema({}))

    pane.add(batch_of([0.0] * 3, {"x": VectorColumn(np.array([[1.0], [np.nan], [np.nan]]), (1,))}))
    pane.add(batch_of([0.0] * 2, {"x": NumberColumn(np.array([1.0, 2.0]))}))
    pane.add(batch_of([0.0] * 2))

    counts = pane.columns["x"]
    assert (counts.rows, counts.invalid, counts.missing) == (0, 4, 3)


def test_without_a_reference_rows_are_counted() -> None:
    pane = Pane(None, Schema({}))

    pane.add(batch_of([0.0] * 3, {"x": VectorColumn(np.array([[1.0], [np.nan], [np.nan]]), (1,))}))

    counts = pane.columns["x"]
    assert (counts.rows, counts.invalid, counts.missing) == (1, 1, 1)


def test_a_reference_has_the_mean_and_covariance_of_its_rows() -> None:
    profile = profile_of(vector_reference())

    mean = profile.mean * profile.axes.step + profile.axes.center
    covariance = profile.covariance * profile.axes.step**2

    assert mean == pytest.approx(ROWS.mean(axis=0), abs=profile.axes.step)
    assert covariance == pytest.approx(np.cov(ROWS.T), rel=1e-3, abs=1e-2)
    assert vector_builder.SAMPLE_MAX / 2 <= len(profile.sample) <= vector_builder.SAMPLE_MAX


@pytest.mark.parametrize("stop", [0, 100, 256, 1_000])
def test_a_builder_restored_midway_makes_the_same_reference(stop: int) -> None:
    at_once = ReferenceBuilder()
    at_once.add({"x": VectorColumn(ROWS)})

    builder = ReferenceBuilder()
    if stop:
        builder.add({"x": VectorColumn(ROWS[:stop])})
    builder = ReferenceBuilder.decode(builder.encode())
    builder.add({"x": VectorColumn(ROWS[stop:])})

    assert (
        builder.build(created=0.0, origin="test").digest
        == at_once.build(created=0.0, origin="test").digest
    )


def test_rows_of_a_builder_without_a_value_of_the_first_length_are_told_apart() -> None:
    builder = VectorBuilder()
    builder.add(VectorColumn(np.array([[np.nan, np.nan], [1.0, 2.0], [np.inf, 0.0]])))
    builder.add(VectorColumn(np.array([[1.0], [np.nan]]), (1,)))
    builder.miss(2)

    profile = builder.profile()

    assert (profile.rows, profile.missing, profile.invalid) == (1, 3, 3)
    assert profile.axes.dimensions == 2


def test_a_file_gives_back_the_profile() -> None:
    reference = vector_reference(WIDE)

    written = reference_file.dump(reference)
    read = reference_file.load(written)

    assert read.digest == reference.digest
    assert read.schema() == Schema({"x": "vector"}, {"x": 384})
    assert profile_of(read).covariance.tolist() == profile_of(reference).covariance.tolist()


@pytest.mark.parametrize(
    ("column", "version"), [(VectorColumn(ROWS), 3), (NumberColumn(ROWS[:, 0]), 2)]
)
def test_only_a_file_with_vectors_needs_a_program_that_knows_them(
    column: VectorColumn | NumberColumn, version: int
) -> None:
    written = reference_file.dump(reference_of({"x": column}))

    assert struct.unpack_from("<8sI", written)[1] == version


def by_hand(places: Floats, others: Floats) -> float:
    moved = ((places.mean(axis=0) - others.mean(axis=0)) ** 2).sum()
    variances = places.var(axis=0, ddof=1).sum(), others.var(axis=0, ddof=1).sum()
    noise = variances[0] / len(places) + variances[1] / len(others)
    return float(np.sqrt(max(0.0, moved - noise) / variances[0]))


@pytest.mark.parametrize("dimensions", [1, 6, 200])
def test_the_mean_distance_is_that_of_numpy(dimensions: int) -> None:
    rows = RANDOM.normal(size=(2_000, dimensions))
    reference = vector_reference(rows)
    axes = profile_of(reference).axes

    found = compared(rows, rows[:700] + 0.3)["mean_distance"]

    expected = by_hand(axes.places(rows), axes.places(rows[:700] + 0.3))
    assert found.value == pytest.approx(expected, abs=1e-9)


def test_the_mean_distance_of_short_rows_is_in_their_own_unit() -> None:
    found = compared(ROWS, ROWS[:500] + 1.5)["mean_distance"]

    assert found.value == pytest.approx(by_hand(ROWS, ROWS[:500] + 1.5), rel=1e-3)


@pytest.mark.parametrize("dimensions", [1, 2, 20])
@pytest.mark.parametrize("shift", [0.02, 0.1, 0.2])
def test_the_p_value_of_round_rows_is_that_of_f(dimensions: int, shift: float) -> None:
    from scipy.stats import f  # noqa: PLC0415 - slow to import

    rows = RANDOM.normal(size=(400, dimensions))
    rows = rows - rows.mean(axis=0)
    # Exactly round: then Dempster's ratio is F.
    rows = rows @ np.linalg.inv(np.linalg.cholesky(np.atleast_2d(np.cov(rows.T)))).T
    window = rows[:300] - rows[:300].mean(axis=0) + shift

    found = compared(rows, window)["mean_distance"]

    assert found.p_value is not None
    variance = max(dimensions, window.var(axis=0, ddof=1).sum())
    ratio = dimensions * shift**2 / (dimensions / 400 + variance / 300)
    expected = f.sf(ratio, dimensions, 399 * dimensions)
    assert found.p_value == pytest.approx(expected, rel=0.12, abs=1e-12)


@pytest.mark.parametrize("rows", [ROWS, WIDE])
def test_mmd_is_what_scikit_learns_kernel_gives(rows: Floats) -> None:
    from sklearn.metrics.pairwise import euclidean_distances, rbf_kernel  # noqa: PLC0415 - slow

    profile = profile_of(vector_reference(rows))
    window = rows[:400] * 1.3 + 0.02
    counts = counted(profile, window)

    found = compared(rows, window)["mmd"]

    x, y = profile.sample.astype(float), counts.sample.astype(float)
    both = np.concatenate((x, y))
    distances = euclidean_distances(both)[np.triu_indices(len(both), 1)]
    gamma = 1 / (2 * np.median(distances**2))
    a, b = len(x), len(y)
    expected = (rbf_kernel(x, gamma=gamma).sum() - a) / (a * (a - 1))
    expected += (rbf_kernel(y, gamma=gamma).sum() - b) / (b * (b - 1))
    expected -= 2 * rbf_kernel(x, y, gamma=gamma).mean()
    assert found.value == pytest.approx(expected, abs=1e-8)


def test_mmd_sees_what_leaves_the_mean_alone() -> None:
    wider = ROWS[:1_500] * 1.0
    wider = (wider - wider.mean(axis=0)) * 1.6 + ROWS.mean(axis=0)

    found = compared(ROWS, wider)

    assert found["mean_distance"].low == 0
    assert found["mmd"].low is not None
    assert found["mmd"].low > 0
    assert found["mmd"].p_value == pytest.approx(0.002)


@pytest.mark.parametrize("metric", METRICS)
def test_a_few_rows_tell_nothing(metric: str) -> None:
    assert compared(ROWS, ROWS[:29] + 100)[metric].value is None
    assert compared(ROWS[:29], ROWS + 100)[metric].value is None
    assert compared(ROWS, ROWS[:30] + 100)[metric].value is not None


@pytest.mark.parametrize("metric", METRICS)
def test_an_outlier_of_a_window_is_one_row_however_far(metric: str) -> None:
    window = ROWS[:1_000] + 1
    usual, *far = (
        compared(ROWS, np.concatenate((first * np.ones((1, 6)), window[1:])))[metric]
        for first in (5.0, 1e6, 1e9, 1e300)
    )

    assert far[0] == far[1] == far[2]
    assert usual.value is not None
    assert far[0].value == pytest.approx(usual.value, abs=16 / 1_000)


@pytest.mark.parametrize("metric", METRICS)
def test_an_outlier_among_the_first_rows_of_a_reference_is_one_row(metric: str) -> None:
    usual, *far = (
        compared(np.concatenate((first * np.ones((1, 6)), ROWS[1:])), ROWS[:1_000] + 1)[metric]
        for first in (5.0, 1e6, 1e300)
    )

    assert far[0] == far[1]
    assert usual.value is not None
    assert far[0].value == pytest.approx(usual.value, abs=0.02)


def test_they_are_measured_where_asked_for_and_missing_rows_always() -> None:
    reference = vector_reference()
    pane = Pane(reference, Schema({}))
    window = np.concatenate((ROWS[:60], np.full((20, 6), np.nan)))
    pane.add(batch_of([0.0] * 80, {"x": VectorColumn(window)}))

    found = measure(pane, reference, seconds=None, confidence=0.95, metrics=COLUMN_DEFAULTS)

    by_metric = {one.metric: one for one in found if one.column == "x"}
    assert by_metric.keys() == {"missing_ratio", "invalid_ratio"}
    assert by_metric["missing_ratio"].value == 0.25


def test_a_season_leaves_vectors_to_the_whole_reference() -> None:
    columns: dict[str, Column] = {"x": VectorColumn(ROWS), "n": NumberColumn(ROWS[:, 0])}
    whole = reference_of(columns)
    season = SeasonBuilder(whole, "hour-of-day", "UTC")
    season.add(np.zeros(len(ROWS), np.int64), columns)
    part = season.season().slots[0]
    pane = Pane(whole, Schema({}))
    pane.add(batch_of([0.0] * len(ROWS), columns))

    def distance(part: Reference | None) -> list[Measurement]:
        found = measure(pane, whole, seconds=None, confidence=0.9, metrics=METRICS, part=part)
        return [one for one in found if one.metric == "mean_distance"]

    assert list(part.columns) == ["n"]
    assert distance(part) == distance(None) != []


def test_the_drift_rule_does_not_look_at_vectors() -> None:
    reference = reference_of({"x": VectorColumn(ROWS), "n": NumberColumn(ROWS[:, 0])})

    assert Watch.of(reference, ["n", "x"]).names == ["n"]
