"""Proposed thresholds keep their rate on fresh traffic, independent or not; doubts are told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
import pytest
from scipy.signal import lfilter

from collectors.batch import Floats
from detectors.calibration import Proposal, Quorum, propose
from detectors.numerics.block_bootstrap import block_length, resamples

Chance = np.random.Generator

ONE, MOST = Quorum(1, 1), Quorum(3, 4)


def independent(n: int, chance: Chance) -> Floats:
    return chance.standard_normal(n)


def autocorrelated(n: int, chance: Chance) -> Floats:
    found: Floats = lfilter([1.0], [1.0, -0.9], chance.standard_normal(n) * np.sqrt(1 - 0.81))
    return found


def seasonal(n: int, chance: Chance) -> Floats:
    return autocorrelated(n, chance) + np.sin(np.arange(n) * 2 * np.pi / 288)


def proposed(values: Floats, quorum: Quorum, rate: float, seed: int = 1) -> Proposal:
    return propose([values], quorum, rate=rate, overlap=1, chance=np.random.default_rng(seed))


def alarms(values: Floats, threshold: float, quorum: Quorum) -> int:
    """Confirmations by the rule's own words, from breach to breach."""
    count, is_open = 0, False
    last: deque[int] = deque()
    for window in np.flatnonzero(values > threshold).tolist():
        if last and window - last[-1] > quorum.of:
            is_open = False  # there were `of` windows without a breach
        last.append(window)
        while last[0] <= window - quorum.of:
            last.popleft()
        if len(last) >= quorum.needed and not is_open:
            count, is_open = count + 1, True
    return count


def test_an_autoregression_is_drawn_in_longer_blocks_than_noise() -> None:
    chance = np.random.default_rng(5)

    noise = [block_length(independent(2000, chance)) for _ in range(20)]
    echo = [block_length(autocorrelated(2000, chance)) for _ in range(20)]

    assert np.median(noise) < 5
    # The optimum of an AR(1) process: (2 rho / (1 - rho^2))^(2/3) N^(1/3), about 56.
    assert 30 < np.median(echo) < 100


def test_resamples_go_on_in_blocks_of_the_mean_length_and_go_round() -> None:
    drawn = list(resamples(1000, 20.0, 50, np.random.default_rng(2)))

    follows = np.concatenate([(rows[1:] - rows[:-1]) % 1000 == 1 for rows in drawn])
    assert all(rows.min() >= 0 and rows.max() < 1000 for rows in drawn)
    assert 1 / (1 - follows.mean()) == pytest.approx(20, rel=0.1)


@pytest.mark.parametrize("quorum", [ONE, MOST], ids=["1 of 1", "3 of 4"])
def test_a_long_series_counts_and_says_how_many_alarms_it_had(quorum: Quorum) -> None:
    values = autocorrelated(5000, np.random.default_rng(3))

    found = proposed(values, quorum, 1 / 200)

    assert found.basis == "counted"
    assert found.alarms == alarms(values, found.threshold, quorum)
    assert found.alarms / 5000 < found.rate_proven <= 1 / 200


def test_a_series_that_is_too_short_says_what_it_proves_and_extrapolates_beyond_its_peaks() -> None:
    values = independent(1000, np.random.default_rng(4))

    found = proposed(values, ONE, 1 / 50_000)

    assert found.basis == "tail"
    assert found.threshold > values.max()
    # Without an alarm in n windows: 3 / n.
    assert found.rate_proven == pytest.approx(3 / 1000, rel=0.01) or found.clustering > 1
    assert found.rate_proven > 1 / 50_000


def test_a_series_without_peaks_proposes_its_largest_level_and_no_more() -> None:
    values = np.zeros(500)
    values[100] = 0.5

    found = proposed(values, ONE, 1 / 50_000)

    assert (found.basis, found.threshold) == ("largest", 0.5)


def test_windows_that_tell_nothing_are_no_alarms_and_windows_that_always_breach_cannot_be() -> None:
    silent = np.full(300, -np.inf)
    broken = np.append(independent(300, np.random.default_rng(1)), np.inf)

    assert proposed(silent, ONE, 0.01).basis == "none"
    assert proposed(broken, ONE, 0.01).basis == "none"


def test_no_quorum_reaches_over_from_one_version_to_another() -> None:
    high = np.concatenate((np.zeros(50), [9.0]))

    found = propose(
        [high, high[::-1]], Quorum(2, 3), rate=0.5, overlap=1, chance=np.random.default_rng(1)
    )

    assert found.threshold == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("quorum", [ONE, MOST], ids=["1 of 1", "3 of 4"])
@pytest.mark.parametrize("traffic", [independent, autocorrelated, seasonal])
def test_the_rate_is_kept_on_fresh_traffic(
    traffic: Callable[[int, Chance], Floats], quorum: Quorum
) -> None:
    chance = np.random.default_rng(17)
    fresh, rate, trials = traffic(200_000, chance), 1 / 250, 60

    found = [proposed(traffic(3000, chance), quorum, rate, seed) for seed in range(trials)]
    over = [alarms(fresh, one.threshold, quorum) / fresh.size > rate for one in found]

    assert {one.basis for one in found} == {"counted"}
    # It is sure by 95 %: of 60, three; more than eight in a few of a thousand such tests.
    assert sum(over) <= 8


@pytest.mark.slow
@pytest.mark.parametrize("quorum", [ONE, MOST], ids=["1 of 1", "3 of 4"])
@pytest.mark.parametrize("traffic", [independent, autocorrelated, seasonal])
def test_what_is_extrapolated_mostly_keeps_a_rate_beyond_the_series(
    traffic: Callable[[int, Chance], Floats], quorum: Quorum
) -> None:
    chance = np.random.default_rng(18)
    fresh, rate, trials = traffic(400_000, chance), 1 / 8000, 40

    found = [proposed(traffic(2000, chance), quorum, rate, seed) for seed in range(trials)]
    over = [alarms(fresh, one.threshold, quorum) / fresh.size > rate for one in found]

    assert {one.basis for one in found} == {"tail"}
    assert np.mean(over) <= 0.2
