"""JSON lines, read as columns of a reference: prediction events, or flat objects.

Both go through the decoder of prediction events, so that a reference holds exactly what the
daemon would make of the same values. A flat object is an event whose features are its keys,
except for ``prediction``.

An object with ``ts`` and ``prediction`` is an event, also without features. One that has keys
besides that no event has is not read as either: an event's reader would drop them, and a table's
would watch its times as a feature.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Any, Final

import msgspec

from collectors.batch import ERROR_STATUS_MIN, PREDICTION, Decoded, PredictionBatch
from collectors.formats.event_types import KEYS
from collectors.formats.kedge import KedgeFormat
from collectors.labels import Scalar
from monitor.references.tables import Notes, Piece, TableError, require_columns

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


def is_event(path: Path, line: Mapping[str, Any]) -> bool:
    """Whether an object is a prediction event, and not a flat row.

    Raises
    ------
    TableError
        It could be either.
    """
    if isinstance(line.get("features"), dict):
        return True
    if "ts" not in line or PREDICTION not in line:
        return False
    if others := [key for key in line if key not in KEYS]:
        raise TableError(
            f'cannot tell whether {path} holds events or a table: its lines have "ts" and '
            f'"{PREDICTION}" as events do, and "{others[0]}", which no event has; say '
            '"--time-column ts" of a table, and put the features of events under "features"'
        )
    return True


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
    events = not (time_column and "features" not in first) and is_event(path, first)
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
        left_out = notes.rejected | ({"failed": notes.failed} if notes.failed else {})
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
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
        answered = batch.answered()
        notes.failed += batch.rows - answered.rows
        if not answered.rows:
            continue
        yield Piece(
            {
                name: column
                for name, column in answered.columns.items()
                if not columns or name in columns
            },
            share_read,
            _answered_labels(batch),
            answered.ts if timed else None,
            answered.segments,
        )


def _answered_labels(batch: PredictionBatch) -> Sequence[Scalar | None] | None:
    """Return the labels of the rows that :meth:`PredictionBatch.answered` keeps."""
    if batch.joins is None:
        return None
    kept = (batch.status < ERROR_STATUS_MIN).tolist()
    return list(compress(batch.joins.labels, kept))


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
