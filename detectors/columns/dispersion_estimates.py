"""From the moments of blocks to design effects: estimates, tests and upper bounds.

Of a block of ``b`` rows let ``z = (c - b p) / sqrt(b)`` be the standardised counts of its J bins,
``p`` the shares of all rows. Scores ``u z`` with rows of `u` scaled to variance 1 under independent
rows are either the bins' (`u` = diag(1/sqrt p), whose squares add up to Pearson's statistic) or
cumulated counts at the cut points. Their covariance between the R blocks, ``A = u V u'``, is ``C``
on average when rows are independent, and ``deff C`` when each row stands for as many alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detectors.columns.dispersion import Dispersion, Scale
from detectors.columns.fine_bins import mean_squares
from detectors.numerics.tails import chi_square_above, chi_square_quantile, gamma_quantile

if TYPE_CHECKING:
    from collectors.batch import Floats
    from detectors.columns.block_counts import BlockCounts, Moments

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
#: Variance of scores below which they are all alike, but for rounding.
_VARIES_MIN = 1e-9
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
    # Scales whose scores are made alike, nearly always all of them, are worked out together: what
    # numpy takes for a small matrix is mostly the call.
    alike: dict[_Kind, list[Moments]] = {}
    for one in counts.moments():
        if one.blocks >= BLOCKS_MIN:
            alike.setdefault(_Kind.of(one, known, ordered=ordered), []).append(one)
    told = [
        scale
        for kind, moments in alike.items()
        if max(kind.groups) > 0  # two bins to compare
        for scale in _scales(kind, _Blocks.of(moments), known)
    ]
    return Dispersion(tuple(sorted(told, key=lambda scale: scale.rows))) if told else None


@dataclass(frozen=True, slots=True)
class _Kind:
    """How the scores of a scale are made.

    Parameters
    ----------
    groups
        Number of the group of each bin: neighbouring bins that have rows enough together.
    cuts
        Bins behind which cumulated counts are looked at; None where bins do not ascend.
    ranked
        Whether there are ranks to look at: values ascend, and are not all in one bin.
    """

    groups: tuple[int, ...]
    cuts: tuple[int, ...] | None
    ranked: bool

    @classmethod
    def of(cls, moments: Moments, known: int, *, ordered: bool) -> _Kind:
        rows, blocks = moments.sums.tolist(), moments.blocks
        numbers, number, together = [], 0, 0
        for more in rows:
            numbers.append(number)
            together += more
            if together / blocks >= EXPECTED_MIN:
                number, together = number + 1, 0
        # What is left over at the end has too few rows and joins the last group.
        groups = tuple(min(one, max(0, number - 1)) for one in numbers)
        if not ordered:
            return cls(groups, None, ranked=False)
        present, upto = sum(rows[:known]), 0
        cuts = []
        for index, more in enumerate(rows[:known]):
            upto += more
            if more and min(upto, present - upto) / blocks >= EXPECTED_MIN:
                cuts.append(index)
        return cls(groups, tuple(cuts), ranked=sum(more > 0 for more in rows[:known]) > 1)


@dataclass(frozen=True, slots=True, eq=False)
class _Blocks:
    """Moments of S scales.

    Parameters
    ----------
    rows, blocks
        Rows of a block, and blocks, shape ``(S,)``.
    sums, shares
        Rows per bin over all the blocks, and their shares, shape ``(S, J)``.
    centred
        Sums of products of the counts about their means, shape ``(S, J, J)``.
    """

    rows: Floats
    blocks: Floats
    sums: Floats
    shares: Floats
    centred: Floats

    @classmethod
    def of(cls, moments: list[Moments]) -> _Blocks:
        rows = np.array([one.rows for one in moments], np.float64)
        blocks = np.array([one.blocks for one in moments], np.float64)
        sums = np.array([one.sums for one in moments], np.float64)
        products = np.array([one.products for one in moments], np.float64)
        # Centred first, so that nothing large cancels.
        centred = products - sums[:, :, None] * sums[:, None, :] / blocks[:, None, None]
        return cls(rows, blocks, sums, sums / sums.sum(axis=1)[:, None], centred)


def _scales(kind: _Kind, blocks: _Blocks, known: int) -> list[Scale]:
    """Effects at some lengths of block, of which the scores are made alike."""
    numbers = np.array(kind.groups)
    groups = (numbers == np.arange(numbers[-1] + 1)[:, None]).astype(np.float64)
    shares = blocks.shares @ groups.T
    bins = _spread(blocks, *_bin_scores(groups, shares))
    looks = [bins]
    cumulative = ranks = spread = None
    if kind.cuts is None:
        cumulative = _spread(blocks, *_single_scores(groups, shares))
    elif kind.cuts:
        cumulative = _spread(blocks, *_cut_scores(blocks, known, kind.cuts))
    if kind.ranked:
        ranks = _spread(blocks, _rank_scores(blocks, known), _UNDIVIDED)
        squares = _square_scores(blocks, known)
        spread = None if squares is None else _spread(blocks, squares, _UNDIVIDED)
    single = _spread(blocks, _single_scores(groups, shares)[0], _UNDIVIDED)
    looks += [look for look in (cumulative, ranks, spread) if look is not None]
    freedom = len(groups) - 1
    return [
        Scale(
            rows=int(blocks.rows[one]),
            blocks=int(blocks.blocks[one]),
            cumulative_mean=cumulative.mean[one] if cumulative else 1.0,
            bins_mean=bins.mean[one],
            cumulative=cumulative.upper[one] if cumulative else 1.0,
            bins=(
                bins.mean[one]
                * _tail_factor(bins.dimensions[one], freedom)
                * bins.upper_factor[one]
            ),
            p_value=min(1.0, len(looks) * min(look.p_value[one] for look in looks)),
            ranks=ranks.upper[one] if ranks else 1.0,
            spread=spread.upper[one] if spread else 1.0,
            single=single.upper[one],
        )
        for one in range(len(blocks.rows))
    ]


def _bin_scores(groups: Floats, shares: Floats) -> tuple[Floats, Floats]:
    """Scores ``(S, K, J)`` and the variances, of single rows, that they were divided by."""
    roots = np.sqrt(shares)[:, :, None]
    return groups / roots - roots, shares


def _single_scores(groups: Floats, shares: Floats) -> tuple[Floats, Floats]:
    variances = shares * (1 - shares)
    return (groups - shares[:, :, None]) / np.sqrt(variances)[:, :, None], variances


def _cut_scores(blocks: _Blocks, known: int, cuts: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Cumulated counts less their share of the block's known values: missing ones take no part."""
    upto = np.cumsum(blocks.sums[:, :known], axis=1)
    present = upto[:, -1:]
    share = upto[:, cuts] / np.maximum(1, present)
    variances = share * (1 - share)
    scores = np.zeros((*share.shape, blocks.sums.shape[1]))
    scores[:, :, :known] = (np.arange(known) <= np.array(cuts)[:, None]) - share[:, :, None]
    divisors = np.sqrt(variances * present / blocks.sums.sum(axis=1)[:, None])
    return scores / divisors[:, :, None], variances


def _rank_scores(blocks: _Blocks, known: int) -> Floats:
    """Ranks scaled to variance 1, shape ``(S, 1, J)``."""
    rows = blocks.sums[:, :known]
    ranks = (np.cumsum(rows, axis=1) - rows / 2) / rows.sum(axis=1)[:, None]
    return _scaled(*_apart(blocks, ranks), blocks)


def _square_scores(blocks: _Blocks, known: int) -> Floats | None:
    """Mean squares of normal scores scaled likewise; None where all bins have the same."""
    rows = blocks.sums[:, :known]
    upto = np.cumsum(rows, axis=1) / rows.sum(axis=1)[:, None]
    apart, variance = _apart(blocks, np.array([mean_squares(one) for one in upto]))
    return _scaled(apart, variance, blocks) if variance.min() > _VARIES_MIN else None


def _apart(blocks: _Blocks, values: Floats) -> tuple[Floats, Floats]:
    """Values less their mean over the rows that have one, and their variance over all rows."""
    rows = blocks.sums[:, : values.shape[1]]
    apart = values - ((values * rows).sum(axis=1) / rows.sum(axis=1))[:, None]
    return apart, (apart**2 * rows).sum(axis=1) / blocks.sums.sum(axis=1)


def _scaled(apart: Floats, variance: Floats, blocks: _Blocks) -> Floats:
    scores = np.zeros((len(apart), 1, blocks.sums.shape[1]))
    scores[:, 0, : apart.shape[1]] = apart / np.sqrt(variance)[:, None]
    return scores


@dataclass(frozen=True, slots=True)
class _Spread:
    """How much scores vary between blocks, over what they would of independent rows, by scale.

    Parameters
    ----------
    mean
        Over the scores; unbiased.
    dimensions
        In how many directions they vary, ``(sum lambda)^2 / sum lambda^2`` over the eigenvalues
        (Satterthwaite): 1 where blocks differ along one line, as a season's do.
    upper_factor
        What the estimates are to be multiplied by to be below the truth in `UNDERSTATED`.
    upper
        Variance of an undivided score over 1/4, the largest that independent rows can have: that
        of a share of a half. The largest of the scores', times `upper_factor`.
    p_value
        Of a mean as large, of independent rows.
    """

    mean: list[float]
    dimensions: list[float]
    upper_factor: list[float]
    upper: list[float]
    p_value: list[float]


def _spread(blocks: _Blocks, scores: Floats, variances: Floats) -> _Spread:
    freedom = blocks.blocks - 1
    turned = scores.transpose(0, 2, 1)
    actual = scores @ blocks.centred @ turned / (freedom * blocks.rows)[:, None, None]
    expected = (scores * blocks.shares[:, None, :]) @ turned
    found, trace = _traces(actual), _traces(expected)
    squares = (expected**2).sum(axis=(1, 2))
    mean = found / trace
    law = _null_law(scores, blocks, expected, trace, squares)
    dimensions = _dimensions(actual, freedom, trace**2 / squares)
    # As many clusters of rows alike as the effect says make a block. Few of them fill rare bins
    # unevenly, which lengthens the tail as fewer directions do.
    excess = dimensions * law.excess * np.maximum(1.0, mean)
    dimensions = np.maximum(1.0, dimensions / (1 + excess / (2 * law.mean**2 * blocks.rows)))
    known_by = (freedom * dimensions / 2).tolist()
    factors = [max(1.0, one / gamma_quantile(one, UNDERSTATED)) for one in known_by]
    largest = (np.diagonal(actual, axis1=1, axis2=2) * variances).max(axis=1) / HALF_VARIANCE
    return _Spread(
        mean.tolist(),
        dimensions.tolist(),
        factors,
        (largest * factors).tolist(),
        law.tails(freedom * found, freedom),
    )


def _traces(matrices: Floats) -> Floats:
    return np.asarray(np.trace(matrices, axis1=1, axis2=2), np.float64)


@dataclass(frozen=True, slots=True)
class _NullLaw:
    """Law of a block's sum of squared scores when rows are independent: a shifted gamma law.

    All by scale, shape ``(S,)``.

    Parameters
    ----------
    mean, variance
        Of one block; they add up over blocks.
    excess
        What the variance of blocks of one row is above that of normal scores; not negative.
    shape
        Of the gamma law of one block, ``4 / skewness^2``; adds up as well.
    """

    mean: Floats
    variance: Floats
    excess: Floats
    shape: Floats

    def tails(self, totals: Floats, blocks: Floats) -> list[float]:
        """Chances of at least `totals`, summed over `blocks` blocks."""
        shapes = blocks * self.shape
        deviations = (totals - blocks * self.mean) / np.sqrt(blocks * self.variance)
        there = np.maximum(0.0, shapes + deviations * np.sqrt(shapes))
        return [
            chi_square_above(2 * shape, 2 * x)
            for shape, x in zip(shapes.tolist(), there.tolist(), strict=True)
        ]


def _null_law(
    scores: Floats, blocks: _Blocks, expected: Floats, trace: Floats, squares: Floats
) -> _NullLaw:
    """Moments of the sum of squared scores of a block of independent rows.

    With ``M = u'u``, the counts' covariance S, ``q_j = (e_j - p)' M (e_j - p)`` and
    ``t = tr((M S)^2)`` the variance is ``2 t + (sum p q^2 - tr(M S)^2 - 2 t) / b``: the second
    term is what a multinomial law adds to a normal one. The skewness is the larger of that of
    normal scores and that of a gamma law from 0 on, which rare bins come close to.
    """
    single = (scores**2).sum(axis=1)
    excess = (blocks.shares * single**2).sum(axis=1) - trace**2 - 2 * squares
    variance = np.maximum(squares, 2 * squares + excess / blocks.rows)
    cubes = ((expected @ expected) * expected).sum(axis=(1, 2))
    shape = np.minimum(squares**3 / cubes**2 / 2, trace**2 / variance)
    return _NullLaw(trace, variance, np.maximum(0.0, excess), shape)


def _dimensions(actual: Floats, freedom: Floats, most: Floats) -> Floats:
    """Directions in which blocks differ, from unbiased traces of Wishart matrices."""
    first, second = _traces(actual), (actual**2).sum(axis=(1, 2))
    unbiased = freedom**2 / ((freedom - 1) * (freedom + 2)) * (second - first**2 / freedom)
    # Below this share of the trace's square there would be more directions than there are.
    least = np.maximum(unbiased, first**2 / most)
    told = first > 0
    return np.where(told, np.maximum(1.0, first**2 / np.where(told, least, 1.0)), 1.0)


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
    most = min(freedom, _FREEDOM)
    share = max(1.0, freedom / dimensions)
    return (
        share * chi_square_quantile(min(dimensions, most), TAIL) / chi_square_quantile(most, TAIL)
    )
