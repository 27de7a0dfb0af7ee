"""The prediction event of Kedge: one JSON object a line, read at the speed of its parser.

Lines are decoded a block at a time into structures that name exactly the known columns.
Only a block that fails is looked at line by line: there unknown names are learnt, so that
the next block succeeds, wrong values are counted in their column, and what cannot be used is
rejected with a reason.

`label` is read where labels are joined (`KedgeFormat.join_labels`); then a line with an id and a
label alone is a label that came later, and otherwise one that lacks a key.

`params` are handed out as text, for who asks another version the same.

`segment` is read where segments are watched (`KedgeFormat.read_segments`).

What it does not do: read `trace_id` (accepted, unused).
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from collectors.batch import Decoded, Floats, Rejection, Schema
from collectors.formats.event_batches import Group, Piece, Rows, joined, label_rows, pieces
from collectors.formats.event_halves import EventHalves
from collectors.formats.event_line import (
    REJECTED_BYTES_MAX,
    TS_END,
    Unusable,
    bounded,
    build_row,
    parse_line,
    split_lines,
)
from collectors.formats.event_types import EventTypes, Vocabulary
from collectors.formats.options import FormatOptions
from collectors.labels import LabelRows

#: Lines decoded at a time. Rows of a block stay in the processor's cache until they have
#: become columns: twice as quick as a MiB at a time, measured by ``benchmarks/ingest.py``.
BLOCK_BYTES = 128 * 1024


@dataclass(slots=True)
class _Found:
    """What a chunk holds."""

    parts: dict[Group, list[Piece]] = field(default_factory=lambda: defaultdict(list))
    rejections: list[Rejection] = field(default_factory=list)
    unknown: Counter[str] = field(default_factory=Counter)
    labels: list[LabelRows] = field(default_factory=list)


class KedgeFormat:
    """Decoder of prediction events.

    A boolean, a string and a number that is not finite do not fit a column of numbers; an
    array or an object fits no column. Such values count as invalid in their column, and the
    event stands. A prediction that is an object makes the columns ``prediction.<key>``, an
    array ``prediction.<index>`` for its first 16 elements. A negative latency is missing.

    Parameters
    ----------
    model
        The configured model; events that name another are rejected.
    schema
        The columns to decode; None to learn them from the data.
    columns_max
        Columns learnt at most.
    depth_max
        Deepest nesting of a line that is looked at alone.
    options
        How long features and a prediction that come as two events wait for each other. Without
        options nothing waits, and each is a row of its own.
    """

    def __init__(
        self,
        model: str,
        schema: Schema | None = None,
        *,
        columns_max: int = 500,
        depth_max: int = 64,
        options: FormatOptions | None = None,
    ) -> None:
        self._model = model
        self._columns_max = columns_max
        self._depth_max = depth_max
        self._joins_labels = False
        self._segment_keys: tuple[str, ...] = ()
        self._halves = EventHalves(options.join_s, depth_max=depth_max) if options else None
        self._start_from(schema or Schema({}), learning=schema is None)

    @property
    def schema(self) -> Schema:
        """The columns decoded now."""
        return self._vocabulary.schema

    @property
    def columns_overflow(self) -> int:
        """How many times a new column was refused because `columns_max` was reached."""
        return self._vocabulary.overflow

    def fix(self, schema: Schema) -> None:
        """From now on decode exactly the columns of `schema`."""
        self._start_from(schema, learning=False)

    def learn(self, schema: Schema) -> None:
        """Start from the columns of `schema`, and go on learning."""
        self._start_from(schema, learning=True)

    def join_labels(self) -> None:
        """From now on fill `PredictionBatch.joins`, and take lines with a label alone."""
        self._joins_labels = self._vocabulary.joins_labels = True

    def read_segments(self, keys: Sequence[str]) -> None:
        """From now on fill `PredictionBatch.segments` with the values of these keys."""
        self._segment_keys = self._vocabulary.segment_keys = tuple(keys)
        self._types = EventTypes(self._vocabulary, self._model)

    def decode(self, lines: bytes) -> Decoded:
        """Make columns of whole lines; blank lines are nothing."""
        found = _Found()
        for block in _blocks(lines):
            self._decode_block(block, found)
        return self._decoded(found)

    def expire(self, wall: float, silent_s: float) -> Decoded:
        """Give up halves of events that have waited for too long."""
        if self._halves is None:
            return Decoded(())
        self._halves.expire(wall, silent_s)
        return self._decoded(_Found())

    def held_since(self) -> float:
        """Return the oldest event time of the halves that wait; ``inf`` of none."""
        return self._halves.oldest() if self._halves is not None else math.inf

    def encode(self) -> bytes | None:
        """Return halves that wait."""
        return self._halves.encode() if self._halves is not None else None

    def restore(self, state: bytes) -> None:
        """Let them wait on; what cannot be read is dropped."""
        if self._halves is not None:
            with contextlib.suppress(msgspec.DecodeError):
                self._halves.restore(state)

    def _start_from(self, schema: Schema, *, learning: bool) -> None:
        self._vocabulary = Vocabulary(schema, learning=learning, columns_max=self._columns_max)
        self._vocabulary.joins_labels = self._joins_labels
        self._vocabulary.segment_keys = self._segment_keys
        self._types = EventTypes(self._vocabulary, self._model)

    def _decode_block(self, block: bytes, found: _Found) -> None:
        lines = None
        rows = self._at_once(block)
        if rows is None and self._learn_names(block):
            rows = self._at_once(block)
        if rows is None:
            rows, lines = self._line_by_line(block, found)
        if self._halves is not None:
            rows = self._halves.take_out(rows, lines, block)
        if self._joins_labels:
            rows = _without_labels(rows, found.labels)
        self._add(rows, found)

    def _add(self, rows: Rows, found: _Found) -> None:
        if len(rows.ts):
            for group, piece in pieces(rows, self._types, self._vocabulary, found.unknown).items():
                found.parts[group].append(piece)

    def _decoded(self, found: _Found) -> Decoded:
        joined_events = alone = 0
        if self._halves is not None:
            events, joined_events, alone = self._halves.take_events()
            if events:
                self._add(self._rows_of(events, found), found)
        return Decoded(
            [joined(self._model, group, parts) for group, parts in found.parts.items()],
            found.rejections,
            bounded(found.unknown),
            labels=tuple(found.labels),
            joined=joined_events,
            alone=alone,
        )

    def _rows_of(self, events: Sequence[Mapping[str, Any]], found: _Found) -> Rows:
        """Make rows of events that were put together; each half was usable by itself."""
        changed = False
        for event in events:
            changed |= self._vocabulary.learn(event)
        if changed:
            self._types = EventTypes(self._vocabulary, self._model)
        structs = []
        for event in events:
            try:
                struct, names = build_row(event, self._vocabulary, self._types, self._model)
            except Unusable as unusable:
                found.rejections.append(Rejection(unusable.reason, b""))
            else:
                structs.append(struct)
                found.unknown.update(names)
        return Rows.of(structs, self._types.keys)

    def _at_once(self, block: bytes) -> Rows | None:
        """Decode a block whole; None if any of its lines needs to be looked at."""
        try:
            structs = self._types.decoder.decode_lines(block)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        # The parser minds values, not lines: one event over two lines would pass.
        if len(structs) != block.count(b"\n"):
            return None
        rows = Rows.of(structs, self._types.keys)
        if self._useless(rows).any() or not _plausible(rows.ts).all():
            return None
        return rows

    def _useless(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Which rows say nothing: neither features nor a prediction, nor a label of some id."""
        lacking = _lack_both(rows)
        if not self._joins_labels:
            return lacking
        for row in np.flatnonzero(lacking).tolist():
            lacking[row] = not rows.keys["id"][row] or rows.keys["label"][row] is None
        return lacking

    def _learn_names(self, block: bytes) -> bool:
        """Learn from the lines that the types refuse; True if the types were made anew."""
        changed = False
        for line in split_lines(block):
            if self._decode_line(line) is None:
                try:
                    event = parse_line(line, depth_max=self._depth_max)
                except Unusable:
                    continue
                if event.get("model") in (None, self._model):
                    changed |= self._vocabulary.learn(event)
        if changed:
            self._types = EventTypes(self._vocabulary, self._model)
        return changed

    def _decode_line(self, line: bytes) -> Any | None:  # noqa: ANN401 - a type made at run time
        try:
            return self._types.decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def _line_by_line(self, block: bytes, found: _Found) -> tuple[Rows, Sequence[bytes]]:
        structs, lines = [], []
        faults: list[tuple[bytes, str]] = []
        for line in split_lines(block):
            try:
                struct = self._decode_line(line)
                if struct is None:
                    event = parse_line(line, depth_max=self._depth_max)
                    struct, names = build_row(event, self._vocabulary, self._types, self._model)
                    found.unknown.update(names)
            except Unusable as unusable:
                faults.append((line, unusable.reason))
            else:
                structs.append(struct)
                lines.append(line)
        rows = Rows.of(structs, self._types.keys)
        lacking, untimely = self._useless(rows), ~_plausible(rows.ts)
        faults += [(lines[i], "missing_key") for i in np.flatnonzero(lacking)]
        faults += [(lines[i], "bad_time") for i in np.flatnonzero(untimely & ~lacking)]
        found.rejections += [
            Rejection(reason, line[:REJECTED_BYTES_MAX]) for line, reason in faults
        ]
        if not (lacking | untimely).any():
            return rows, lines
        usable = np.flatnonzero(~(lacking | untimely)).tolist()
        return rows.taken(usable), [lines[i] for i in usable]


def _lack_both(rows: Rows) -> npt.NDArray[np.bool_]:
    """Which rows have neither features nor a prediction."""
    if type(None) not in rows.prediction_types:
        return np.zeros(len(rows.ts), dtype=np.bool_)
    both = zip(rows.keys["features"], rows.keys["prediction"], strict=True)
    return np.array([one is None and other is None for one, other in both], dtype=np.bool_)


def _without_labels(rows: Rows, labels: list[LabelRows]) -> Rows:
    """Take the lines that carry a label alone out of the rows, and into `labels`."""
    alone = _lack_both(rows)
    if not alone.any():
        return rows
    labels.append(label_rows(rows, np.flatnonzero(alone).tolist()))
    return rows.taken(np.flatnonzero(~alone).tolist())


def _plausible(ts: Floats) -> npt.NDArray[np.bool_]:
    return (ts >= 0) & (ts < TS_END)


def _blocks(lines: bytes) -> Iterator[bytes]:
    """Cut whole lines into blocks of about `BLOCK_BYTES`."""
    start = 0
    while start < len(lines):
        end = lines.rfind(b"\n", start, start + BLOCK_BYTES) + 1
        if end == 0:  # a line longer than a block, or the last one without its end
            end = lines.find(b"\n", start) + 1 or len(lines)
        yield lines[start:end] if lines[end - 1 : end] == b"\n" else lines[start:end] + b"\n"
        start = end
