"""A spool in a folder, with a reader, for tests."""

from __future__ import annotations

import json
from pathlib import Path

from collectors.spool.event_key import event_key
from collectors.spool.files import Place
from collectors.spool.reader import SpoolReader
from collectors.spool.spool import Batch, Spool

KIB = 1024


def open_spool(
    folder: Path, *, bytes_max: int = 256 * KIB, ids_max: int = 1000, after: Place | None = None
) -> Spool:
    return Spool(folder, bytes_max=bytes_max, ids_max=ids_max, after=after)


def event(number: int, *, size: int = 0) -> bytes:
    text = {"id": f"e{number}", "ts": 1.0, "prediction": number, "pad": "x" * size}
    return json.dumps(text).encode()


def batch(*lines: bytes) -> Batch:
    return Batch(lines, [event_key(line) for line in lines])


def spooled(spool: Spool, begin: int, end: int, *, size: int = 0) -> None:
    """Append events one by one, as many senders would."""
    for number in range(begin, end):
        spool.append([batch(event(number, size=size))])


def read_all(reader: SpoolReader, bytes_max: int = 64 * KIB) -> tuple[list[int], int]:
    """Return the numbers of the events that are there, and how many were lost before them."""
    numbers: list[int] = []
    lost = 0
    while (reading := reader.read(bytes_max)) is not None:
        lost += reading.lost
        numbers += [json.loads(line)["prediction"] for line in reading.lines.splitlines()]
    return numbers, lost


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.spool"))
