"""How many distinct values a window has, relative to as many rows of its reference."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from detectors.columns.category_counts import NEW_NAMES_MAX, CategoryCounts
from detectors.measurement import Estimate, untold
from detectors.numerics.moments import dot

if TYPE_CHECKING:
    from collectors.batch import Floats, Ints
    from detectors.columns.profile import CategoryProfile, NumberProfile


def cardinality_number(profile: NumberProfile, cells: Ints, *, confidence: float) -> Estimate:
    """Estimate a window's number of distinct numbers over that of as many rows of the reference.

    1 where nothing has changed. Both samples are thinned to the rows of the smaller, ``k``, on
    paper: of ``N`` rows of which ``c`` are one value, ``k`` have it with the probability
    ``1 - C(N - c, k) / C(N, k)``, and the sum over all values is the expected number of distinct
    ones (Hurlbert's rarefaction [1]_). So a window of 300 rows is not compared with 20,000.

    Distinct values of the window are known where the reference has them. Rows between two of its
    values, or beyond them, may be one value or all distinct; the bounds cover both, and the value
    takes as many of them for distinct as are the reference's rows.

    Taking a row away changes the number only if it was the only one of its value; so the variance
    of each side's number is at most its number of values seen once (Efron and Stein [2]_); one more
    is added for those that happened not to be. The bounds are normal with that variance, and
    conservative; so is the two-sided p-value.

    Untold with no rows on a side, and where the reference was thinned, since it then does not
    know its own distinct values. Missing and invalid values take no part. A column that is
    constant on both sides gives 1.

    Parameters
    ----------
    profile
        The reference.
    cells
        The window's rows over the profile's grid (`NumberCounts.cells`), shape ``(2K + 1,)``.
    confidence
        Of both bounds together, in ``(0, 1)``.

    References
    ----------
    .. [1] Hurlbert, "The nonconcept of species diversity: a critique and alternative parameters",
       Ecology 52(4), 1971.
    .. [2] Efron, Stein, "The jackknife estimate of variance", Annals of Statistics 9(3), 1981.

    Examples
    --------
    >>> from detectors.columns.profile import NumberProfile
    >>> profile = NumberProfile(np.arange(10.0), np.full(10, 100), 0, 0)
    >>> cells = np.zeros(21, np.int64)
    >>> cells[1:11:2] = 100
    >>> round(cardinality_number(profile, cells, confidence=0.95).value, 3)
    0.5
    """
    n, m = profile.rows, int(cells.sum())
    if not n or not m or profile.rank_error:
        return untold(m)
    seen, between = _sample(cells[1::2]), _sample(cells[::2])
    distinct = _Sample(np.array([1]), np.array([between.size]))
    once = float(np.count_nonzero(profile.counts == 1)) / n
    return _compared(
        _sample(profile.counts), _Seen(seen + between, seen + distinct, once), confidence
    )


def cardinality_category(
    profile: CategoryProfile, counts: CategoryCounts, *, confidence: float
) -> Estimate:
    """Estimate a window's number of distinct categories over that of as many reference rows.

    As :func:`cardinality_number`. Of values that the reference does not name, the window keeps the
    names of at most :data:`detectors.columns.category_counts.NEW_NAMES_MAX`, those of the smallest
    hashes. With more, the largest of these hashes tells how many there are, to about 10 % [1]_.

    Untold with no rows on a side, and where the reference had more values than it names.

    Parameters
    ----------
    profile
        The reference.
    counts
        The window.
    confidence
        Of both bounds together, in ``(0, 1)``.

    References
    ----------
    .. [1] Bar-Yossef, Jayram, Kumar, Sivakumar, Trevisan, "Counting distinct elements in a data
       stream", RANDOM 2002.
    """
    m = counts.rows
    if not profile.rows or not m or profile.other:
        return untold(m)
    reference, names = _sample(profile.counts), np.array(list(counts.new_names.values()), np.int64)
    named = _sample(np.concatenate((counts.known, names)))
    unnamed = counts.other - int(names.sum())
    if not unnamed:
        return _compared(reference, _Seen(named, named, 0.0), confidence)
    more = min(unnamed, max(1, _distinct(counts) - names.size))
    spread = math.ceil(3 * more / math.sqrt(NEW_NAMES_MAX - 2))
    few, many = max(1, more - spread), min(unnamed, more + spread)
    share = (more - few) / (many - few) if many > few else 0.0
    seen = _Seen(named + _shared(unnamed, few), named + _shared(unnamed, many), share)
    return _compared(reference, seen, confidence)


def _distinct(counts: CategoryCounts) -> int:
    """Estimate the number of new names, from how densely the kept ones lie among all hashes."""
    largest = max(zlib.crc32(name.encode("utf-8", "surrogatepass")) for name in counts.new_names)
    return round((NEW_NAMES_MAX - 1) * 2**32 / (largest + 1))


@dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    """How often values occur: so many `values` have so many `rows` each, both shape ``(R,)``."""

    rows: Ints
    values: Ints

    @property
    def size(self) -> int:
        """Rows of all values."""
        return int((self.rows * self.values).sum())

    def __add__(self, other: _Sample) -> _Sample:
        return _Sample(
            np.concatenate((self.rows, other.rows)), np.concatenate((self.values, other.values))
        )


def _sample(rows: Ints) -> _Sample:
    """Sum up rows per value; values without any do not count."""
    return _Sample(*np.unique(rows[rows > 0], return_counts=True))


def _shared(rows: int, values: int) -> _Sample:
    """Share rows out among so many values, as evenly as they go."""
    each, rest = divmod(rows, values)
    return _Sample(np.array([each, each + 1]), np.array([values - rest, rest]))


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """Values of a window, as far as they are known.

    Parameters
    ----------
    fewest, most
        If the unknown ones are as few, and as many, as they can be.
    share
        Where between the two the value is taken to lie.
    """

    fewest: _Sample
    most: _Sample
    share: float


def _compared(reference: _Sample, seen: _Seen, confidence: float) -> Estimate:
    n, m = reference.size, seen.fewest.size
    k = min(n, m)
    before = _side(reference, k)
    few, many = _side(seen.fewest, k), _side(seen.most, k)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    value = (few.distinct + seen.share * (many.distinct - few.distinct)) / before.distinct
    least, most = few.distinct / before.distinct, many.distinct / before.distinct
    low_error, high_error = _error(before, few), _error(before, many)
    far = max(0.0, (least - 1) / _at_one(before, few), (1 - most) / _at_one(before, many))
    return Estimate(
        value=value,
        low=max(0.0, least - z * low_error),
        high=most + z * high_error,
        n=m,
        p_value=math.erfc(far / math.sqrt(2)),
    )


@dataclass(frozen=True, slots=True)
class _Side:
    """Distinct values expected of some rows of a sample, and the variance of their number."""

    distinct: float
    variance: float


def _side(sample: _Sample, k: int) -> _Side:
    """Thin a sample to `k` rows on paper."""
    rows, values, n = sample.rows, sample.values, sample.size
    distinct = dot(values, 1 - _missed(rows, n, k))
    # One of k rows: it has the value, and k - 1 of the others do not.
    once = dot(values * rows, _missed(rows - 1, n - 1, k - 1)) * k / n
    # A mean over all choices of k of n rows varies less than one choice.
    return _Side(distinct, (once + 1.0) * k / n)


def _missed(rows: Ints, n: int, k: int) -> Floats:
    """Chance that none of `k` of `n` rows is one of so many: ``C(n - rows, k) / C(n, k)``."""
    from scipy.special import gammaln  # noqa: PLC0415 - 27 MB, at the first window

    left = n - rows
    possible = left >= k
    kept = np.where(possible, left, k)
    logs = gammaln(kept + 1) - gammaln(kept - k + 1) - gammaln(n + 1) + gammaln(n - k + 1)
    return np.where(possible, np.exp(np.minimum(0.0, logs)), 0.0)


def _error(before: _Side, after: _Side) -> float:
    """Return the standard error of the ratio of both numbers, by the delta method."""
    ratio = after.distinct / before.distinct
    return math.sqrt(after.variance + ratio**2 * before.variance) / before.distinct


def _at_one(before: _Side, after: _Side) -> float:
    """Return the standard error of the ratio where it is 1."""
    return math.sqrt(after.variance + before.variance) / before.distinct
