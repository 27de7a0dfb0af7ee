"""Thresholds that keep a rate of false alarms, learnt from windows that are known to be healthy.

A rule looks at one bound of each window (the lower one, for `above`), and is confirmed when
`needed` of the last `of` windows breach. At a threshold, a healthy series gives so many *alarms*:
confirmations, each over when none of the last `of` windows breaches. All of them are false.

Alarms that are rare come as a Poisson process, wherever the windows' own dependence makes
clusters of what follows one alarm. How much they cluster beyond that is measured by resampling
the series in blocks, as the variance of their number over its mean, and widens the limit.

What a series can prove is limited by its length: without any alarm in n windows, the rate may
still be 3 / n with 95 % confidence. Below that a threshold can only be extrapolated, by the tail
of the peaks, and says so.

References
----------
F. Garwood (1936), Fiducial limits for the Poisson distribution. Biometrika 28, 437-442.

J. Pickands (1975), Statistical inference using extreme order statistics. Annals of Statistics 3,
119-131: beyond a high threshold, peaks follow a generalised Pareto distribution.

J. R. M. Hosking and J. R. Wallis (1987), Parameter and quantile estimation for the generalized
Pareto distribution. Technometrics 29, 339-349: its estimate by probability-weighted moments.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from detectors.numerics.block_bootstrap import block_length, resamples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from collectors.batch import Floats, Ints

#: How sure it is that the proposed threshold keeps the rate.
CONFIDENCE = 0.95
RESAMPLES = 400
#: Peaks that a tail is fitted to: so many if the series has them, and not without the least.
PEAKS, PEAKS_MIN = 30, 10
#: Alarms of the threshold at which their clustering is measured.
_CLUSTERED = 20

Basis: TypeAlias = Literal["counted", "tail", "largest", "none"]


@dataclass(frozen=True, slots=True)
class Quorum:
    """A breach is confirmed when `needed` of the last `of` windows breach."""

    needed: int
    of: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """A threshold, and what it rests on. Rates are alarms per window.

    Parameters
    ----------
    threshold
        A window breaches beyond it. ``inf`` where none keeps the rate.
    basis
        ``counted``: the series is long enough to prove the rate. ``tail``: extrapolated from its
        peaks. ``largest``: no tail could be fitted; it is the largest that the series confirms,
        and the rate is not kept for sure. ``none``: there is no such threshold.
    alarms
        Of the series at the threshold.
    rate_proven
        With `CONFIDENCE` there are not more alarms per window than this, by counting alone.
    windows, judged
        Length of the series, and how many of its windows told anything.
    block
        Mean length of the blocks that were drawn, in windows.
    clustering
        Variance of the number of alarms over its mean, at least 1.
    """

    threshold: float
    basis: Basis
    alarms: int
    rate_proven: float
    windows: int
    judged: int
    block: float
    clustering: float


def propose(
    series: Sequence[Floats],
    quorum: Quorum,
    *,
    rate: float,
    overlap: int,
    chance: np.random.Generator,
) -> Proposal:
    """Propose a threshold above which a healthy series alarms at most at a rate.

    Parameters
    ----------
    series
        The bound that the rule compares, window by window, a series a version; ``-inf`` of
        windows that tell nothing, ``inf`` of those that breach whatever the threshold. For a rule
        with `below`, the negated bounds (and the threshold comes out negated).
    rate
        Alarms per window, above 0.
    overlap
        Windows that share rows: blocks are not shorter than these and the quorum together.
    chance
        Draws the blocks.
    """
    bounds = _joined(series, quorum)
    windows = sum(one.size for one in series)
    levels = _quorum_levels(bounds, quorum)
    judged = int(np.isfinite(bounds).sum())
    finite = np.unique(levels[np.isfinite(levels)])
    if not judged or np.isposinf(levels).any() or not finite.size:
        return Proposal(math.inf, "none", 0, _limit(0, windows, 1.0), windows, judged, 1.0, 1.0)
    filled = np.where(np.isfinite(bounds), bounds, np.median(bounds[np.isfinite(bounds)]))
    block = max(block_length(filled), float(overlap + quorum.of))
    peaks = _Peaks(bounds, levels, quorum, block, chance)
    clustering = peaks.clustering(finite)

    def proposal(threshold: float, basis: Basis) -> Proposal:
        alarms = peaks.at(threshold)[0].size
        proven = _limit(alarms, windows, clustering)
        return Proposal(threshold, basis, alarms, proven, windows, judged, block, clustering)

    if _limit(0, windows, clustering) <= rate:
        counted = _smallest(
            finite, lambda at: _limit(peaks.at(at)[0].size, windows, clustering) <= rate
        )
        return proposal(counted, "counted")
    extrapolated = peaks.extrapolated(finite, rate, windows)
    if extrapolated is None:
        return proposal(float(finite[-1]), "largest")
    return proposal(extrapolated, "tail")


class _Peaks:
    """The alarms of a series at thresholds: where each begins, and how high it rises."""

    def __init__(
        self,
        bounds: Floats,
        levels: Floats,
        quorum: Quorum,
        block: float,
        chance: np.random.Generator,
    ) -> None:
        self._bounds, self._levels, self._quorum = bounds, levels, quorum
        self._block, self._chance = block, chance

    def at(self, threshold: float) -> tuple[Ints, Floats]:
        """Return the windows that confirm an alarm, and the largest threshold each confirms."""
        confirms = np.flatnonzero((self._levels > threshold) & (self._bounds > threshold))
        if not confirms.size:
            return confirms, np.empty(0)
        breaching = np.flatnonzero(self._bounds > threshold)
        gaps = np.diff(breaching)
        # Between two breaches more than `of` windows apart there is one with none among its last.
        episode = np.concatenate(([0], np.cumsum(gaps > self._quorum.of)))
        of_confirm = episode[np.searchsorted(breaching, confirms)]
        first = np.concatenate(([True], of_confirm[1:] != of_confirm[:-1]))
        return confirms[first], np.maximum.reduceat(self._levels[confirms], np.flatnonzero(first))

    def clustering(self, candidates: Floats) -> float:
        """Return the variance of the number of alarms over its mean, where there are some."""
        threshold = self._with_alarms(candidates, _CLUSTERED)
        begins, _ = self.at(threshold)
        if begins.size < 2:  # noqa: PLR2004 - of one there is no variance
            return 1.0
        counts = [rows.size for rows in self._drawn(begins)]
        return max(1.0, float(np.var(counts, ddof=1)) / begins.size)

    def extrapolated(self, candidates: Floats, rate: float, windows: int) -> float | None:
        """Return the threshold of a rate by the tail of the peaks; None without enough of them."""
        base = self._with_alarms(candidates, PEAKS)
        begins, peaks = self.at(base)
        if begins.size < PEAKS_MIN or np.unique(peaks).size < PEAKS_MIN // 2:
            return None
        found = []
        for rows in self._drawn(begins):
            excesses = peaks[rows] - base
            if excesses.size > 1:
                found.append(base + _return_level(excesses, rate * windows / excesses.size))
            else:
                found.append(base)
        # Where not even a series without an alarm proves the rate, none may be in this one.
        return max(float(np.quantile(found, CONFIDENCE)), float(candidates[-1]))

    def _drawn(self, begins: Ints) -> list[Ints]:
        """Draw the series in blocks; return which alarms are in each drawn one."""
        marks = np.full(self._bounds.size, -1)
        marks[begins] = np.arange(begins.size)
        drawn = resamples(marks.size, self._block, RESAMPLES, self._chance)
        return [found[found >= 0] for found in (marks[rows] for rows in drawn)]

    def _with_alarms(self, candidates: Floats, wanted: int) -> float:
        """Return the highest threshold with so many alarms, or the one with most."""
        tried = candidates[:: max(1, candidates.size // 400)][::-1]
        best, most = float(tried[0]), -1
        for threshold in tried.tolist():
            alarms = self.at(threshold)[0].size
            if alarms > most:
                best, most = threshold, alarms
            if alarms >= wanted:
                break
        return best


def _joined(series: Sequence[Floats], quorum: Quorum) -> Floats:
    """Join series by windows that tell nothing, so that no quorum reaches over."""
    between = np.full(quorum.of, -math.inf)
    return np.concatenate([part for one in series for part in (one, between)] or [between])


def _quorum_levels(bounds: Floats, quorum: Quorum) -> Floats:
    """Return, for each window, the largest threshold that `needed` of its last `of` exceed."""
    padded = np.concatenate((np.full(quorum.of - 1, -math.inf), bounds))
    last = np.lib.stride_tricks.sliding_window_view(padded, quorum.of)
    return np.sort(last, axis=1)[:, quorum.of - quorum.needed]


def _limit(alarms: int, windows: int, clustering: float) -> float:
    """Upper limit of a rate by Garwood (1936), of so many independent clusters of alarms."""
    from scipy.special import gammaincinv  # noqa: PLC0415 - only to calibrate

    clusters = alarms / clustering
    return clustering * float(gammaincinv(clusters + 1.0, CONFIDENCE)) / max(1, windows)


def _smallest(candidates: Floats, keeps: Callable[[float], bool]) -> float:
    """Return the smallest candidate that keeps the rate as all above it do.

    From the top down: far below, where every window breaches, there is but one alarm, too.
    """
    kept, step = candidates.size - 1, 1
    while step:
        tried = kept - step
        if tried >= 0 and keeps(float(candidates[tried])):
            kept, step = tried, 2 * step
        else:
            step //= 2
    return float(candidates[kept])


def _return_level(excesses: Floats, times: float) -> float:
    """Return the excess that peaks exceed `times` as often as they come.

    A generalised Pareto distribution by probability-weighted moments, its tail never lighter than
    an exponential one: a finite end is not to be believed of a few dozen peaks.
    """
    ordered = np.sort(excesses)
    n = ordered.size
    mean = float(ordered.mean())
    weighted = float(((n - np.arange(1, n + 1)) / (n - 1) * ordered).mean())
    if mean <= 0.0 or times >= 1.0:
        return float(np.quantile(ordered, max(0.0, 1.0 - times)))
    shape = 2.0 - mean / (mean - 2.0 * weighted) if mean > 2.0 * weighted else 0.0
    shape = float(np.clip(shape, 0.0, 0.9))
    scale = mean * (1.0 - shape)
    if shape < 1e-6:  # noqa: PLR2004 - the limit of the formula below
        return -scale * math.log(times)
    return float(scale / shape * (times**-shape - 1.0))
