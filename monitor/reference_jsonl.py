"""JSON lines, read as columns of a reference: prediction events, or flat objects.

Both go through the decoder of prediction events, so that a reference holds exactly what the
daemon would make of the same values. A flat object is an event whose features are its keys,
except for ``prediction``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from collectors.batch import PREDICTION, Decoded
from collectors.formats.kedge import KedgeFormat
from monitor.reference_tables import Notes, Piece, TableError, require_columns

#: Bytes read at a time; a longer line is read whole.
BLOCK_BYTES: Final = 4 * 2**20
#: Columns taken from a log; far more than the daemon watches by default.
COLUMNS_MAX: Final = 10_000
#: Lines looked at for the first that is an object.
_HEAD_LINES_MAX: Final = 1_000


def first_object(path: Path) -> Mapping[str, Any]:
    """Return the first line of a file that is a JSON object.

    Raises
    ------
    TableError
        There is none within its first thousand lines.
    """
    with path.open("rb") as file:
        for _, line in zip(range(_HEAD_LINES_MAX), file, strict=False):
            try:
                return msgspec.json.decode(line, type=dict[str, Any])
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
    raise TableError(f"cannot read {path} as JSON lines: no line of its first is an object")


def is_event(line: Mapping[str, Any]) -> bool:
    """Whether an object is a prediction event, and not a flat row."""
    return isinstance(line.get("features"), dict) or ("ts" in line and PREDICTION in line)


def jsonl_pieces(
    path: Path,
    columns: Collection[str],
    notes: Notes,
    time_column: str = "",
    segment_keys: Sequence[str] = (),
) -> Iterator[Piece]:
    """Read JSON lines piece by piece; lines that cannot be used are counted in `notes`.

    Times of flat objects are those of events: seconds since the epoch, or RFC 3339.

    Raises
    ------
    TableError
        No line could be used, or there is no such column.
    """
    first = first_object(path)
    model = first.get("model")
    # Whoever names the column of times has a table, also when that column is called "ts".
    events = is_event(first) and not (time_column and "features" not in first)
    log_format = KedgeFormat(
        model if events and isinstance(model, str) else "", columns_max=COLUMNS_MAX
    )
    timed = events or bool(time_column)
    log_format.join_labels()
    if events:
        log_format.read_segments(segment_keys)
    elif columns:
        columns = [*columns, *segment_keys]
    pieces_read, size = 0, max(1, path.stat().st_size)
    with path.open("rb") as file:
        while lines := file.readlines(BLOCK_BYTES):
            found = b"".join(lines) if events else _as_events(lines, notes, time_column)
            decoded = log_format.decode(found)
            share_read = file.tell() / size
            for piece in _live(decoded, columns, share_read, notes, timed=timed):
                pieces_read += 1
                yield piece
    if not pieces_read:
        reasons = ", ".join(f"{count} {reason}" for reason, count in notes.rejected.items())
        raise TableError(f"cannot build a reference from {path}: no line can be used ({reasons})")
    require_columns(path, columns, log_format.schema.columns)


def _live(
    decoded: Decoded,
    columns: Collection[str],
    share_read: float,
    notes: Notes,
    *,
    timed: bool,
) -> Iterator[Piece]:
    for rejection in decoded.rejections:
        _reject(notes, rejection.reason)
    for batch in decoded.batches:
        if batch.role == "shadow":
            notes.shadow += batch.rows
            continue
        yield Piece(
            {
                name: column
                for name, column in batch.columns.items()
                if not columns or name in columns
            },
            share_read,
            batch.joins.labels if batch.joins is not None else None,
            batch.ts if timed else None,
            batch.segments,
        )


def _as_events(lines: list[bytes], notes: Notes, time_column: str) -> bytes:
    encode: Callable[[object], bytes] = msgspec.json.Encoder().encode
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    events = bytearray()
    for line in lines:
        if line.isspace():
            continue
        try:
            row = decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            _reject(notes, "malformed")
            continue
        prediction = row.pop(PREDICTION, None)
        ts = row.pop(time_column, None) if time_column else 0
        events += encode({"ts": ts, "features": row, PREDICTION: prediction}) + b"\n"
    return bytes(events)


def _reject(notes: Notes, reason: str) -> None:
    notes.rejected[reason] = notes.rejected.get(reason, 0) + 1
