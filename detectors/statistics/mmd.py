"""Maximum mean discrepancy of vectors: whether any property of them has changed."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from detectors.measurement import Estimate, untold

if TYPE_CHECKING:
    from collectors.batch import Floats
    from detectors.columns.profile import VectorProfile
    from detectors.columns.vector_counts import VectorCounts

#: With fewer rows on either side nothing is told.
ROWS_MIN = 30
#: Ways in which rows are shared out between both sides by chance.
PERMUTATIONS = 499
#: The kernel's values are whole multiples of 2**-32: their sums are exact in any order.
_UNITS = float(1 << 32)
_SEED = 0x6D6D64


def mmd(profile: VectorProfile, counts: VectorCounts, *, confidence: float) -> Estimate:
    """Estimate the squared maximum mean discrepancy, 0 to 2; 0 only of equal laws.

    Gretton's unbiased estimator [1]_ with the kernel ``k(x, y) = exp(-|x - y|² / (2 s²))``, where s
    is the median distance of all rows of both sides (their heuristic)::

        MMD² = mean k(x, x') + mean k(y, y') - 2 mean k(x, y)

    over different rows x, x' of the reference and y, y' of the window; less than 0 counts as 0.
    It rests on samples, of at most 512 rows of the reference and 200 of the window, since it takes
    as many steps as there are pairs: so it finds large changes only, but of any kind. `n` is the
    rows that the window's sample stands for. On places, as of the mean distance
    (:mod:`detectors.statistics.mean_distance`).

    The p-value is by permutation: how many of :data:`PERMUTATIONS` ways to share out all rows
    anew, the same ones every time, give as much; so it is never below 0.002. The bounds err as
    often as stated about the whole window's discrepancy: the wider of the normal law of the
    estimator far from 0 [1]_ and a gamma law with the variance and skewness of the permutations.
    Rows are taken as independent; those of sessions raise false alarms. Untold with fewer than
    :data:`ROWS_MIN` rows on a side. Equal rows are no trouble; of nothing but equal ones it is 0.
    Missing and invalid rows take no part.

    Parameters
    ----------
    profile
        The reference.
    counts
        The window's, on the profile's axes.
    confidence
        Of both bounds together, in ``(0, 1)``.

    References
    ----------
    .. [1] Gretton, Borgwardt, Rasch, Schölkopf, Smola, "A kernel two-sample test", Journal of
       Machine Learning Research 13, 2012.

    Examples
    --------
    >>> from collectors.batch import VectorColumn
    >>> from detectors.columns.vector_builder import VectorBuilder
    >>> from detectors.columns.vector_counts import VectorCounts
    >>> rows = np.arange(600.0).reshape(300, 2) % 7
    >>> builder = VectorBuilder()
    >>> builder.add(VectorColumn(rows))
    >>> profile = builder.profile()
    >>> counts = VectorCounts(profile.axes)
    >>> counts.add(VectorColumn(rows + 20.0))
    >>> estimate = mmd(profile, counts, confidence=0.95)
    >>> estimate.low > 0.5, estimate.p_value
    (True, 0.002)
    """
    a, b = len(profile.sample), len(counts.sample)
    if min(a, b) < ROWS_MIN:
        return untold(counts.rows)
    kernel = _kernel(np.concatenate((profile.sample, counts.sample)).astype(np.float64))
    chosen = np.zeros((a + b, 1))
    chosen[:a] = 1.0
    value = float(_discrepancies(kernel, chosen)[0])
    by_chance = _discrepancies(kernel, _shared_out(a, b))
    p_value = (1 + int(np.count_nonzero(by_chance >= value))) / (1 + PERMUTATIONS)
    tail = (1 - confidence) / 2
    # By chance it is 0 on average: over all ways to share out, exactly.
    deviation = math.sqrt(float((by_chance**2).mean()))
    level, error = NormalDist().inv_cdf(1 - tail), _error(kernel, a)
    margin = max(level * error, _skewed_quantile(by_chance, deviation, tail))
    return Estimate(
        value=max(0.0, value),
        low=max(0.0, value - margin),
        high=max(0.0, value) + level * math.hypot(error, deviation),
        n=counts.rows,
        p_value=p_value,
    )


def _kernel(rows: Floats) -> Floats:
    """Gaussian kernel of every two rows, in whole units, 0 of a row with itself."""
    lengths = np.einsum("ij,ij->i", rows, rows)
    # Of whole numbers, and so exact.
    squared = lengths[:, np.newaxis] + lengths - 2.0 * (rows @ rows.T)
    upper = squared[np.triu_indices(len(rows), 1)]
    width = float(np.median(upper)) or float(upper.mean()) or 1.0
    kernel = np.rint(np.exp(squared / (-2.0 * width)) * _UNITS)
    np.fill_diagonal(kernel, 0.0)
    return np.asarray(kernel, np.float64)


def _discrepancies(kernel: Floats, chosen: Floats) -> Floats:
    """MMD² of the chosen rows and the others, for each column of `chosen`, shape ``(ways,)``."""
    rows, a = len(kernel), int(chosen[:, 0].sum())
    b = rows - a
    within = (chosen * (kernel @ chosen)).sum(axis=0)
    across = kernel.sum(axis=0) @ chosen - within
    others = kernel.sum() - 2 * across - within
    found = within / (a * (a - 1)) + others / (b * (b - 1)) - 2 * across / (a * b)
    return np.asarray(found / _UNITS, np.float64)


@lru_cache(maxsize=8)
def _shared_out(a: int, b: int) -> Floats:
    """Ways to choose `a` of ``a + b`` rows by chance, shape ``(a + b, PERMUTATIONS)``."""
    words = np.random.Philox(key=_SEED).random_raw(PERMUTATIONS * (a + b))
    orders = words.reshape(PERMUTATIONS, a + b).argsort(axis=1)
    chosen = np.zeros((a + b, PERMUTATIONS))
    np.put_along_axis(chosen.T, orders[:, :a], 1.0, axis=1)
    return chosen


def _error(kernel: Floats, a: int) -> float:
    """Return the standard error of MMD² far from 0: of the first-order part of a U-statistic."""
    b = len(kernel) - a
    to_first, to_second = kernel[:, :a].sum(axis=1), kernel[:, a:].sum(axis=1)
    first = to_first[:a] / (a - 1) - to_second[:a] / b
    second = to_second[a:] / (b - 1) - to_first[a:] / a
    variance = float(first.var(ddof=1)) / a + float(second.var(ddof=1)) / b
    return 2 * math.sqrt(variance) / _UNITS


def _skewed_quantile(by_chance: Floats, deviation: float, level: float) -> float:
    """Value that is exceeded by chance with probability `level`: of Pearson's type III."""
    from scipy.special import gammainccinv  # noqa: PLC0415 - 27 MB, at the first window

    if not deviation:
        return 0.0
    skewness = float((by_chance**3).mean()) / deviation**3
    shape = 4 / max(skewness, 1e-2) ** 2
    beyond = (float(gammainccinv(shape, level)) - shape) / math.sqrt(shape)
    return deviation * beyond
