"""Parquet files dropped into a folder: each is read once, row by row.

A file is known by its path, size and time of its last change, and its position is the number of
rows that were handed out, so a restart goes on within it. Parquet files are written once; one
that is changed after it was read is another file, and is read again. A file that cannot be read
is taken as being written; when it has not changed for `settle`, it is given up and counted as
malformed.

A table with a column ``features`` of type struct is read as Kedge's own events; the columns of
others are told by their names, as those of CSV are.
"""

from __future__ import annotations

import glob
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec

from collectors.formats.csv_table import as_text, roles, row_exchange
from collectors.formats.exchange import Exchange
from collectors.formats.options import ColumnNames, FormatOptions
from collectors.source import Chunk, Source

log = logging.getLogger("kedge.collect")

#: Rows turned into lines at a time, and bytes of lines that one poll hands out, about.
ROWS_AT_A_TIME = 1_000
POLL_BYTES = 4 << 20
#: Time between two looks for new files.
LOOK_S = 1.0
#: A file that is gone for so long is forgotten; not at once, because a folder that is not mounted
#: for a moment must not be read again from its beginning.
GONE_S = 86_400.0

_OK = 200


@dataclass(frozen=True, slots=True)
class ParquetSettings:
    """Parquet files that others put into a folder."""

    path: str = field(metadata={"pattern": True})
    """Path of the files, mostly a pattern: ``exports/*.parquet``. Files whose names begin with a
    dot or an underscore, or end in ``.tmp``, are passed over: they are being written."""

    settle_s: float = 60.0
    """How long a file that cannot be read must stay unchanged before it is given up as damaged.
    Until then it is taken as being written."""

    timezone: str = ""
    """Zone of times that carry none, such as ``UTC``. Without it such rows are rejected."""

    version: str = ""
    """Version of rows that name none; ``unknown`` otherwise."""

    columns: ColumnNames = field(default_factory=ColumnNames)
    """What the columns are called."""

    def __post_init__(self) -> None:
        if not self.path:
            raise ValueError("path: expected the path of Parquet files, got nothing")
        FormatOptions(timezone=self.timezone)  # refuses what is no zone

    @property
    def decoding(self) -> FormatOptions:
        """How its rows are read."""
        return FormatOptions(timezone=self.timezone, version=self.version, columns=self.columns)

    @property
    def format(self) -> str:
        """Rows are handed out as the exchanges that they are."""
        return "exchange"

    def build(self, name: str) -> Source:  # noqa: ARG002 - every kind of source is built so
        """Return the source; it opens nothing before it is polled."""
        return ParquetFolder(self)


@dataclass(slots=True)
class _File:
    """A file that was met: how far it was read, and what it was then."""

    size: int
    mtime_ns: int
    rows: int = 0
    done: bool = False
    gone_at: float | None = None

    def position(self) -> dict[str, object]:
        """Return what to store."""
        return {
            "size": self.size,
            "mtime_ns": self.mtime_ns,
            "rows": self.rows,
            "done": self.done,
        }


class ParquetFolder:
    """Source of the rows of Parquet files, as lines of exchanges.

    Parameters
    ----------
    settings
        What to read.
    monotonic, wall
        Clocks, seconds: of intervals, and of the age of files.
    """

    def __init__(
        self,
        settings: ParquetSettings,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._monotonic = monotonic
        self._wall = wall
        self._files: dict[str, _File] = {}
        self._unread: dict[str, int] = {}
        self._next_look = monotonic()
        self._reading: tuple[str, Iterator[tuple[bytes, int]]] | None = None

    def restore(self, positions: Mapping[str, Mapping[str, Any]]) -> None:
        """Take up the stored positions."""
        self._files = {path: _File(**position) for path, position in positions.items()}

    def poll(self) -> Sequence[Chunk]:
        """Read on, at most about `POLL_BYTES`: one file after the other, the oldest first."""
        now = self._monotonic()
        if now >= self._next_look:
            self._look(now)
            self._next_look = now + LOOK_S
        chunks: list[Chunk] = []
        left = POLL_BYTES
        while left > 0 and (path := self._current()) is not None:
            chunk = self._read(path)
            if chunk is None:
                break
            left -= len(chunk.lines)
            chunks.append(chunk)
        return chunks

    def retired(self) -> Sequence[str]:
        """Files that have been gone for a day."""
        now = self._monotonic()
        gone = [
            path
            for path, file in self._files.items()
            if file.gone_at is not None and now - file.gone_at >= GONE_S
        ]
        for path in gone:
            del self._files[path]
        return gone

    def unread_bytes(self) -> Mapping[str, int]:
        """Sizes of the files that were not read to their end."""
        return dict(self._unread)

    def close(self) -> None:
        """Close the file that is being read."""
        self._reading = None

    def _look(self, now: float) -> None:
        found = dict(_found(self._settings.path))
        for path, file in self._files.items():
            if path in found:
                file.gone_at = None
            elif file.gone_at is None:
                file.gone_at = now
        self._unread = {}
        for path, status in sorted(found.items(), key=lambda one: (one[1].st_mtime_ns, one[0])):
            met = self._files.get(path)
            is_new = met is None or (met.size, met.mtime_ns) != (status.st_size, status.st_mtime_ns)
            file = self._files[path] = (
                _File(status.st_size, status.st_mtime_ns) if met is None or is_new else met
            )
            if is_new and self._reading is not None and self._reading[0] == path:
                self._reading = None
            if not file.done:
                self._unread[path] = status.st_size

    def _current(self) -> str | None:
        return next(iter(self._unread), None)

    def _read(self, path: str) -> Chunk | None:
        """Read some rows of a file; None when it may be complete later."""
        import pyarrow as pa  # noqa: PLC0415 - 40 MB, where there is a file to read

        file = self._files[path]
        try:
            if self._reading is None or self._reading[0] != path:
                self._reading = path, _lines(path, file.rows, self._settings.columns)
            lines, rows = next(self._reading[1], (b"", 0))
        except (pa.ArrowException, OSError, ValueError) as error:
            self._reading = None
            del self._unread[path]
            if self._wall() - file.mtime_ns / 1e9 < self._settings.settle_s:
                return None
            log.warning("%s is given up: %s", path, error)
            # A line that is no event: it is counted, and kept in quarantine with the reason.
            lines, rows = msgspec.json.encode(f"cannot read {path}: {error}") + b"\n", 0
            self._unread.pop(path, None)
        file.rows += rows
        if not rows:
            file.done = True
            self._reading = None
            self._unread.pop(path, None)
        return Chunk(path, lines, file.position())


def _found(pattern: str) -> Iterator[tuple[str, os.stat_result]]:
    for path in glob.iglob(pattern, recursive=True):  # noqa: PTH207 - the pattern may be absolute
        name = path.rpartition("/")[2]
        if name.startswith((".", "_")) or name.endswith(".tmp"):
            continue
        with suppress(OSError):  # gone since it was listed
            status = os.stat(path)  # noqa: PTH116 - one system call for all of it
            if stat.S_ISREG(status.st_mode):
                yield path, status


def _lines(path: str, skip: int, names: ColumnNames) -> Iterator[tuple[bytes, int]]:
    """Yield lines of rows behind the first `skip`, with their number."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - 40 MB, where there is a file to read

    with pq.ParquetFile(path) as file:
        first, groups = 0, file.num_row_groups
        while first < groups and skip >= file.metadata.row_group(first).num_rows:
            skip -= file.metadata.row_group(first).num_rows
            first += 1
        for batch in file.iter_batches(ROWS_AT_A_TIME, row_groups=list(range(first, groups))):
            rest = batch.slice(skip) if skip < batch.num_rows else None
            skip = max(0, skip - batch.num_rows)
            if rest is not None:
                yield exchange_lines(rest, names), rest.num_rows


def exchange_lines(batch: Any, column_names: ColumnNames) -> bytes:  # noqa: ANN401 - pyarrow has no types
    """Return the rows of a record batch of pyarrow as lines of ``format = "exchange"``."""
    import pyarrow as pa  # noqa: PLC0415 - 40 MB, where there is a file to read

    rows: list[dict[str, Any]] = _plain_times(batch).to_pylist()
    names = batch.schema.names
    if "features" in names and pa.types.is_struct(batch.schema.field("features").type):
        exchanges = [_of_event(row) for row in rows]
    else:
        role_columns = roles(names, column_names)
        exchanges = [row_exchange(row, role_columns) for row in rows]
    encode = msgspec.json.Encoder(enc_hook=str, decimal_format="number").encode
    return b"".join(encode(exchange) + b"\n" for exchange in exchanges)


def _of_event(row: Mapping[str, Any]) -> Exchange:
    """Return a row of the event's own columns; without a status it succeeded, as an event."""
    prediction, label = row.get("prediction"), row.get("label")
    return Exchange(
        ts=row.get("ts"),
        id=as_text(row.get("id")),
        features=[row["features"] or {}],
        predictions=None if prediction is None else [prediction],
        labels=None if label is None else [label],
        version=as_text(row.get("version")),
        latency_ms=row.get("latency_ms"),
        latency_kind=row.get("latency_kind") or "server",
        status=_OK if row.get("status") is None else row["status"],
        sampling=row.get("sampling"),
        role=row.get("role") or "live",
    )


def _plain_times(batch: Any) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return a batch whose times are of microseconds, which Python's are."""
    import pyarrow as pa  # noqa: PLC0415 - 40 MB, where there is a file to read

    columns = []
    for column in batch.columns:
        if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
            columns.append(column.cast(pa.timestamp("us", column.type.tz), safe=False))
        else:
            columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
