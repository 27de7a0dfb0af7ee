"""Latencies in a histogram of fixed logarithmic buckets: additive, and one per cent exact."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from detectors.measurement import Estimate, untold
from detectors.numerics.order_statistics import ranks
from detectors.numerics.packing import PackedArray, PackingError, pack_counts, unpack_counts

if TYPE_CHECKING:
    from collectors.batch import Floats, Ints

#: A quantile is off by at most this share of itself.
RELATIVE_ERROR = 0.01
#: What the buckets span: a microsecond to 2.8 hours. Shorter ones fall into one bucket below,
#: longer ones into one above.
SHORTEST_MS = 1e-3
LONGEST_MS = 1e7

_GROWTH = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_BUCKETS = math.ceil(math.log(LONGEST_MS / SHORTEST_MS) / math.log(_GROWTH))
#: Upper edges, inclusive: bucket i holds latencies in ``(EDGES_MS[i - 1], EDGES_MS[i]]``.
EDGES_MS: Floats = SHORTEST_MS * _GROWTH ** np.arange(_BUCKETS + 1, dtype=np.float64)


class LatencyState(msgspec.Struct, array_like=True, frozen=True):
    """What `LatencyHistogram` keeps in the store: buckets that are not empty, by distance."""

    size: int
    steps: PackedArray
    counts: PackedArray


class LatencyHistogram:
    """Requests per bucket of latency, of one kind (model, server or client) only.

    Buckets grow by ``(1 + e) / (1 - e)`` with ``e`` = :data:`RELATIVE_ERROR`, so that the harmonic
    middle of a bucket is within ``e`` of everything in it [1]_. There are about 1,150 of them.

    References
    ----------
    .. [1] Masson, Rim, Lee, "DDSketch: a fast and fully-mergeable quantile sketch with
       relative-error guarantees", PVLDB 12(12), 2019.

    Examples
    --------
    >>> histogram = LatencyHistogram()
    >>> histogram.add(np.array([10.0, 20.0, 30.0, np.nan]))
    >>> histogram.n, round(histogram.quantile(0.5, confidence=0.95).value)
    (3, 20)
    """

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: Ints = np.zeros(EDGES_MS.size + 1, np.int64)

    @property
    def n(self) -> int:
        """Requests counted."""
        return int(self.counts.sum())

    def add(self, latency_ms: Floats) -> None:
        """Count latencies in milliseconds; NaN is none. Negative ones fall in the bucket below."""
        known = latency_ms[~np.isnan(latency_ms)]
        # In order they are found three times as quickly.
        known.sort()
        # Searching fixed edges, not a logarithm: it gives the same bucket wherever a value stands
        # in an array, which a vectorised logarithm does not promise.
        buckets = EDGES_MS.searchsorted(known)
        self.counts += np.bincount(buckets, minlength=self.counts.size)

    def merge(self, other: LatencyHistogram) -> None:
        """Add what `other` holds."""
        self.counts += other.counts

    def quantile(self, q: float, *, confidence: float) -> Estimate:
        """Latency in milliseconds that a share `q` of the requests does not exceed.

        The bounds are order statistics: whatever the distribution, ``X(l) <= Q(q) <= X(u)`` with
        the stated confidence, where ``l`` and ``u`` are binomial quantiles; they are widened to
        the edges of their buckets. A bound that would need a smaller or larger request than
        any seen is None: too few rows to tell. No requests: all None.
        """
        n = self.n
        if not n:
            return untold()
        below, above = ranks(n, q, (1 - confidence) / 2)
        upto = np.cumsum(self.counts)
        bucket = _bucket(upto, max(1, math.ceil(q * n - 1e-9)))
        low = None if below < 1 else _lower_edge(_bucket(upto, below))
        high = None if above > n else _upper_edge(_bucket(upto, above))
        return Estimate(_middle(bucket), low, high, n)

    def state(self) -> LatencyState:
        """Everything to go on from; equal counts give equal states."""
        buckets = np.flatnonzero(self.counts)
        steps = np.diff(buckets, prepend=0)
        return LatencyState(self.counts.size, pack_counts(steps), pack_counts(self.counts[buckets]))

    @classmethod
    def of_state(cls, state: LatencyState) -> LatencyHistogram:
        """Go on from `state`.

        Raises
        ------
        PackingError
            If the state has other buckets.
        """
        self = cls()
        buckets = np.cumsum(unpack_counts(state.steps))
        counts = unpack_counts(state.counts)
        if state.size != self.counts.size or buckets.size != counts.size:
            raise PackingError(f"latencies in {state.size} buckets, expected {self.counts.size}")
        if buckets.size and int(buckets[-1]) >= self.counts.size:
            raise PackingError("a latency bucket out of range")
        self.counts[buckets] = counts
        return self


def _bucket(upto: Ints, rank: int) -> int:
    return int(upto.searchsorted(rank))


def _lower_edge(bucket: int) -> float:
    return 0.0 if bucket == 0 else float(EDGES_MS[bucket - 1])


def _upper_edge(bucket: int) -> float | None:
    return None if bucket == EDGES_MS.size else float(EDGES_MS[bucket])


def _middle(bucket: int) -> float:
    """Harmonic middle of a bucket; at the ends, the edge that is known."""
    if bucket in (0, EDGES_MS.size):
        return float(EDGES_MS[min(bucket, EDGES_MS.size - 1)])
    lower, upper = EDGES_MS[bucket - 1], EDGES_MS[bucket]
    return float(2 * lower * upper / (lower + upper))
