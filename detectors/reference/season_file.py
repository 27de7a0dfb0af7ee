"""The season's part of a reference file: profiles of slots, told by the whole reference's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from detectors.columns.dispersion import Dispersion
from detectors.columns.profile import (
    CategoryProfile,
    NumberProfile,
    Profile,
    ScalarProfile,
    VectorProfile,
)
from detectors.columns.reference_error import ReferenceError  # noqa: A004 - the builtin is about weak references
from detectors.numerics.packing import PackedArray, pack_counts, unpack_counts
from detectors.reference.reference import Reference
from detectors.reference.season import Season, SeasonKind

if TYPE_CHECKING:
    from collections.abc import Mapping


class _SlotColumn(msgspec.Struct, array_like=True, frozen=True):
    """A column of a slot: which of the whole's points it has (by distance), or its first values."""

    steps: PackedArray
    counts: PackedArray
    other: int
    missing: int
    invalid: int
    rank_error: float


class _Slot(msgspec.Struct, array_like=True, frozen=True):
    slot: int
    rows: int
    columns: dict[str, _SlotColumn]


class PackedSeason(msgspec.Struct, array_like=True, frozen=True):
    """A season as it is written; dispersions are the same in all slots."""

    kind: SeasonKind
    zone: str
    slots: list[_Slot]
    dispersions: dict[str, Dispersion]


def pack_season(season: Season, whole: Mapping[str, Profile]) -> PackedSeason:
    """Pack the slots of a reference with the profiles `whole`."""
    slots, dispersions = [], {}
    for slot, reference in season.slots.items():
        columns = {}
        for name, profile in reference.columns.items():
            if isinstance(profile, VectorProfile):
                continue
            columns[name] = _packed(profile, whole[name])
            if profile.dispersion is not None:
                dispersions[name] = profile.dispersion
        slots.append(_Slot(slot, reference.rows, columns))
    return PackedSeason(season.kind, season.zone, slots, dispersions)


def unpack_season(
    packed: PackedSeason, whole: Mapping[str, Profile], created: float, origin: str
) -> Season:
    """Make the slots again.

    Raises
    ------
    ReferenceError
        If they do not fit the whole.
    """
    slots = {
        one.slot: Reference(
            {
                name: _profile(column, whole.get(name), packed.dispersions.get(name))
                for name, column in one.columns.items()
            },
            one.rows,
            created,
            origin,
        )
        for one in packed.slots
    }
    return Season(packed.kind, packed.zone, slots)


def _packed(profile: ScalarProfile, whole: Profile) -> _SlotColumn:
    counts = pack_counts(profile.counts)
    if isinstance(profile, NumberProfile) and isinstance(whole, NumberProfile):
        index = whole.points.searchsorted(profile.points)
        steps = pack_counts(np.diff(index, prepend=0))
        return _SlotColumn(steps, counts, 0, profile.missing, profile.invalid, profile.rank_error)
    if isinstance(profile, CategoryProfile):
        steps = pack_counts(np.empty(0, np.int64))
        return _SlotColumn(steps, counts, profile.other, profile.missing, profile.invalid, 0.0)
    raise ReferenceError("a column of a slot is of another kind than the whole's")


def _profile(packed: _SlotColumn, whole: Profile | None, dispersion: Dispersion | None) -> Profile:
    counts = unpack_counts(packed.counts)
    if isinstance(whole, NumberProfile):
        index = np.cumsum(unpack_counts(packed.steps))
        if index.size and int(index[-1]) >= whole.points.size:
            raise ReferenceError("a slot of the season has points that the whole has not")
        return NumberProfile(
            whole.points[index],
            counts,
            packed.missing,
            packed.invalid,
            packed.rank_error,
            dispersion,
        )
    if isinstance(whole, CategoryProfile) and counts.size <= len(whole.values):
        values = whole.values[: counts.size]
        return CategoryProfile(
            values, counts, packed.other, packed.missing, packed.invalid, dispersion
        )
    raise ReferenceError("a slot of the season does not fit the whole reference")
