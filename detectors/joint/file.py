"""A joint profile as it is kept in reference files."""

from __future__ import annotations

import msgspec

from detectors.joint.profile import JointProfile, JointScale
from detectors.joint.tables import TablesState, packed_tables, unpacked_tables
from detectors.numerics.packing import PackedArray, pack_floats, unpack_floats


class _Scale(msgspec.Struct, array_like=True, frozen=True):
    rows: int
    blocks: int
    centers: PackedArray
    noises: PackedArray
    p_value: float


class PackedJoint(msgspec.Struct, array_like=True, frozen=True):
    """All of a joint profile."""

    tables: TablesState
    rows: int
    centers: PackedArray
    noises: PackedArray
    scales: list[_Scale]
    left_out: int


def packed_joint(profile: JointProfile) -> PackedJoint:
    """Write a profile."""
    return PackedJoint(
        packed_tables(profile.tables),
        profile.rows,
        pack_floats(profile.centers),
        pack_floats(profile.noises),
        [
            _Scale(
                one.rows,
                one.blocks,
                pack_floats(one.centers),
                pack_floats(one.noises),
                one.p_value,
            )
            for one in profile.scales
        ],
        profile.left_out,
    )


def unpacked_joint(packed: PackedJoint) -> JointProfile:
    """Read what `packed_joint` wrote.

    Raises
    ------
    PackingError
        If an array is none.
    ReferenceError
        If the parts contradict one another.
    """
    scales = [
        JointScale(
            one.rows,
            one.blocks,
            unpack_floats(one.centers),
            unpack_floats(one.noises),
            one.p_value,
        )
        for one in packed.scales
    ]
    return JointProfile(
        unpacked_tables(packed.tables),
        packed.rows,
        unpack_floats(packed.centers),
        unpack_floats(packed.noises),
        tuple(scales),
        packed.left_out,
    )
