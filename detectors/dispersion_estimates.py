"""From the moments of blocks to design effects: estimates, tests and upper bounds.

Of a block of ``b`` rows let ``z = (c - b p) / sqrt(b)`` be the standardised counts of its J bins,
``p`` the shares of all rows. Scores ``u z`` with rows of `u` scaled to variance 1 under independent
rows are either the bins' (`u` = diag(1/sqrt p), whose squares add up to Pearson's statistic) or
cumulated counts at the cut points. Their covariance between the R blocks, ``A = u V u'``, is ``C``
on average when rows are independent, and ``deff C`` when each row stands for as many alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detectors.dispersion import Dispersion, Scale
from detectors.fine_bins import mean_squares

if TYPE_CHECKING:
    from collectors.batch import Floats
    from detectors.block_counts import BlockCounts, Moments

#: Blocks that a scale needs; with fewer, an estimated variance says next to nothing.
BLOCKS_MIN = 8
#: Rows that a bin, or either side of a cut point, must expect in a block.
EXPECTED_MIN = 2.0
#: Share of references whose effects come out below the true ones, by the upper bound.
UNDERSTATED = 0.05
#: Chance at which the upper tails of bin statistics are matched: that of rare alarms.
TAIL = 1e-6
#: Variance of a share of a half: tails of the largest distance between distribution functions
#: follow from the largest variance along them (Borell and TIS), whatever the rest is.
HALF_VARIANCE = 0.25
#: Of scores of which the largest variance is asked for as it stands.
_UNDIVIDED = np.full(1, HALF_VARIANCE)
#: Degrees of freedom of a usual PSI, with ten bins.
_FREEDOM = 9


def dispersion_of(counts: BlockCounts, known: int, *, ordered: bool) -> Dispersion | None:
    """Derive the design effects of a column from its block counts.

    None of fewer than :data:`BLOCKS_MIN` blocks, and of a column all of whose rows, or nearly
    all, are in one bin.

    Parameters
    ----------
    counts
        Its last bin is that of missing values.
    known
        Bins of values; the rest are missing ones.
    ordered
        Whether the bins of values ascend, so that cumulated counts mean something. Of others,
        the single bins' effects stand for them.
    """
    moments = [one for one in counts.moments() if one.blocks >= BLOCKS_MIN]
    scales = [_scale(one, known, ordered=ordered) for one in moments]
    told = tuple(scale for scale in scales if scale is not None)
    return Dispersion(told) if told else None


def _scale(moments: Moments, known: int, *, ordered: bool) -> Scale | None:
    """Effects at one length of block; None where all rows are of one bin, or nearly all."""
    groups = _groups(moments)
    if len(groups) < 2:  # noqa: PLR2004 - two bins to compare
        return None
    shares = groups @ moments.sums / moments.sums.sum()
    bins = _spread(moments, *_bin_scores(groups, shares))
    scores = _cut_scores(moments, known) if ordered else _single_scores(groups, shares)
    cumulative = _spread(moments, *scores) if len(scores[0]) else None
    freedom = len(groups) - 1
    tail = bins.mean * _tail_factor(bins.dimensions, freedom)
    rank_scores = _rank_scores(moments, known) if ordered else None
    ranks = None if rank_scores is None else _spread(moments, rank_scores, _UNDIVIDED)
    squares = _square_scores(moments, known) if ordered else None
    spread = None if squares is None else _spread(moments, squares, _UNDIVIDED)
    single = _spread(moments, _single_scores(groups, shares)[0], _UNDIVIDED)
    looks = [one for one in (bins, cumulative, ranks, spread) if one is not None]
    return Scale(
        rows=moments.rows,
        blocks=moments.blocks,
        cumulative_mean=cumulative.mean if cumulative else 1.0,
        bins_mean=bins.mean,
        cumulative=cumulative.largest * cumulative.upper_factor if cumulative else 1.0,
        bins=tail * bins.upper_factor,
        p_value=min(1.0, len(looks) * min(look.p_value for look in looks)),
        ranks=ranks.largest * ranks.upper_factor if ranks else 1.0,
        spread=spread.largest * spread.upper_factor if spread else 1.0,
        single=single.largest * single.upper_factor,
    )


def _groups(moments: Moments) -> Floats:
    """Neighbouring bins that have rows enough together, as a 0/1 matrix ``(groups, J)``."""
    expected = moments.sums / moments.blocks
    numbers = np.zeros(expected.size, np.int64)
    number, rows = 0, 0.0
    for index, more in enumerate(expected.tolist()):
        numbers[index] = number
        rows += more
        if rows >= EXPECTED_MIN:
            number, rows = number + 1, 0.0
    # What is left over at the end has too few rows and joins the last group.
    numbers = np.minimum(numbers, max(0, number - 1))
    return np.asarray(numbers == np.arange(numbers[-1] + 1)[:, None], np.float64)


def _bin_scores(groups: Floats, shares: Floats) -> tuple[Floats, Floats]:
    """Scores ``(K, J)`` and the variances, of single rows, that they were divided by."""
    scores = groups / np.sqrt(shares)[:, None] - np.sqrt(shares)[:, None]
    return np.asarray(scores), shares


def _single_scores(groups: Floats, shares: Floats) -> tuple[Floats, Floats]:
    variances = shares * (1 - shares)
    return np.asarray((groups - shares[:, None]) / np.sqrt(variances)[:, None]), variances


def _cut_scores(moments: Moments, known: int) -> tuple[Floats, Floats]:
    """Cumulated counts less their share of the block's known values: missing ones take no part."""
    present = moments.sums[:known].sum()
    upto = np.cumsum(moments.sums[:known])
    expected = np.minimum(upto, present - upto) / moments.blocks
    cuts = np.flatnonzero((expected >= EXPECTED_MIN) & (np.diff(upto, prepend=0) > 0))
    share = upto[cuts] / max(1, present)
    variances = share * (1 - share)
    scores = np.zeros((cuts.size, moments.sums.size))
    scores[:, :known] = (np.arange(known) <= cuts[:, None]) - share[:, None]
    divisors = np.sqrt(variances * present / moments.sums.sum())
    return np.asarray(scores / divisors[:, None]), variances


def _rank_scores(moments: Moments, known: int) -> Floats | None:
    """Ranks scaled to variance 1, shape ``(1, J)``; None of a constant."""
    rows = moments.sums[:known]
    present = int(rows.sum())
    ranks = (np.cumsum(rows) - rows / 2) / max(1, present)
    return _scaled(ranks, moments)


def _square_scores(moments: Moments, known: int) -> Floats | None:
    """Mean squares of normal scores scaled likewise; None of a constant."""
    rows = moments.sums[:known]
    there = rows > 0
    squares = np.zeros(known)
    squares[there] = mean_squares(np.cumsum(rows[there]) / max(1, int(rows.sum())))
    return _scaled(squares, moments)


def _scaled(values: Floats, moments: Moments) -> Floats | None:
    rows = moments.sums[: values.size]
    values = values - values @ rows / max(1, int(rows.sum()))
    variance = values**2 @ rows / moments.sums.sum()
    if not variance:
        return None
    scores = np.zeros((1, moments.sums.size))
    scores[0, : values.size] = values / np.sqrt(variance)
    return scores


@dataclass(frozen=True, slots=True)
class _Spread:
    """How much scores vary between blocks, over what they would of independent rows.

    Parameters
    ----------
    mean
        Over the scores; unbiased.
    largest
        Variance of an undivided score over 1/4, the largest that independent rows can have: that
        of a share of a half. Biased upwards.
    dimensions
        In how many directions they vary, ``(sum lambda)^2 / sum lambda^2`` over the eigenvalues
        (Satterthwaite): 1 where blocks differ along one line, as a season's do.
    upper_factor
        What the estimates are to be multiplied by to be below the truth in `UNDERSTATED`.
    p_value
        Of a mean as large, of independent rows.
    """

    mean: float
    largest: float
    dimensions: float
    upper_factor: float
    p_value: float


def _spread(moments: Moments, scores: Floats, variances: Floats) -> _Spread:
    from scipy.special import gammaincinv  # noqa: PLC0415 - 27 MB, only to build

    freedom = moments.blocks - 1
    shares = moments.sums / moments.sums.sum()
    # Centred first, so that nothing large cancels.
    centred = moments.products - np.outer(moments.sums, moments.sums) / moments.blocks
    actual = np.asarray(scores @ centred @ scores.T / (freedom * moments.rows))
    expected = np.asarray((scores * shares) @ scores.T)
    mean = float(np.trace(actual) / np.trace(expected))
    law = _null_law(scores, shares, expected, moments.rows)
    most = float(np.trace(expected) ** 2 / (expected**2).sum())
    dimensions = _dimensions(actual, freedom, most)
    # As many clusters of rows alike as the effect says make a block. Few of them fill rare bins
    # unevenly, which lengthens the tail as fewer directions do.
    dimensions /= 1 + dimensions * law.excess * max(1.0, mean) / (2 * law.mean**2 * moments.rows)
    dimensions = max(1.0, dimensions)
    known_by = freedom * dimensions
    return _Spread(
        mean=mean,
        largest=float((np.diag(actual) * variances).max() / HALF_VARIANCE),
        dimensions=dimensions,
        upper_factor=max(1.0, known_by / (2 * float(gammaincinv(known_by / 2, UNDERSTATED)))),
        p_value=law.tail(freedom * float(np.trace(actual)), freedom),
    )


@dataclass(frozen=True, slots=True)
class _NullLaw:
    """Law of a block's sum of squared scores when rows are independent: a shifted gamma law.

    Parameters
    ----------
    mean, variance
        Of one block; they add up over blocks.
    excess
        What the variance of blocks of one row is above that of normal scores; not negative.
    shape
        Of the gamma law of one block, ``4 / skewness^2``; adds up as well.
    """

    mean: float
    variance: float
    excess: float
    shape: float

    def tail(self, total: float, blocks: int) -> float:
        """Chance of at least `total`, summed over `blocks` blocks."""
        from scipy.special import gammaincc  # noqa: PLC0415 - 27 MB, only to build

        shape = blocks * self.shape
        deviation = (total - blocks * self.mean) / math.sqrt(blocks * self.variance)
        return float(gammaincc(shape, max(0.0, shape + deviation * math.sqrt(shape))))


def _null_law(scores: Floats, shares: Floats, expected: Floats, rows: int) -> _NullLaw:
    """Moments of the sum of squared scores of a block of independent rows.

    With ``M = u'u``, the counts' covariance S, ``q_j = (e_j - p)' M (e_j - p)`` and
    ``t = tr((M S)^2)`` the variance is ``2 t + (sum p q^2 - tr(M S)^2 - 2 t) / b``: the second
    term is what a multinomial law adds to a normal one. The skewness is the larger of that of
    normal scores and that of a gamma law from 0 on, which rare bins come close to.
    """
    trace, squares = float(np.trace(expected)), float((expected**2).sum())
    single = (scores**2).sum(axis=0)
    excess = float((shares * single**2).sum()) - trace**2 - 2 * squares
    variance = max(squares, 2 * squares + excess / rows)
    cubes = float(((expected @ expected) * expected).sum())
    return _NullLaw(
        trace, variance, max(0.0, excess), min(squares**3 / cubes**2 / 2, trace**2 / variance)
    )


def _dimensions(actual: Floats, freedom: int, most: float) -> float:
    """Directions in which blocks differ, from unbiased traces of a Wishart matrix."""
    first, second = float(np.trace(actual)), float((actual**2).sum())
    unbiased = freedom**2 / ((freedom - 1) * (freedom + 2)) * (second - first**2 / freedom)
    # Below this share of the trace's square there would be more directions than there are.
    return max(1.0, first**2 / max(unbiased, first**2 / most)) if first else 1.0


def _tail_factor(dimensions: float, freedom: int) -> float:
    """Scale of a bin statistic's upper tail over its mean effect.

    The mean of the eigenvalues is Rao and Scott's first-order correction [1]_, right for the mean
    of the statistic. Its tail is longer where blocks differ in few directions: about that of
    ``g chi2_h`` with Satterthwaite's `h` directions, the second-order correction. The factor
    matches both at :data:`TAIL`; it is 1 where blocks differ in all directions alike.

    References
    ----------
    .. [1] Rao and Scott, "The analysis of categorical data from complex sample surveys", Journal of
       the American Statistical Association 76(374), 1981.
    """
    from scipy.special import chdtri  # noqa: PLC0415 - 27 MB, only to build

    most = min(freedom, _FREEDOM)
    share = max(1.0, freedom / dimensions)
    return float(share * chdtri(min(dimensions, most), TAIL) / chdtri(most, TAIL))
