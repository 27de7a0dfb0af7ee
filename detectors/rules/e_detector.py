"""Evidence of slow, small drift, gathered over windows: an e-detector for all columns at once.

No single window proves a shift of a tenth of a standard deviation, but fifty of them do. An
e-detector of Shiryaev and Roberts' form [1]_ multiplies what they say, and alarms when

    M_t = e_t (M_{t-1} + 1)

reaches ``c``. Each ``e_t`` is an *e-value* of window t: not negative, and with a mean of at most 1
while nothing drifts, given all that came before. Then ``M_t - t`` falls on average, so the mean
time to a false alarm is at least ``c`` windows: exactly so, at every moment, and not in a limit.

*What "nothing drifts" means.* The shares p of the bins (:mod:`detectors.columns.coarse_bins`) are
known from the reference's ``n`` rows only, and drift within a tolerance is none. So they may be any
of a ball ``N = {p : KL(r || p) <= radius}`` about the reference's shares r, large enough to hold
them with all but a small probability, wherever they lie within the tolerance (`radius`).

*The e-value.* A bet is made before the window is seen: its shares will be q, learned from the
windows before it. Of all p in N the nearest to q is ``p* = argmin KL(q || p)``; N is convex, so
``E_p[q / p*] <= 1`` for every p in it [2]_. With the window's rows per bin ``c`` the e-value is
``prod (q / p*)^c``. The minimum lies at ``p* = (1 - t) r + t q``: the gradient of
``KL(q || p) + a KL(r || p) + b sum(p)`` vanishes where ``p = (q + a r) / b``, and summing to 1 sets
``b = 1 + a``; so ``t = 1 / (1 + a)``, and is found by bisection of ``KL(r || p*) = radius``. A q
within N is no bet: e is 1, and evidence gathered so far is let go.

*Dependence.* Rows that are not independent say less: with a design effect d the e-value is
taken to the power ``1 / d``. The mean of the columns' M is an e-detector whatever the dependence
between the columns; so is that of several memories, short ones for fast drift and long ones for
slow.

References
----------
.. [1] Shin, Ramdas, Rinaldo, "E-detectors: a nonparametric framework for sequential change
   detection", New England Journal of Statistics in Data Science 2(2), 2024 (arXiv 2203.03532).
.. [2] Grünwald, de Heide, Koolen, "Safe testing", Journal of the Royal Statistical Society B
   86(5), 2024, theorem 1; Li, "Estimation of mixture models", PhD thesis, Yale, 1999.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from detectors.numerics.tails import noncentral_quantile

if TYPE_CHECKING:
    import numpy.typing as npt

    from collectors.batch import Floats

#: Windows after which what was learned has faded to 1/e, of each memory. Four windows catch up
#: with a new shift at once; thirty-two tell a shift that is as small as their own noise.
MEMORIES = (4.0, 32.0)
#: Rows of the reference that a bet begins from, half of one a bin: no share is bet to be 0.
_SMOOTHING = 0.5
#: Half of the noise in what was learned is taken off a bet: all of it would be right for its
#: length, and bets on small shifts too low.
_SHRINKAGE = 0.5
_BISECTIONS = 30
#: Evidence beyond this many times what alarms is not gathered, so that it is soon spent when
#: the drift ends.
_CAP = 10.0
#: An alarm ends when the evidence has fallen to this share of what raised it. Between the two
#: there is one alarm and not many; what that adds to their rate is taken off by `alarm_at`.
FALLEN = 0.1


@dataclass(frozen=True, slots=True)
class Null:
    """What the reference says of the columns: arrays over columns and bins.

    Parameters
    ----------
    shares
        Of the reference, shape ``(K, B)``; 0 in bins that a column does not have.
    rows
        Rows of the reference, shape ``(K,)``, all positive.
    bins
        Bins of each column, shape ``(K,)``, at least 2.
    """

    shares: Floats
    rows: Floats
    bins: Floats

    @property
    def columns(self) -> int:
        """Number of columns, K."""
        return int(self.rows.size)

    @property
    def smoothed(self) -> Floats:
        """The shares with half a row added to each bin that there is, shape ``(K, B)``."""
        there = np.arange(self.shares.shape[1]) < self.bins[:, None]
        rows = self.rows[:, None] * self.shares + _SMOOTHING * there
        return np.asarray(rows / rows.sum(axis=1, keepdims=True), np.float64)


@dataclass(slots=True)
class Evidence:
    """What an e-detector remembers; H is the number of memories.

    Parameters
    ----------
    log_m
        Natural logarithm of M, shape ``(H, K)``; -inf is none.
    past
        Rows per bin of past windows, faded, shape ``(H, K, B)``.
    past_squares
        Sum of squared weights of the rows of `past`, shape ``(H, K)``: they are worth
        ``|past|² / past_squares`` rows.
    alarmed
        Whether an alarm was raised and has not ended.
    """

    log_m: Floats
    past: Floats
    past_squares: Floats
    alarmed: bool = False

    @classmethod
    def none(cls, null: Null) -> Evidence:
        """Begin without any."""
        memories, (columns, bins) = len(MEMORIES), null.shares.shape
        return cls(
            np.full((memories, columns), -np.inf),
            np.zeros((memories, columns, bins)),
            np.zeros((memories, columns)),
        )

    @property
    def by_column(self) -> Floats:
        """Natural logarithm of each column's M, the mean over the memories, shape ``(K,)``."""
        return np.asarray(np.logaddexp.reduce(self.log_m, axis=0) - math.log(len(MEMORIES)))

    @property
    def total(self) -> float:
        """Natural logarithm of the mean of all M: what alarms; -inf without columns."""
        if not self.log_m.shape[1]:
            return -math.inf
        return float(np.logaddexp.reduce(self.by_column)) - math.log(self.log_m.shape[1])

    def divergence(self, null: Null) -> Floats:
        """Jeffreys divergence of what was learned from the reference, shape ``(K,)``.

        The largest of the memories', drawn to 0 by its noise like a bet; 0 with no windows.
        """
        found = np.zeros(null.columns)
        for past, squares in zip(self.past, self.past_squares, strict=True):
            learned = _bet(null, past, squares, np.ones(null.columns))
            logs = _logs(learned, null.smoothed)
            found = np.maximum(found, ((learned - null.smoothed) * logs).sum(axis=1))
        return found


def alarm_at(run_length: float) -> float:
    """M at which to alarm for one false alarm in `run_length` windows, alarms that end counted.

    Between two alarms M climbs from a share :data:`FALLEN` of it, and not from 0.
    """
    return run_length / (1 - FALLEN)


@lru_cache(maxsize=8192)
def radius(bins: int, rows: int, effect: float, tolerance: float, miss: float) -> float:
    """Radius of the ball that holds the true shares, and what is within the tolerance of them.

    With ``n`` rows, twice ``n KL(r || p)`` is about chi-square with ``bins - 1`` degrees of
    freedom, and noncentral by ``n J(p, q)`` when q is asked for instead of p. With a design
    effect, n is divided by it.

    Parameters
    ----------
    tolerance
        Jeffreys divergence that is taken for none.
    miss
        Probability that the ball does not hold shares at the tolerance. Shares that did not
        move at all it misses far less often.
    """
    worth = rows / effect
    return noncentral_quantile(miss, bins - 1, worth * tolerance) / (2 * worth)


def gather(
    evidence: Evidence,
    null: Null,
    counts: Floats,
    *,
    radii: Floats,
    effects: Floats,
    run_length: float,
) -> Evidence:
    """Take in a window that shares no row with those before it.

    Parameters
    ----------
    counts
        Its rows per bin, shape ``(K, B)``; a column without rows stands still.
    radii, effects
        Of the balls, and the design effects of as many rows as each memory holds, shape
        ``(H, K)``.
    run_length
        Mean number of windows to a false alarm, at least.
    """
    rows = counts.sum(axis=1)
    cap = math.log(_CAP * alarm_at(run_length) * max(1, null.columns) * len(MEMORIES))
    after = Evidence(
        evidence.log_m.copy(), evidence.past.copy(), evidence.past_squares.copy(), evidence.alarmed
    )
    for i, memory in enumerate(MEMORIES):
        bets = _bet(null, evidence.past[i], evidence.past_squares[i], effects[i])
        ratios, is_bet = log_ratios(null.shares, bets, radii[i])
        gained = (counts * ratios).sum(axis=1) / effects[i]
        moved = np.minimum(np.logaddexp(evidence.log_m[i], 0.0) + gained, cap)
        after.log_m[i] = np.where(
            rows > 0, np.where(is_bet, moved, -np.inf), evidence.log_m[i]
        ).astype(np.float32)
        kept = np.where(rows > 0, 1 - 1 / memory, 1.0)
        after.past[i] = (kept[:, None] * evidence.past[i] + counts).astype(np.float32)
        after.past_squares[i] = (kept**2 * evidence.past_squares[i] + rows).astype(np.float32)
    threshold = math.log(alarm_at(run_length))
    total = after.total
    after.alarmed = total >= threshold or (
        evidence.alarmed and total > threshold + math.log(FALLEN)
    )
    return after


def log_ratios(shares: Floats, bets: Floats, radii: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """``ln(q / p*)`` per bin, and whether q lies outside the ball, so that it is a bet.

    Parameters
    ----------
    shares, bets
        r and q, shape ``(K, B)``; q is positive wherever a window can have rows.
    radii
        Shape ``(K,)``.

    Returns
    -------
    ratios
        Shape ``(K, B)``; 0 for no bet.
    is_bet
        Shape ``(K,)``.
    """
    is_bet = _divergence(shares, bets) > radii
    ratios = np.zeros_like(shares)
    r, q, limit = shares[is_bet], bets[is_bet], radii[is_bet]
    # Of what the bisection leaves, the end that lies outside: it is the nearest of a ball that is
    # a hair larger and holds the one asked for, so the e-value keeps its mean.
    low, high = np.zeros(limit.size), np.ones(limit.size)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        outside = _divergence(r, _mixed(r, q, middle)) > limit
        low, high = np.where(outside, low, middle), np.where(outside, middle, high)
    ratios[is_bet] = _logs(q, _mixed(r, q, high))
    return ratios, is_bet


def _bet(null: Null, past: Floats, squares: Floats, effects: Floats) -> Floats:
    """Shares to bet on, shape ``(K, B)``: those learned, drawn to the reference's by their noise.

    Without windows, and where they differ by no more than their noise, the reference's own.
    """
    smoothed = null.smoothed
    rows = past.sum(axis=1)
    worth = np.divide(rows**2, squares * effects, out=np.zeros_like(rows), where=squares > 0)
    learned = (past + _SMOOTHING * smoothed) / (rows + _SMOOTHING)[:, None]
    squared = np.divide(
        (learned - smoothed) ** 2, smoothed, out=np.zeros_like(smoothed), where=smoothed > 0
    )
    distance = worth * squared.sum(axis=1)
    noise = np.divide(
        null.bins - 1, distance, out=np.full_like(distance, np.inf), where=distance > 0
    )
    share = np.maximum(0.0, 1 - _SHRINKAGE * noise)[:, None]
    return np.asarray((1 - share) * smoothed + share * learned)


def _mixed(r: Floats, q: Floats, share: Floats) -> Floats:
    return np.asarray(r + share[:, None] * (q - r))


def _divergence(r: Floats, p: Floats) -> Floats:
    """``KL(r || p)``, shape ``(K,)``; bins in which r is 0 add nothing."""
    return np.asarray(-(r * _logs(p, r)).sum(axis=1))


def _logs(over: Floats, under: Floats) -> Floats:
    """``ln(over / under)``; 0 where either is 0."""
    both = (over > 0) & (under > 0)
    return np.log(np.divide(over, under, out=np.ones_like(over), where=both))
