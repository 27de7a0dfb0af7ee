"""The looks in one direction each that a column of a window is given, and their weights.

The level of a column is shared out over its looks (Bonferroni). Weights say which drifts are
commonest: with twice the weight a look finds what lies a fifth of a standard error less far out.
They are parts of the weight of the look at all bins, which is 1 of numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectors.rules.drift import Weighted
from detectors.statistics.rank_shift import RankShift
from detectors.statistics.share_shift import ShareShift
from detectors.statistics.spread_shift import SpreadShift

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collectors.batch import Ints
    from detectors.columns.category_counts import CategoryCounts
    from detectors.columns.coarse_bins import CoarseBins
    from detectors.columns.dispersion import DesignEffect
    from detectors.columns.fine_bins import FineBins
    from detectors.columns.number_counts import NumberCounts
    from detectors.columns.profile import CategoryProfile, NumberProfile

#: Of numbers.
RANKS, SPREAD, EACH_END, MISSING = 4.0, 2.0, 0.5, 1.0
#: Of categories: all bins together, values that are new, and each of the frequent ones' part of
#: what they have together.
CATEGORIES, NEW, FREQUENT = 3.0, 2.0, 4.0


def number_looks(
    profile: NumberProfile,
    counts: NumberCounts,
    upto: Ints,
    fine: FineBins | None,
    effect: DesignEffect,
) -> Sequence[Weighted]:
    """Look at where the values of a number column lie, how wide, beyond its ends, and at none.

    Parameters
    ----------
    upto
        The window's rows up to each cell of the profile's grid.
    fine
        Of the profile; None where it has no rows with a value.
    """
    looks = [_missing(profile, counts, effect)]
    if fine is None or not counts.rows:
        return looks
    actual = fine.count(upto)
    looks += [
        Weighted(RankShift(fine.reference, actual, effect.ranks), RANKS),
        Weighted(SpreadShift(fine.reference, actual, fine.squares, effect.of_spread), SPREAD),
    ]
    ends = zip((fine.low_rows, fine.high_rows), fine.beyond(upto), strict=True)
    for expected, beyond in ends:
        end = ShareShift(expected, profile.rows, beyond, counts.rows, effect.of_shares)
        looks.append(Weighted(end, EACH_END))
    return looks


def category_looks(
    profile: CategoryProfile, counts: CategoryCounts, cut: CoarseBins, effect: DesignEffect
) -> Sequence[Weighted]:
    """Look at each frequent value of a category column, at values that are new, and at none."""
    looks = [_missing(profile, counts, effect)]
    if not profile.rows or not counts.rows:
        return looks
    single, rows = effect.of_shares, counts.rows
    if not profile.other:
        looks.append(Weighted(_new(profile, counts, single), NEW))
    shares = list(zip(cut.reference[:-1].tolist(), cut.count(counts)[:-1].tolist(), strict=True))
    for expected, actual in shares:
        look = ShareShift(expected, profile.rows, actual, rows, single)
        looks.append(Weighted(look, FREQUENT / len(shares)))
    return looks


def _new(profile: CategoryProfile, counts: CategoryCounts, effect: float) -> ShareShift:
    """Look at values that the reference does not name.

    Of a column with ever more values (names, say) some are new in every window: as large a share
    as that of the values that the reference met once [1]_, s of them. It is known with a variance
    of ``s + 2 t`` rows, with t values met twice: as if so many fewer rows had been seen. Of a
    column with more values than the reference names that share is not known, and not looked at.

    References
    ----------
    .. [1] Good, "The population frequencies of species and the estimation of population
       parameters", Biometrika 40, 1953.
    """
    once, twice = (int((profile.counts == times).sum()) for times in (1, 2))
    fewer = 1 + 2 * twice / (once + 1)
    expected, rows = once / fewer, profile.rows / fewer
    return ShareShift(expected, rows, counts.other, counts.rows, effect)


def _missing(
    profile: NumberProfile | CategoryProfile,
    counts: NumberCounts | CategoryCounts,
    effect: DesignEffect,
) -> Weighted:
    before, now = profile.missing + profile.invalid, counts.missing + counts.invalid
    all_before, all_now = profile.rows + before, counts.rows + now
    return Weighted(ShareShift(before, all_before, now, all_now, effect.of_shares), MISSING)
