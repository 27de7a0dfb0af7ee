"""What a drift rule needs of a reference, worked out once: columns, bins and their shares."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from detectors.columns.category_counts import CategoryCounts
from detectors.columns.coarse_bins import CoarseBins, coarse_bins
from detectors.columns.dispersion import DesignEffect
from detectors.columns.fine_bins import FineBins, fine_bins
from detectors.columns.number_counts import NumberCounts
from detectors.columns.profile import (
    CategoryProfile,
    NumberProfile,
    Profile,
    ScalarProfile,
    VectorProfile,
    design_effect,
)
from detectors.rules.drift import Comparison, Distance
from detectors.rules.drift_looks import CATEGORIES, category_looks, number_looks
from detectors.rules.e_detector import MEMORIES, Null, radius
from detectors.statistics.bins import category_shares, number_shares

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from collectors.batch import Floats
    from detectors.columns.column_counts import ColumnCounts
    from detectors.measurement import Measurement
    from detectors.reference.reference import Reference

#: Probability that any column's ball of shares does not hold those at the tolerance: so few
#: references in a hundred leave a drift within the tolerance that may alarm more often.
MISS = 0.01
#: Design effects are rounded up to a step of so much, so that the balls of windows of about the
#: same size are worked out once.
_EFFECT_STEP = 1.1


@dataclass(frozen=True, slots=True, eq=False)
class Watch:
    """The columns of a reference that a drift rule looks at.

    Parameters
    ----------
    profiles
        By column, in the order of the arrays of `null`.
    bins
        The coarse cut of each.
    null
        Their shares in the reference.
    fine
        The fine cut of each column of numbers that has rows, by name.
    digest
        Of the reference and the columns: evidence gathered against others is void.
    """

    profiles: Mapping[str, ScalarProfile]
    bins: Sequence[CoarseBins]
    null: Null
    digest: str
    fine: Mapping[str, FineBins | None]

    @classmethod
    def of(cls, reference: Reference, names: Sequence[str]) -> Watch:
        """Watch the columns `names` of a reference; those without rows in it are left out.

        So are vectors: what their windows differ by when nothing has changed is not learned.
        """
        profiles: dict[str, ScalarProfile] = {}
        for name in names:
            profile = reference.columns[name]
            if isinstance(profile, VectorProfile):
                continue
            if profile.rows + profile.missing + profile.invalid:
                profiles[name] = profile
        bins = [coarse_bins(profile) for profile in profiles.values()]
        shares = np.zeros((len(bins), max((cut.reference.size for cut in bins), default=0)))
        rows = np.array([cut.reference.sum() for cut in bins], np.float64)
        for i, cut in enumerate(bins):
            shares[i, : cut.reference.size] = cut.reference / rows[i]
        sizes = np.array([cut.reference.size for cut in bins], np.float64)
        digest = hashlib.sha256(msgspec.msgpack.encode((reference.digest, list(profiles))))
        fine = fine_cuts(profiles)
        return cls(profiles, bins, Null(shares, rows, sizes), digest.hexdigest(), fine)

    @property
    def names(self) -> list[str]:
        """The columns, in the order of the arrays."""
        return list(self.profiles)

    def coarse_counts(self, columns: Mapping[str, ColumnCounts]) -> Floats:
        """Rows of a window per coarse bin, shape ``(K, B)``; none of a column that it lacks."""
        counts = np.zeros(self.null.shares.shape)
        for i, (name, cut) in enumerate(zip(self.profiles, self.bins, strict=True)):
            if name in columns:
                counts[i, : cut.reference.size] = cut.count(columns[name])
        return counts

    def effects(self, rows: Floats) -> Floats:
        """Design effects of as many rows as each memory holds, shape ``(H, K)``.

        Parameters
        ----------
        rows
            Of the window, shape ``(K,)``.
        """
        return np.array(
            [
                [
                    _rounded_up(design_effect(profile, max(1, round(memory * count))).bins)
                    for profile, count in zip(self.profiles.values(), rows.tolist(), strict=True)
                ]
                for memory in MEMORIES
            ]
        )

    def radii(self, effects: Floats, tolerance: float) -> Floats:
        """Radii of the balls of shares, shape ``(H, K)``."""
        miss = MISS / max(1, self.null.columns)
        sizes, rows = self.null.bins.tolist(), self.null.rows.tolist()
        return np.array(
            [
                [
                    radius(int(bins), int(count), effect, tolerance, miss)
                    for bins, count, effect in zip(sizes, rows, of_memory, strict=True)
                ]
                for of_memory in effects.tolist()
            ]
        )


def fine_cuts(profiles: Mapping[str, Profile]) -> dict[str, FineBins | None]:
    """Cut columns of numbers finely; None of those without rows."""
    return {
        name: fine_bins(profile)
        for name, profile in profiles.items()
        if isinstance(profile, NumberProfile)
    }


def comparisons(
    profiles: Mapping[str, Profile],
    columns: Mapping[str, ColumnCounts],
    found: Sequence[Measurement],
    *,
    psi_bins: int,
    cuts: Mapping[str, CoarseBins],
    fine: Mapping[str, FineBins | None],
) -> dict[str, Comparison]:
    """Compare the columns of a window with their reference.

    Parameters
    ----------
    profiles, columns
        Those of the reference, and the window's counts over their points.
    found
        What was measured of the window already, by the same profiles: of it the
        Kolmogorov-Smirnov distances are taken, which take longest.
    psi_bins
        Bins to cut a column of numbers into, at most.
    cuts
        Coarse bins of the profiles, as far as they are worked out.
    fine
        Fine bins of those of numbers.
    """
    distances = {one.column: one for one in found if one.metric == "ks"}
    made = {}
    for name, profile in profiles.items():
        counts = columns.get(name)
        if counts is None or isinstance(profile, VectorProfile):
            continue
        effect = design_effect(profile, max(1, counts.rows + counts.missing + counts.invalid))
        match counts, profile:
            case NumberCounts(), NumberProfile():
                distance = _distance(profile, distances.get(name))
                made[name] = _of_numbers(
                    counts, profile, fine[name], effect, psi_bins=psi_bins, distance=distance
                )
            case CategoryCounts(), CategoryProfile():
                cut = cuts.get(name) or coarse_bins(profile)
                made[name] = Comparison(
                    *category_shares(profile, counts),
                    effect=effect,
                    directions=category_looks(profile, counts, cut, effect),
                    bins_weight=CATEGORIES,
                )
    return made


def _of_numbers(
    counts: NumberCounts,
    profile: NumberProfile,
    fine: FineBins | None,
    effect: DesignEffect,
    *,
    psi_bins: int,
    distance: Distance | None,
) -> Comparison:
    upto = counts.upto()
    shares = number_shares(profile, upto, counts.missing + counts.invalid, psi_bins)
    looks = number_looks(profile, counts, upto, fine, effect)
    return Comparison(*shares, distance, effect, looks)


def _distance(profile: Profile, found: Measurement | None) -> Distance | None:
    if found is None or found.value is None or not isinstance(profile, NumberProfile):
        return None
    return Distance(found.value, profile.rows, found.n, profile.rank_error)


def _rounded_up(effect: float) -> float:
    if effect <= 1:
        return 1.0
    return float(_EFFECT_STEP ** np.ceil(np.log(effect) / np.log(_EFFECT_STEP)))
