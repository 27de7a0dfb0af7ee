"""A reference as one file: a magic word, a format version, a checksum, compressed MessagePack.

No code is ever loaded from it (no pickle), its inflated size is limited, and its arrays are
checked against one another, so that a file from elsewhere is safe to open.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import TypeAlias

import msgspec

from detectors.columns.dispersion import Dispersion
from detectors.columns.profile import CategoryProfile, NumberProfile, Profile, VectorProfile
from detectors.columns.reference_error import ReferenceError  # noqa: A004 - the builtin is about weak references
from detectors.columns.vector_axes import VectorAxes
from detectors.columns.vector_builder import unpacked_sums
from detectors.columns.vector_counts import unpacked_places
from detectors.joint.file import PackedJoint, packed_joint, unpacked_joint
from detectors.numerics.packing import (
    PackedArray,
    PackingError,
    pack_counts,
    pack_floats,
    unpack_counts,
    unpack_floats,
)
from detectors.performance.estimators_state import EstimatorsState, estimators_of, state_of
from detectors.reference.reference import Reference
from detectors.reference.season_file import PackedSeason, pack_season, unpack_season

__all__ = ["ReferenceError", "dump", "load"]

MAGIC = b"KEDGEREF"
#: Version 1 had no dispersions: rows of its columns are taken as independent.
FORMAT = 2
#: Of references with columns of vectors, which older programs do not know.
FORMAT_WITH_VECTORS = 3
_FORMATS_KNOWN = (1, 2, 3)
#: Largest body after inflation; a full reference (500,000 points) takes about 8 MB.
INFLATED_MAX = 256 * 1024 * 1024
_HEADER = struct.Struct(f"<{len(MAGIC)}sI32s")


class _Number(msgspec.Struct, array_like=True, frozen=True, tag="number"):
    points: PackedArray
    counts: PackedArray
    missing: int
    invalid: int
    rank_error: float
    dispersion: Dispersion | None = None


class _Category(msgspec.Struct, array_like=True, frozen=True, tag="category"):
    values: list[str]
    counts: PackedArray
    other: int
    missing: int
    invalid: int
    dispersion: Dispersion | None = None


class _Vector(msgspec.Struct, array_like=True, frozen=True, tag="vector"):
    center: PackedArray
    step: float
    rows: int
    sums: bytes
    products: bytes
    sample: bytes
    missing: int
    invalid: int


_Packed: TypeAlias = _Number | _Category | _Vector


class _Segment(msgspec.Struct, array_like=True, frozen=True):
    rows: int
    columns: dict[str, _Packed]
    estimators: EstimatorsState | None = None
    joint: PackedJoint | None = None


class _Body(msgspec.Struct, frozen=True):
    rows: int
    created: float
    origin: str
    columns: dict[str, _Packed]
    estimators: EstimatorsState | None = None
    season: PackedSeason | None = None
    joint: PackedJoint | None = None
    segments: dict[str, _Segment] = {}


def dump(reference: Reference) -> bytes:
    """Write `reference` as the bytes of one file."""
    body = _Body(
        rows=reference.rows,
        created=reference.created,
        origin=reference.origin,
        columns={name: _packed(profile) for name, profile in reference.columns.items()},
        estimators=None if reference.estimators is None else state_of(reference.estimators),
        season=pack_season(reference.season, reference.columns) if reference.season else None,
        joint=None if reference.joint is None else packed_joint(reference.joint),
        segments={name: _packed_segment(one) for name, one in reference.segments.items()},
    )
    packed = zlib.compress(msgspec.msgpack.encode(body), level=6)
    has_vectors = any(profile.kind == "vector" for profile in reference.columns.values())
    version = FORMAT_WITH_VECTORS if has_vectors else FORMAT
    return _HEADER.pack(MAGIC, version, hashlib.sha256(packed).digest()) + packed


def load(data: bytes) -> Reference:
    """Read what `dump` wrote.

    Raises
    ------
    ReferenceError
        If the bytes are no reference, of an unknown version, cut off, damaged, too large once
        inflated, or if their arrays contradict one another.
    """
    if not data.startswith(MAGIC):
        raise ReferenceError(
            "not a reference file (it does not begin as one); "
            "make one with `kedge reference build --from FILE --out REFERENCE`"
        )
    if len(data) < _HEADER.size:
        raise ReferenceError("the reference file is cut off within its header; build it again")
    _, version, checksum = _HEADER.unpack_from(data)
    if version not in _FORMATS_KNOWN:
        raise ReferenceError(
            f"the reference file has format version {version}, "
            f"this program reads up to {_FORMATS_KNOWN[-1]}; "
            "build it again, or use the program that wrote it"
        )
    packed = data[_HEADER.size :]
    if hashlib.sha256(packed).digest() != checksum:
        raise ReferenceError(
            "the reference file is damaged or cut off (its checksum does not match); "
            "copy it again, or build it again"
        )
    try:
        body = msgspec.msgpack.decode(_inflated(packed), type=_Body)
        columns = {name: _profile(column) for name, column in body.columns.items()}
        estimators = None if body.estimators is None else estimators_of(body.estimators)
        season = (
            unpack_season(body.season, columns, body.created, body.origin) if body.season else None
        )
        joint = None if body.joint is None else unpacked_joint(body.joint)
        segments = {name: _segment(name, one, body) for name, one in body.segments.items()}
    except (zlib.error, msgspec.DecodeError, PackingError) as error:
        raise ReferenceError(
            f"the reference file cannot be read ({error}); build it again"
        ) from error
    if body.rows < 0:
        raise ReferenceError("the reference file states a negative number of rows")
    return Reference(
        *(columns, body.rows, body.created, body.origin, estimators, season, joint, segments)
    )


def _packed_segment(reference: Reference) -> _Segment:
    return _Segment(
        reference.rows,
        {name: _packed(profile) for name, profile in reference.columns.items()},
        None if reference.estimators is None else state_of(reference.estimators),
        None if reference.joint is None else packed_joint(reference.joint),
    )


def _segment(name: str, packed: _Segment, body: _Body) -> Reference:
    if packed.rows < 0:
        raise ReferenceError("the reference file states a negative number of rows")
    return Reference(
        {column: _profile(one) for column, one in packed.columns.items()},
        packed.rows,
        body.created,
        f"{body.origin}, {name}",
        None if packed.estimators is None else estimators_of(packed.estimators),
        joint=None if packed.joint is None else unpacked_joint(packed.joint),
    )


def _inflated(packed: bytes) -> bytes:
    inflater = zlib.decompressobj()
    body = inflater.decompress(packed, INFLATED_MAX)
    if inflater.unconsumed_tail:
        raise ReferenceError(
            f"the reference file inflates to more than {INFLATED_MAX} bytes; refused"
        )
    if not inflater.eof:
        raise ReferenceError("the reference file is cut off; build it again")
    return body


def _packed(profile: Profile) -> _Packed:
    if isinstance(profile, VectorProfile):
        return _Vector(
            pack_floats(profile.axes.center),
            profile.axes.step,
            profile.rows,
            profile.sums.astype("<i8").tobytes(),
            profile.products.astype("<i8").tobytes(),
            profile.sample.astype("<i2").tobytes(),
            profile.missing,
            profile.invalid,
        )
    counts = pack_counts(profile.counts)
    missing, invalid, dispersion = profile.missing, profile.invalid, profile.dispersion
    if isinstance(profile, NumberProfile):
        points = pack_floats(profile.points)
        return _Number(points, counts, missing, invalid, profile.rank_error, dispersion)
    return _Category(list(profile.values), counts, profile.other, missing, invalid, dispersion)


def _profile(packed: _Packed) -> Profile:
    if isinstance(packed, _Vector):
        axes = VectorAxes(unpack_floats(packed.center), packed.step)
        sums, products = unpacked_sums(packed.sums, packed.products, axes.kept)
        sampled = len(packed.sample) // max(1, 2 * axes.kept)
        sample = unpacked_places(packed.sample, sampled, axes.kept)
        return VectorProfile(
            axes, packed.rows, sums, products, sample, packed.missing, packed.invalid
        )
    counts = unpack_counts(packed.counts)
    missing, invalid, dispersion = packed.missing, packed.invalid, packed.dispersion
    if isinstance(packed, _Number):
        points = unpack_floats(packed.points)
        return NumberProfile(points, counts, missing, invalid, packed.rank_error, dispersion)
    values = tuple(packed.values)
    return CategoryProfile(values, counts, packed.other, missing, invalid, dispersion)
