"""Old logs: which files they are, in which order they are read, and their lines.

A file is read as the daemon's tail reads one that was there before it: in chunks of the same
size, cut at the same line ends, so that both come to the same windows. Other than there, a last
line without its end counts: nobody will complete it any more.
"""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from collectors.format import Format, Holding
from collectors.formats.auto import AutoFormat
from collectors.formats.event_line import split_lines
from collectors.formats.options import FormatOptions
from collectors.kinds import FORMATS, METERS, options_of
from collectors.parquet_folder import ROWS_AT_A_TIME, exchange_lines
from collectors.segments import ReadsSegments
from collectors.tail.compressed import Inflated
from collectors.tail.framing import Framing, Pieces, recognise, unwrap
from collectors.tail.line_cutting import cut
from collectors.tail.stream_identity import Plain
from collectors.tail.tail import READ_BYTES, TailSettings
from monitor.settings.settings import Settings
from monitor.traffic.segments import Segments

#: Lines at the beginning of a file that tell its format and its first event time.
HEAD_LINES: Final = 20
_MAGICS: Final = ((b"\x1f\x8b", ".gz"), (b"\x28\xb5\x2f\xfd", ".zst"))
_PARQUET: Final = b"PAR1"
#: Format of the lines that are made of a table's rows.
_EXCHANGE: Final = "exchange"
_FOREVER_S: Final = 1e9


class NoSuchLogError(Exception):
    """A log that is not there, or is no file; the message names it."""


class UnreadableLogError(Exception):
    """A log that cannot be read; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How the lines of old logs are read: what the configuration says of its first source.

    Parameters
    ----------
    format
        Name of the format; ``auto`` to tell it by the first lines of each file. A Parquet file
        is told by itself.
    asked
        Whether somebody named the format for these very logs. Otherwise a file whose name ends
        in ``.csv`` is told by it.
    segment_keys
        Keys of the events' segments that are watched.
    """

    model: str
    format: str
    asked: bool
    framing: str
    line_bytes_max: int
    columns_max: int
    options: FormatOptions
    segment_keys: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings, format_: str | None) -> Reading:
        """Take what the configuration says; `format_` has the last word on the format."""
        source = next((one for one in settings.collect if one.type not in METERS), None)
        own = TailSettings("-", format="auto") if source is None else source.settings
        is_lines = source is None or "parquet" not in source.type
        return cls(
            model=settings.model.name,
            format=format_ or (own.format if is_lines else "auto"),
            asked=format_ is not None,
            framing=getattr(own, "framing", "auto"),
            line_bytes_max=getattr(own, "max_event_bytes", TailSettings("-").max_event_bytes),
            columns_max=settings.limits.columns_max,
            options=options_of(own),
            segment_keys=tuple(Segments(settings.segments.keys, 1).event_keys),
        )

    def make(self, name: str) -> Format:
        """Return a format that learns its columns."""
        kind = FORMATS[name]
        format_ = kind(self.model, None, columns_max=self.columns_max, options=self.options)
        if self.segment_keys and isinstance(format_, ReadsSegments):
            format_.read_segments(self.segment_keys)
        return format_


@dataclass(frozen=True, slots=True)
class Piece:
    """Some lines of a file, or what they can be made of.

    Parameters
    ----------
    lines
        Whole lines; None where they are to be read, or made of `rows`.
    place
        Path, offset and length, where the lines stand in a file as they are.
    skipped
        Beginnings of lines that were too long.
    rows
        A record batch of pyarrow.
    share_read
        Which share of the file has been read with it.
    """

    lines: bytes | None
    skipped: Sequence[bytes] = ()
    place: tuple[str, int, int] | None = None
    rows: Any = None
    share_read: float = 1.0

    def light(self) -> Piece:
        """Return what another process needs to know of it."""
        lines = None if self.place is not None else self.lines
        return replace(self, lines=lines, skipped=())


@dataclass(frozen=True, slots=True)
class OldLog:
    """One file.

    Parameters
    ----------
    packing
        How it is compressed; nothing if it is not. ``parquet`` for a table.
    format
        Name of the format of its lines.
    begins
        Smallest event time of its first lines, seconds since the epoch; ``-inf`` if none of them
        is an event.
    """

    path: str
    size: int
    packing: str
    format: str
    reading: Reading
    begins: float = -float("inf")

    def pieces(self) -> Iterator[Piece]:
        """Read the file from its beginning to its end.

        Raises
        ------
        UnreadableLogError
            It cannot be opened, or is damaged.
        """
        if self.packing == "parquet":
            yield from self._tables()
            return
        try:
            with open(self.path, "rb") as file:  # noqa: PTH123 - a str
                yield from self._texts(file.fileno())
        except OSError as error:
            raise UnreadableLogError(f"cannot read {self.path}: {error.strerror}") from error

    def _texts(self, descriptor: int) -> Iterator[Piece]:
        inflated = Inflated(descriptor, self.packing) if self.packing else None
        content = inflated or Plain(descriptor)
        # One byte more than a line may have, to know that it is too long.
        size = max(READ_BYTES, self.reading.line_bytes_max + 1)
        wrapping = _Wrapping(self.reading)
        offset, skipping, full = 0, False, True
        while full:
            data = content.pread(size, offset)
            full = len(data) == size
            unended = not full and not data.endswith(b"\n") and bool(data.strip(b"\0"))
            if unended:
                data += b"\n"
            part = cut(
                data, line_bytes_max=self.reading.line_bytes_max, skipping=skipping, full=full
            )
            lines, skipped = wrapping.off(part.lines)
            as_it_is = inflated is None and len(lines) == part.end and not unended
            place = (self.path, offset, len(lines)) if as_it_is else None
            offset, skipping = offset + part.end, part.skipping
            read = offset if inflated is None else inflated.raw_at
            share_read = min(1.0, read / max(1, self.size))
            yield Piece(lines, (*part.skipped, *skipped), place, share_read=share_read)
        if inflated is not None and not inflated.complete:
            why = inflated.fault or "it ends in the middle"
            raise UnreadableLogError(f"{self.path} is not whole: {why}")

    def _tables(self) -> Iterator[Piece]:
        import pyarrow as pa  # noqa: PLC0415 - 40 MB, where there is a table to read
        import pyarrow.parquet as pq  # noqa: PLC0415 - as above

        try:
            with pq.ParquetFile(self.path) as file:
                rows, read = max(1, file.metadata.num_rows), 0
                for batch in file.iter_batches(ROWS_AT_A_TIME):
                    read += batch.num_rows
                    yield Piece(None, rows=batch, share_read=read / rows)
        except (pa.ArrowException, OSError) as error:
            raise UnreadableLogError(f"cannot read {self.path} as Parquet: {error}") from error


class _Wrapping:
    """What a container runtime put around the lines of one file."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._framing: Framing | None = None
        self._pieces: Pieces = {}

    def off(self, lines: bytes) -> tuple[bytes, Sequence[bytes]]:
        """Take it off some lines, the next of the file."""
        if self._framing is None and lines:
            asked = self._reading.framing
            self._framing = recognise(lines) if asked == "auto" else asked  # type: ignore[assignment] # one of `Framing`
        if self._framing is None or self._framing == "lines":
            return lines, ()
        limit = self._reading.line_bytes_max
        unwrapped = unwrap(self._framing, lines, self._pieces, line_bytes_max=limit)
        self._pieces = unwrapped.pieces
        return unwrapped.lines, unwrapped.skipped


def lines_of(piece: Piece, options: FormatOptions) -> bytes:
    """Return the lines of a piece: read them, or make them of its rows, if need be."""
    if piece.lines is not None:
        return piece.lines
    if piece.place is not None:
        path, offset, length = piece.place
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a str
            return os.pread(file.fileno(), length, offset)
    return exchange_lines(piece.rows, options.columns)


def old_logs(names: Sequence[str], reading: Reading) -> list[OldLog]:
    """Find the files that paths and patterns name, in the order of their first events.

    Raises
    ------
    NoSuchLogError
        A pattern matches nothing, or something is no file.
    UnreadableLogError
        A file cannot be opened.
    """
    paths = dict.fromkeys(path for name in names for path in _expanded(name))
    found = [_looked_at(path, reading) for path in paths]
    return sorted(found, key=lambda log: (log.begins, log.path))


def _expanded(name: str) -> Sequence[str]:
    if Path(name).is_dir():
        raise NoSuchLogError(f"{name} is a folder; name its files, for instance {name}/*")
    if Path(name).exists():
        return [name]
    found = sorted(path for path in glob.glob(name, recursive=True) if Path(path).is_file())  # noqa: PTH207 - the pattern may be absolute
    if not found:
        what = "no file matches" if glob.has_magic(name) else "there is no log"
        raise NoSuchLogError(f"{what} {name}")
    return found


def _looked_at(path: str, reading: Reading) -> OldLog:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a str
            magic = file.read(4)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise UnreadableLogError(f"cannot read {path}: {error.strerror}") from error
    if magic == _PARQUET:
        log = OldLog(path, size, "parquet", _EXCHANGE, reading)
    else:
        packing = next((name for sign, name in _MAGICS if magic.startswith(sign)), "")
        is_table = not reading.asked and path.removesuffix(packing).endswith(".csv")
        log = OldLog(path, size, packing, "csv" if is_table else reading.format, reading)
    return _begun(log)


def _begun(log: OldLog) -> OldLog:
    """Return the log with its format told, and when it begins."""
    lines = next((lines_of(one, log.reading.options) for one in log.pieces()), b"")
    head = b"".join(line + b"\n" for line in islice(split_lines(lines), HEAD_LINES))
    format_ = log.reading.make(log.format)
    batches = list(format_.decode(head).batches)
    if isinstance(format_, Holding):
        batches += format_.expire(time.time(), _FOREVER_S).batches
    if isinstance(format_, AutoFormat):
        log = replace(log, format=format_.name or log.format)
    begins = min((float(batch.ts.min()) for batch in batches if batch.rows), default=log.begins)
    return replace(log, begins=begins)
