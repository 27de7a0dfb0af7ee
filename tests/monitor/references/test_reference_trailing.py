"""The traffic of a while ago as the reference: which rows are in it, and what it costs."""

from __future__ import annotations

import random
from collections.abc import Mapping

import numpy as np
import pytest

from collectors.batch import CategoryColumn, NumberColumn, PredictionBatch
from detectors.columns.profile import NumberProfile
from detectors.reference.reference import Reference
from monitor.references.trailing import VERSIONS_MAX, TrailingReferences, TrailingSpec

#: Runs of 32 rows, at most 128 of them.
SPEC = TrailingSpec(length_s=1_000.0, gap_s=100.0, refresh_s=100.0, events=4_096)
WINDOW_S = 10.0


def batch(
    ts: np.ndarray, *, version: str = "7", x: np.ndarray | None = None, status: int = 200
) -> PredictionBatch:
    rows = len(ts)
    return PredictionBatch(
        model="m",
        version=version,
        role="live",
        latency_kind="server",
        ts=ts.astype(float),
        latency_ms=np.full(rows, np.nan),
        status=np.full(rows, status),
        weight=np.ones(rows),
        columns={
            # The value of a row is its time, so that a reference tells when its rows were.
            "x": NumberColumn(ts.astype(float) if x is None else x),
            "plan": CategoryColumn(["gold"] * rows),
        },
    )


def trailing(seed: int = 1, spec: TrailingSpec = SPEC) -> TrailingReferences:
    return TrailingReferences(spec, 100_000, chance=random.Random(seed).random, clock=lambda: 5.0)


def serve(
    references: TrailingReferences,
    begins: float,
    ends: float,
    *,
    rate: float = 10.0,
    version: str = "7",
    unhealthy: tuple[float, float] = (-1.0, -1.0),
) -> None:
    """Serve events at a rate, window by window; windows that begin in a stretch breach."""
    for start in np.arange(begins, ends, WINDOW_S).tolist():
        ts = start + np.arange(int(rate * WINDOW_S)) / rate
        for part in np.array_split(ts, 3):
            assert references.collect(batch(part, version=version)) is not None
        healthy = not unhealthy[0] <= start < unhealthy[1]
        references.concluded(version, start, start + WINDOW_S, healthy=healthy)


def times(reference: Reference | None) -> np.ndarray:
    assert reference is not None
    profile = reference.columns["x"]
    assert isinstance(profile, NumberProfile)
    return np.repeat(profile.points, profile.counts)


def restored(
    references: TrailingReferences, states: Mapping[str, bytes | None], spec: TrailingSpec = SPEC
) -> TrailingReferences:
    after = trailing(seed=2, spec=spec)
    after.restore({name: state for name, state in states.items() if state is not None})
    return after


def test_the_reference_is_of_the_stretch_behind_the_gap() -> None:
    references = trailing()

    serve(references, 0.0, 3_000.0)

    found = times(references.of("7"))
    run_s = SPEC.run_rows / 10.0
    assert found.min() >= 3_000 - 1_000 - 100 - 100 - run_s
    assert found.max() <= 3_000 - 100 + run_s
    assert 3_000 <= found.size <= SPEC.events


def test_every_row_of_the_stretch_is_equally_likely_whatever_the_traffic() -> None:
    shares = []
    for seed in range(30):
        references = trailing(seed)
        serve(references, 0.0, 500.0, rate=100.0)
        serve(references, 500.0, 1_000.0, rate=20.0)
        serve(references, 1_000.0, 1_200.0, rate=1.0)
        found = times(references.of("7"))
        shares.append(float((found < 500).mean()))

    # Within the stretch [100, 1,100) of the last reference: 40,000 and 10,000 rows, and few more.
    assert np.mean(shares) == pytest.approx(0.8, abs=0.03)


def test_rows_that_are_read_long_before_their_windows_close_are_not_lost() -> None:
    references = TrailingReferences(SPEC, 100_000, clock=lambda: 1e9)
    references.collect(batch(np.arange(20_000) / 10))

    for ends in range(10, 2_000, 10):
        references.concluded("7", ends - 10, ends, healthy=True)

    assert 1_700 <= times(references.of("7")).max() <= 1_900


def test_too_little_traffic_makes_no_reference_and_says_so() -> None:
    references = trailing()

    serve(references, 0.0, 150.0)

    assert references.of("7") is None
    assert "of 1,000 rows that are older than 100s are kept" in references.trouble("7")


def test_rows_of_windows_with_a_breach_are_not_in_it() -> None:
    references = trailing()

    serve(references, 0.0, 2_000.0, unhealthy=(1_000.0, 1_500.0))

    found = times(references.of("7"))
    run_s = SPEC.run_rows / 10.0
    within = (found > 1_000 + run_s) & (found < 1_500 - run_s)
    assert not within.any()
    assert (found < 1_000).any()
    assert (found > 1_500).any()


def test_a_breach_without_end_leaves_the_last_reference_as_it_was() -> None:
    references = trailing()
    serve(references, 0.0, 2_000.0)
    before = references.of("7")

    serve(references, 2_000.0, 5_000.0, unhealthy=(1_890.0, 5_000.0))

    assert before is not None
    after = references.of("7")
    assert after is not None
    assert times(after).max() < 2_000


def test_rows_of_failed_requests_are_not_in_it() -> None:
    references = trailing()
    serve(references, 0.0, 1_000.0)
    references.collect(batch(np.full(10_000, 1_000.5), status=500))

    serve(references, 1_001.0, 1_500.0)

    assert 1_000.5 not in times(references.of("7"))


def test_each_version_has_its_own() -> None:
    references = trailing()
    for begins in np.arange(0.0, 1_500.0, 50.0):
        serve(references, begins, begins + 20.0, version="1")
        serve(references, begins + 20.0, begins + 50.0, version="2")

    first, second = times(references.of("1")), times(references.of("2"))

    assert (first % 50 < 20).all()
    assert (second % 50 >= 20).all()


@pytest.mark.parametrize("cut", [333.3, 1_210.0, 1_499.9])
def test_after_a_restart_it_goes_on_with_the_same_rows(cut: float) -> None:
    references = trailing()
    serve(references, 0.0, cut)
    states = references.changed()
    after = restored(references, states)

    first, second = references.of("7"), after.of("7")

    assert (first and first.digest) == (second and second.digest)
    serve(after, cut, 3_000.0)
    found = times(after.of("7"))
    assert found.min() >= 1_700
    assert found.size >= 3_000


def test_what_is_written_is_what_changed_and_what_is_not_kept_is_deleted() -> None:
    references, store = trailing(), dict[str, bytes]()
    written = []
    for begins in np.arange(0.0, 2_500.0, 100.0):
        serve(references, begins, begins + 100.0, rate=200.0)
        changed = references.changed()
        for name, state in changed.items():
            if state is None:
                store.pop(name, None)
            else:
                store[name] = state
        runs = (name for name, state in changed.items() if state and "run-" in name)
        written.append(len(list(runs)))

    after = restored(references, store)
    assert sum("run-" in name for name in store) <= 2.6 * SPEC.runs_max
    # Of the 625 runs that a hundred seconds bring.
    assert max(written) <= 100
    assert after.changed() == {}
    first, second = references.of("7"), after.of("7")
    assert (first and first.digest) == (second and second.digest)


def test_another_configuration_keeps_the_reference_and_samples_anew() -> None:
    references = trailing()
    serve(references, 0.0, 2_000.0)
    states = references.changed()
    other = TrailingSpec(2_000.0, 100.0, 100.0, 4_096)

    after = restored(references, states, other)

    before, kept = references.of("7"), after.of("7")
    assert before is not None
    assert kept is not None
    assert before.digest == kept.digest
    runs = {name for name, state in states.items() if state and "run-" in name}
    assert {name for name, state in after.changed().items() if state is None} >= runs


def test_what_is_damaged_is_not_an_end(caplog: pytest.LogCaptureFixture) -> None:
    references = trailing()
    serve(references, 0.0, 2_000.0)
    states = dict.fromkeys(references.changed(), b"\xc1")

    after = restored(references, states)

    assert after.of("7") is None
    assert "starts anew" in caplog.text


def test_a_flood_of_versions_does_not_push_out_the_one_with_traffic() -> None:
    references = trailing()
    serve(references, 0.0, 2_000.0)
    before = references.of("7")

    for number in range(1_000):
        references.collect(batch(np.array([2_000.0]), version=f"build-{number}"))

    assert references.of("7") is before is not None
    assert references.evicted_versions == 1_000 - VERSIONS_MAX + 1


def test_a_wrong_clock_takes_no_room_for_ever() -> None:
    references = trailing()
    serve(references, 0.0, 500.0)
    for year in range(1, 200):
        references.collect(batch(np.full(64, year * 3e7)))

    serve(references, 500.0, 3_000.0)

    assert times(references.of("7")).max() < 3_000
    runs = [name for name, state in references.changed().items() if state and "run-" in name]
    assert len(runs) <= 2.6 * SPEC.runs_max


def test_a_column_that_changed_its_kind_is_taken_as_it_is_now() -> None:
    references = trailing()
    for start in np.arange(0.0, 2_000.0, WINDOW_S).tolist():
        ts = start + np.arange(100) / 10
        one = batch(ts)
        if start < 1_000:
            columns = {**one.columns, "plan": NumberColumn(np.zeros(100))}
            one = PredictionBatch(
                *(one.model, one.version, one.role, one.latency_kind, one.ts),
                *(one.latency_ms, one.status, one.weight, columns),
            )
        references.collect(one)
        references.concluded("7", start, start + WINDOW_S, healthy=True)

    reference = references.of("7")

    assert reference is not None
    assert reference.columns["plan"].kind == "category"
    assert reference.columns["plan"].missing > 0


def test_rows_that_were_not_neighbours_say_nothing_of_longer_windows() -> None:
    references = trailing()
    serve(references, 0.0, 2_000.0)

    reference = references.of("7")

    assert reference is not None
    dispersion = reference.columns["x"].dispersion
    assert dispersion is not None
    assert [scale.rows for scale in dispersion.scales] == [32]
    # Times go up and up: a run of 32 rows is all at one time, and so is any longer window.
    assert dispersion.design_effect(3_200).cumulative > 100 * 20
