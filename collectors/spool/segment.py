"""One file of a spool: how lines lie on disk, and how damage is told from what was written.

A segment is a header and records one behind the other::

    header   magic, sequence, lines spooled before this segment, CRC-32 of these
    record   CRC-32 of the rest, kind, bytes, lines; then the bytes: whole lines

All numbers are little-endian. Lines are numbered over the whole life of a spool, so that what
lies between two places in it is a difference, also when a segment between them is gone.
"""

from __future__ import annotations

import enum
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_MAGIC = b"KEDGESP1"
_HEADER = struct.Struct("<8sQQ")
_CHECK = struct.Struct("<I")
_RECORD = struct.Struct("<III")

#: Bytes before the first record.
HEADER_BYTES = _HEADER.size + _CHECK.size
#: Bytes of a record before its lines.
RECORD_HEAD_BYTES = _CHECK.size + _RECORD.size


class Kind(enum.IntEnum):
    """What the bytes of a record are."""

    LINES = 1
    TOO_LONG = 2  # the first bytes of one line that was not taken


@dataclass(frozen=True, slots=True)
class Header:
    """What a segment says of itself: its number, and how many lines came before it."""

    sequence: int
    lines_before: int


@dataclass(frozen=True, slots=True)
class Record:
    r"""Lines that were spooled together.

    Parameters
    ----------
    kind
        What `payload` is.
    lines
        How many lines it stands for.
    payload
        Whole lines, each ended by ``\n``; or the beginning of the one that was too long.
    """

    kind: Kind
    lines: int
    payload: bytes

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return RECORD_HEAD_BYTES + len(self.payload)


def pack_header(header: Header) -> bytes:
    """Return the first bytes of a segment."""
    body = _HEADER.pack(_MAGIC, header.sequence, header.lines_before)
    return body + _CHECK.pack(zlib.crc32(body))


def unpack_header(data: bytes) -> Header | None:
    """Return what the first bytes of a segment say; None when they are not whole."""
    if len(data) < HEADER_BYTES:
        return None
    magic, sequence, lines_before = _HEADER.unpack_from(data)
    (check,) = _CHECK.unpack_from(data, _HEADER.size)
    if magic != _MAGIC or check != zlib.crc32(data[: _HEADER.size]):
        return None
    return Header(sequence, lines_before)


def pack_record(record: Record) -> bytes:
    """Return a record as it stands on disk."""
    head = _RECORD.pack(record.kind, len(record.payload), record.lines)
    check = zlib.crc32(record.payload, zlib.crc32(head))
    return _CHECK.pack(check) + head + record.payload


def unpack_record(data: bytes, at: int) -> Record | None:
    """Return the record that begins there; None when it is torn or damaged."""
    begin = at + RECORD_HEAD_BYTES
    if begin > len(data):
        return None
    (check,) = _CHECK.unpack_from(data, at)
    kind, length, lines = _RECORD.unpack_from(data, at + _CHECK.size)
    payload = data[begin : begin + length]
    head = data[at + _CHECK.size : begin]
    if len(payload) < length or check != zlib.crc32(payload, zlib.crc32(head)):
        return None
    try:
        return Record(Kind(kind), lines, payload)
    except ValueError:
        return None


def record_bytes(data: bytes) -> int:
    """Return how long a record says it is, from its first `RECORD_HEAD_BYTES`; unchecked."""
    _, length, _ = _RECORD.unpack_from(data, _CHECK.size)
    return RECORD_HEAD_BYTES + int(length)


def records(data: bytes, at: int) -> Iterator[tuple[Record, int]]:
    """Yield records and where each ends, up to the first that is not whole."""
    while (record := unpack_record(data, at)) is not None:
        at += record.size
        yield record, at


def packed(lines: Sequence[bytes], record_bytes_max: int) -> Iterator[Record]:
    """Put lines, which have no end yet, into as few records as their size allows."""
    group: list[bytes] = []
    size = 0
    for line in lines:
        if group and size + len(line) + 1 > record_bytes_max:
            yield _of(group)
            group, size = [], 0
        group.append(line)
        size += len(line) + 1
    if group:
        yield _of(group)


def _of(lines: Sequence[bytes]) -> Record:
    return Record(Kind.LINES, len(lines), b"\n".join(lines) + b"\n")


def write_whole(descriptor: int, data: bytes) -> None:
    """Write all of it; a disk that is nearly full may take a part first."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
