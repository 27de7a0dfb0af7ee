"""From sums over a reference's rows to correlations, their noise, and whether rows depend."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import numpy.typing as npt

from detectors.joint.counts import rows_together, unzigzag, zigzag
from detectors.joint.profile import CORRELATION_MAX, JointProfile, JointScale, fisher_z
from detectors.numerics.packing import PackedArray, PackingError, pack_counts, unpack_counts
from detectors.numerics.tails import chi_square_above

if TYPE_CHECKING:
    from collectors.batch import Floats, Ints
    from detectors.joint.blocks import BlockScale, BlockScales
    from detectors.joint.scores import ScoreMatrix, ScoreTables

#: Blocks that a scale needs; with fewer, an estimated variance says next to nothing.
BLOCKS_MIN = 8
#: Noises that exceed those of independent rows by less are let pass: the delta method is not
#: more exact for the shortest blocks.
SLACK = 0.05
#: Variance of the squared influence of a row on a correlation, of normal scores, over its mean's
#: square: what the delta method's own noise comes from.
_INFLUENCE_SPREAD = 8.0
#: Correlations above it are left out of the test: their noise is that of the table's steps.
_TESTED_MAX = 0.99
#: Pairs of pairs that are looked at to learn how alike correlations vary.
_PAIRS_COMPARED = 400
#: Powers of two columns' scores whose products are summed.
_POWERS = ((1, 1), (2, 1), (3, 1), (2, 2))


class ScoreMomentsState(msgspec.Struct, array_like=True, frozen=True):
    """What `ScoreMoments` keeps in the store, as `zigzag` writes it."""

    rows: int
    sums: PackedArray
    products: list[PackedArray]


class ScoreMoments:
    """Sums of products of the powers of scores, to the fourth order: exact.

    Parameters
    ----------
    columns
        p, number of columns.

    Attributes
    ----------
    rows
        Rows so far.
    sums
        Shape ``(p,)``.
    products
        By powers ``(k, l)`` the sums of ``x_i^k x_j^l``, shape ``(p, p)``.
    """

    def __init__(self, columns: int) -> None:
        self.rows = 0
        self.sums: Ints = np.zeros(columns, np.int64)
        self.products: dict[tuple[int, int], Ints] = {
            powers: np.zeros((columns, columns), np.int64) for powers in _POWERS
        }

    def add(self, matrix: ScoreMatrix) -> None:
        """Add rows, scores of shape ``(p, rows)``."""
        step = rows_together(len(matrix))
        for start in range(0, matrix.shape[1], step):
            self._add(matrix[:, start : start + step])

    def _add(self, matrix: ScoreMatrix) -> None:
        real = matrix.astype(np.float64)
        # Products, because numpy takes third powers by logarithms, a hundred times slower.
        squares = real * real
        by_power = {1: real, 2: squares, 3: squares * real}
        self.rows += matrix.shape[1]
        self.sums += real.sum(axis=1).astype(np.int64)
        for one, other in _POWERS:
            self.products[one, other] += (by_power[one] @ by_power[other].T).astype(np.int64)

    def state(self) -> ScoreMomentsState:
        """Everything to go on from."""
        products = [pack_counts(zigzag(kept.ravel())) for kept in self.products.values()]
        return ScoreMomentsState(self.rows, pack_counts(zigzag(self.sums)), products)

    @classmethod
    def of_state(cls, state: ScoreMomentsState, columns: int) -> ScoreMoments:
        """Go on from `state`.

        Raises
        ------
        PackingError
            If its parts contradict one another.
        """
        self = cls(columns)
        self.rows, self.sums = state.rows, unzigzag(unpack_counts(state.sums))
        kept = [unzigzag(unpack_counts(one)) for one in state.products]
        if self.sums.size != columns or [one.size for one in kept] != [columns**2] * len(_POWERS):
            raise PackingError(f"moments of another number of columns than {columns}")
        for powers, one in zip(_POWERS, kept, strict=True):
            self.products[powers] = one.reshape(columns, columns)
        return self

    def noises(self) -> Floats:
        """Variance of Fisher's z of all pairs by the delta method, times the rows.

        The influence of a row on a correlation is ``z_x z_y - r (z_x² + z_y²) / 2`` of its
        standardised scores [1]_; its mean square over ``(1 - r²)²`` is 1 of normal scores.
        1 where a column is constant. Shape ``(P,)``.

        References
        ----------
        .. [1] Devlin, Gnanadesikan, Kettenring, "Robust estimation and outlier detection with
           correlation coefficients", Biometrika 62, 1975.
        """
        means = self.sums / self.rows
        a, b = means[:, None], means[None, :]
        m11, m21, m31, m22 = (self.products[powers] / self.rows for powers in _POWERS)
        m20, m30 = np.diag(m11)[:, None], np.diag(m21)[:, None]
        twos = m22 - 2 * (b * m21 + a * m21.T) + b**2 * m20 + a**2 * m20.T + 4 * a * b * m11
        twos -= 3 * (a * b) ** 2
        threes = m31 - b * m30 - 3 * a * m21 + 3 * a * b * m20 + 3 * a**2 * m11 - 3 * a**3 * b
        deviations = np.sqrt(np.maximum(np.diag(m11) - means**2, 0))
        first, second = np.triu_indices(means.size, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            correlation = (m11 - a * b) / np.outer(deviations, deviations)
            twos /= np.outer(deviations**2, deviations**2)
            threes /= np.outer(deviations**3, deviations)
        r = np.clip(correlation, -CORRELATION_MAX, CORRELATION_MAX)[first, second]
        fours = np.diag(threes)
        influence = (
            twos[first, second]
            - r * (threes[first, second] + threes[second, first])
            + r**2 / 4 * (fours[first] + fours[second] + 2 * twos[first, second])
        )
        noises = np.maximum(influence, 0) / (1 - r**2) ** 2
        return np.where(np.isfinite(noises), noises, 1.0)


def joint_profile_of(
    tables: ScoreTables, moments: ScoreMoments, scales: BlockScales | None, left_out: int
) -> JointProfile | None:
    """Derive the joint profile; None of no rows."""
    if not moments.rows:
        return None
    centers = fisher_z(moments.rows, moments.sums, moments.products[1, 1])
    noises = moments.noises()
    directions: dict[bytes, float] = {}
    told = [
        _scale(rows, kept, moments.rows, (centers, noises), directions)
        for rows, kept in (scales.scales() if scales else ())
    ]
    return JointProfile(
        tables, moments.rows, centers, noises, tuple(one for one in told if one), left_out
    )


def _scale(
    rows: int,
    kept: BlockScale,
    all_rows: int,
    whole: tuple[Floats, Floats],
    directions: dict[bytes, float],
) -> JointScale | None:
    """Derive what blocks of one length say; None of too few blocks.

    Parameters
    ----------
    whole
        Centers and noises of all rows.
    directions
        What :func:`_directions` found, by the pairs that were tested: nearly always all of them.
    """
    centers, expected = whole
    enough = kept.blocks >= BLOCKS_MIN
    if not enough.any():
        return None
    blocks = np.maximum(kept.blocks, 2)
    means = kept.sums / blocks
    variances = np.maximum(kept.squares - kept.sums * means, 0) / (blocks - 1)
    # Fisher's approximation of the variance of z: of normal scores, 1 / (rows - 3).
    noises = variances * (rows - 3)
    tested = enough & (np.abs(np.tanh(means)) < _TESTED_MAX) & (expected > SLACK)
    fewest = int(kept.blocks[enough].min())
    p_value = 1.0
    if tested.any():
        effects = noises[tested] / expected[tested]
        pairs = tested.tobytes()
        if pairs not in directions:
            directions[pairs] = _directions(centers, tested)
        p_value = _p_value(effects, fewest - 1, all_rows, directions[pairs])
    centers, noises = np.where(enough, means, np.nan), np.where(enough, noises, 1.0)
    return JointScale(rows, fewest, centers, noises, p_value)


def _p_value(effects: Floats, freedom: int, rows: int, directions: float) -> float:
    """Chance of such noises, over those expected, of independent rows: pooled, and the largest.

    The mean noise has as many degrees of freedom as blocks, times the directions that the
    correlations vary in.
    """
    own = math.sqrt(_INFLUENCE_SPREAD / rows)
    pooled = float(effects.mean()) / (1 + SLACK + 2 * own)
    largest = float(effects.max()) / (1 + SLACK + 4 * own)
    known_by = freedom * directions
    by_mean = chi_square_above(known_by, known_by * pooled)
    by_largest = effects.size * chi_square_above(freedom, freedom * largest)
    return min(1.0, 2 * min(by_mean, by_largest))


def _directions(centers: Floats, tested: npt.NDArray[np.bool_]) -> float:
    """Count the correlations that, varying independently, would pool as well as these do.

    ``P² / sum corr²`` over pairs of pairs, whose correlations of correlations are those of
    normal variables [1]_; of many pairs, a part is looked at.

    References
    ----------
    .. [1] Steiger, "Tests for comparing elements of a correlation matrix", Psychological Bulletin
       87, 1980, equation 3.
    """
    columns = math.isqrt(2 * centers.size) + 1
    first, second = np.triu_indices(columns, 1)
    matrix = np.eye(columns)
    matrix[first, second] = matrix[second, first] = np.tanh(np.nan_to_num(centers))
    chosen = np.flatnonzero(tested)
    pairs = chosen.size
    chosen = chosen[:: -(-pairs // _PAIRS_COMPARED)]
    j, k = first[chosen], second[chosen]
    jk, hm = matrix[j, k][:, None], matrix[j, k][None, :]
    jh, jm, kh, km = (matrix[np.ix_(one, other)] for one in (j, k) for other in (j, k))
    covariances = (
        (jh - jk * kh) * (km - kh * hm)
        + (jm - jh * hm) * (kh - jk * jh)
        + (jh - jm * hm) * (km - jk * jm)
        + (jm - jk * km) * (kh - km * hm)
    ) / 2
    squares = (covariances / ((1 - jk**2) * (1 - hm**2))) ** 2
    if chosen.size < 2:  # noqa: PLR2004 - one pair is one direction
        return 1.0
    apart = float((squares.sum() - np.trace(squares)) / (chosen.size * (chosen.size - 1)))
    return max(1.0, pairs / (1 + (pairs - 1) * apart))
