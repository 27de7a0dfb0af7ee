"""Evidence over windows: the mean of an e-value, the run to a false alarm, what is found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import ndtr, ndtri, xlogy

from collectors.batch import Floats
from detectors.rules.e_detector import (
    MEMORIES,
    Evidence,
    Null,
    alarm_at,
    gather,
    log_ratios,
    radius,
)

SHARES = arrays(np.float64, 6, elements=st.floats(0.01, 1)).map(lambda rows: rows / rows.sum())


def kl(r: Floats, p: Floats) -> float:
    return float((xlogy(r, r) - xlogy(r, p)).sum())


def within(r: Floats, direction: Floats, size: float) -> Floats:
    """Shares from r towards others, as far as the ball goes."""
    far = 1.0
    while kl(r, (1 - far) * r + far * direction) > size:
        far *= 0.9
    return (1 - far) * r + far * direction


def uniform(columns: int, rows: int, bins: int = 9) -> Null:
    return Null(
        np.full((columns, bins), 1 / bins), np.full(columns, float(rows)), np.full(columns, 9.0)
    )


def sampled(rng: np.random.Generator, columns: int, rows: int, shares: Floats) -> Null:
    """References of `rows` rows each."""
    counts = rng.multinomial(rows, shares, columns)
    return Null(counts / rows, np.full(columns, float(rows)), np.full(columns, float(shares.size)))


def shifted(sd: float, bins: int = 8) -> Floats:
    return np.diff(ndtr(ndtri(np.arange(1, bins) / bins) - sd), prepend=0.0, append=1.0)


def follow(
    null: Null,
    windows: list[Floats],
    *,
    run_length: float,
    miss: float = 1e-3,
    tolerance: float = 0.002,
    effect: float = 1.0,
    evidence: Evidence | None = None,
) -> list[Evidence]:
    """Evidence after each window."""
    shape = len(MEMORIES), null.columns
    size = radius(int(null.bins[0]), int(null.rows[0]), effect, tolerance, miss)
    after = evidence or Evidence.none(null)
    found = []
    for counts in windows:
        after = gather(
            after,
            null,
            counts,
            radii=np.full(shape, size),
            effects=np.full(shape, effect),
            run_length=run_length,
        )
        found.append(after)
    return found


@given(SHARES, SHARES, SHARES, st.floats(0, 1), st.floats(1e-4, 0.5))
def test_the_mean_of_an_e_value_is_at_most_1_wherever_in_the_ball_the_truth_lies(
    r: Floats, q: Floats, direction: Floats, far: float, size: float
) -> None:
    truth = (1 - far) * r + far * within(r, direction, size)

    ratios, _ = log_ratios(r[None], q[None], np.array([size]))

    assert (truth * np.exp(ratios[0])).sum() <= 1 + 1e-6


@given(SHARES, SHARES, st.floats(1e-4, 0.5))
def test_a_bet_within_the_ball_says_nothing_and_one_outside_wins_if_it_is_right(
    r: Floats, q: Floats, size: float
) -> None:
    ratios, is_bet = log_ratios(r[None], q[None], np.array([size]))

    assert is_bet[0] == (kl(r, q) > size)
    if is_bet[0]:
        assert (q * ratios[0]).sum() > 0
    else:
        assert not ratios.any()


@given(SHARES, SHARES, SHARES, st.floats(1e-3, 0.5))
def test_no_shares_in_the_ball_are_nearer_to_the_bet(
    r: Floats, q: Floats, other: Floats, size: float
) -> None:
    ratios, _ = log_ratios(r[None], q[None], np.array([size]))

    nearest = float((q * ratios[0]).sum())
    assert nearest <= kl(q, within(r, other, size)) + 1e-6


@pytest.mark.parametrize("zero", [0, 3], ids=["first", "inner"])
def test_a_bin_that_the_reference_lacks_is_bet_on_without_end(zero: int) -> None:
    r = np.full((1, 4), 1 / 3)
    r[0, zero] = 0
    q = np.full((1, 4), 0.25)

    ratios, is_bet = log_ratios(r, q, np.array([0.01]))

    assert is_bet[0]
    assert np.isfinite(ratios).all()
    assert ratios[0, zero] > 1


@pytest.mark.parametrize("rows", [50, 200, 1_000, 20_000])
@pytest.mark.parametrize("sd", [0.0, 0.0447], ids=["no drift", "drift at the tolerance"])
def test_the_ball_misses_the_truth_at_most_as_often_as_stated(rows: int, sd: float) -> None:
    rng = np.random.default_rng(2)
    truth, miss, references = shifted(sd), 0.01, 20_000
    tolerance = float(((truth - shifted(0)) * np.log(truth / shifted(0))).sum()) if sd else 0.002

    shares = rng.multinomial(rows, shifted(0), references) / rows
    distances = (xlogy(shares, shares) - xlogy(shares, truth)).sum(axis=1)

    missed = int((distances > radius(8, rows, 1.0, tolerance, miss)).sum())
    assert missed <= references * 1.2 * miss + 4 * np.sqrt(references * miss)


@pytest.mark.parametrize("rows", [5, 40, 400])
def test_evidence_grows_by_1_a_window_at_most_on_average(rows: int) -> None:
    rng = np.random.default_rng(4)
    null = uniform(20_000, 10**9)
    windows = [rng.multinomial(rows, null.shares[0], null.columns).astype(float) for _ in range(25)]

    # A ball of no size: every window is bet on, and all that is learned is noise.
    found = follow(null, windows, run_length=1e9, tolerance=1e-12)

    for number, evidence in enumerate(found, 1):
        m = np.exp(evidence.log_m)
        error = m.std(axis=1) / np.sqrt(null.columns)
        assert (m.mean(axis=1) <= number + 5 * error).all()
    assert np.exp(found[-1].log_m).mean() > 0.5


def runs_to_an_alarm(found: list[Evidence], *, together: int, run_length: float) -> list[int]:
    """Windows to the first alarm of each so many columns; as many as there are without one.

    Detectors side by side in one array, which takes a tenth of the time: no column depends on
    another before the alarm, and evidence is cut off only where there has been one.
    """
    parts = [slice(at, at + together) for at in range(0, found[0].log_m.shape[1], together)]
    runs = [len(found)] * len(parts)
    for number, one in reversed(list(enumerate(found, 1))):
        for detector, at in enumerate(parts):
            own = Evidence(one.log_m[:, at], one.past[:, at], one.past_squares[:, at])
            if own.total >= np.log(alarm_at(run_length)):
                runs[detector] = number
    return runs


def test_detectors_side_by_side_alarm_when_each_would_alone() -> None:
    rng = np.random.default_rng(5)
    null = sampled(rng, 12, 2_000, shifted(0))
    windows = [rng.multinomial(50, shifted(0.4), 12).astype(float) for _ in range(40)]

    together = runs_to_an_alarm(follow(null, windows, run_length=50), together=3, run_length=50)
    alone = []
    for first in range(0, 12, 3):
        at = slice(first, first + 3)
        part = Null(null.shares[at], null.rows[at], null.bins[at])
        found = follow(part, [counts[at] for counts in windows], run_length=50)
        alone.append(next((i for i, one in enumerate(found, 1) if one.alarmed), 40))

    assert together == alone
    assert len(set(alone) - {40}) > 1


@pytest.mark.parametrize("run_length", [50, 200])
@pytest.mark.parametrize("reference_rows", [60, 300, 5_000])
def test_the_mean_run_to_a_false_alarm_is_at_least_what_is_asked_for(
    run_length: int, reference_rows: int
) -> None:
    rng = np.random.default_rng(6)
    columns, detectors = 5, 100

    null = sampled(rng, columns * detectors, reference_rows, shifted(0))
    windows = [
        rng.multinomial(100, shifted(0), null.columns).astype(float) for _ in range(2 * run_length)
    ]
    found = follow(null, windows, run_length=run_length, miss=0.01 / columns)
    runs = runs_to_an_alarm(found, together=columns, run_length=run_length)

    # A run is broken off at twice the length: its mean is at least that much longer.
    assert len(runs) == detectors
    assert np.mean(runs) >= run_length


def test_the_run_to_a_false_alarm_holds_even_when_every_window_is_bet_on() -> None:
    rng = np.random.default_rng(8)
    run_length, columns, detectors = 50, 3, 100

    null = uniform(columns * detectors, 10**9)
    windows = [
        rng.multinomial(50, null.shares[0], null.columns).astype(float)
        for _ in range(4 * run_length)
    ]
    found = follow(null, windows, run_length=run_length, tolerance=1e-12)
    runs = runs_to_an_alarm(found, together=columns, run_length=run_length)

    assert np.mean(runs) >= run_length


def test_a_creep_that_no_window_proves_is_found_and_its_end_too() -> None:
    rng = np.random.default_rng(10)
    null = sampled(rng, 20, 100_000, shifted(0))
    run_length = 10_000.0

    def windows(count: int, sd: float) -> list[Floats]:
        shares = np.tile(shifted(0), (20, 1))
        shares[7] = shifted(sd)
        return [
            np.array([rng.multinomial(2_000, column) for column in shares], np.float64)
            for _ in range(count)
        ]

    quiet = follow(null, windows(60, 0.0), run_length=run_length)
    creeping = follow(null, windows(60, 0.1), run_length=run_length, evidence=quiet[-1])
    after = follow(null, windows(120, 0.0), run_length=run_length, evidence=creeping[-1])

    assert not any(one.alarmed for one in quiet)
    assert creeping[-1].alarmed
    assert int(creeping[-1].by_column.argmax()) == 7
    assert creeping[-1].divergence(null)[7] == pytest.approx(0.01, abs=0.005)
    assert not after[-1].alarmed


def test_an_alarm_lasts_until_the_evidence_has_fallen_well_below_what_raised_it() -> None:
    null = uniform(1, 1_000)
    standing = Evidence.none(null)
    standing.log_m[:] = np.log(alarm_at(100) * 0.5)
    standing.past[:] = 100 * np.array([0.9, *[0.1 / 8] * 8])
    standing.past_squares[:] = 100
    no_rows = [np.zeros((1, 9))]

    fresh = follow(null, no_rows, run_length=100, evidence=standing)[0]
    standing.alarmed = True
    lasting = follow(null, no_rows, run_length=100, evidence=standing)[0]
    standing.log_m[:] = np.log(alarm_at(100) * 0.05)
    ended = follow(null, no_rows, run_length=100, evidence=standing)[0]

    assert (fresh.alarmed, lasting.alarmed, ended.alarmed) == (False, True, False)


def test_dependent_rows_say_less() -> None:
    rng = np.random.default_rng(12)
    null = sampled(rng, 1, 100_000, shifted(0))
    windows = [rng.multinomial(2_000, shifted(0.3), 1).astype(float) for _ in range(4)]

    independent = follow(null, windows, run_length=1e9)[-1]
    clustered = follow(null, windows, run_length=1e9, effect=8.0)[-1]

    assert clustered.total < independent.total


def test_without_columns_there_is_no_alarm() -> None:
    null = Null(np.zeros((0, 0)), np.zeros(0), np.zeros(0))

    evidence = gather(
        Evidence.none(null),
        null,
        np.zeros((0, 0)),
        radii=np.zeros((len(MEMORIES), 0)),
        effects=np.zeros((len(MEMORIES), 0)),
        run_length=10.0,
    )

    assert not evidence.alarmed
