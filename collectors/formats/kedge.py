"""The prediction event of Kedge: one JSON object a line, read at the speed of its parser.

Lines are decoded a block at a time into structures that name exactly the known columns.
Only a block that fails is looked at line by line: there unknown names are learnt, so that
the next block succeeds, wrong values are counted in their column, and what cannot be used is
rejected with a reason.

`label` is read where labels are joined (`KedgeFormat.join_labels`); then a line with an id and a
label alone is a label that came later, and otherwise one that lacks a key.

What it does not do: join `features` and `prediction` that arrive as two events (each counts as
a row with the other missing), and read `segment` and `trace_id` (accepted, unused).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from collectors.batch import Decoded, Floats, Rejection, Schema
from collectors.formats.event_batches import Group, Piece, Rows, joined, label_rows, pieces
from collectors.formats.event_line import TS_END, Unusable, build_row, parse_line
from collectors.formats.event_types import EventTypes, Vocabulary
from collectors.labels import LabelRows

#: Lines decoded at a time. Rows of a block stay in the processor's cache until they have
#: become columns: twice as quick as a MiB at a time, measured by ``benchmarks/ingest.py``.
BLOCK_BYTES = 128 * 1024
#: First bytes of a rejected line that are kept for the quarantine.
REJECTED_BYTES_MAX = 4096
#: Names of unknown keys that one `Decoded` reports; the rest count under ``"other"``.
UNKNOWN_KEYS_MAX = 200


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
    """

    def __init__(
        self,
        model: str,
        schema: Schema | None = None,
        *,
        columns_max: int = 500,
        depth_max: int = 64,
    ) -> None:
        self._model = model
        self._columns_max = columns_max
        self._depth_max = depth_max
        self._joins_labels = False
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
        self._joins_labels = True

    def decode(self, lines: bytes) -> Decoded:
        """Make columns of whole lines; blank lines are nothing."""
        parts: dict[Group, list[Piece]] = defaultdict(list)
        rejections: list[Rejection] = []
        unknown: Counter[str] = Counter()
        labels: list[LabelRows] = []
        for block in _blocks(lines):
            rows = self._rows(block, rejections, unknown)
            if self._joins_labels:
                rows = self._without_labels(rows, labels)
            if not len(rows.ts):
                continue
            found = pieces(rows, self._types, self._vocabulary, unknown, joins=self._joins_labels)
            for group, piece in found.items():
                parts[group].append(piece)
        return Decoded(
            [joined(self._model, group, found) for group, found in parts.items()],
            rejections,
            _bounded(unknown),
            tuple(labels),
        )

    def _start_from(self, schema: Schema, *, learning: bool) -> None:
        self._vocabulary = Vocabulary(schema, learning=learning, columns_max=self._columns_max)
        self._types = EventTypes(self._vocabulary, self._model)

    def _rows(self, block: bytes, rejections: list[Rejection], unknown: Counter[str]) -> Rows:
        rows = self._at_once(block)
        if rows is None and self._learn_names(block):
            rows = self._at_once(block)
        if rows is None:
            rows = self._line_by_line(block, rejections, unknown)
        return rows

    def _without_labels(self, rows: Rows, labels: list[LabelRows]) -> Rows:
        """Take the lines that carry a label alone out of the rows, and into `labels`."""
        alone = _lack_both(rows)
        if not alone.any():
            return rows
        labels.append(label_rows(rows, np.flatnonzero(alone).tolist()))
        return rows.taken(np.flatnonzero(~alone).tolist())

    def _useless(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Which rows say nothing: neither features nor a prediction, nor a label of some id."""
        lacking = _lack_both(rows)
        if not self._joins_labels:
            return lacking
        for row in np.flatnonzero(lacking).tolist():
            lacking[row] = not rows.keys["id"][row] or rows.keys["label"][row] is None
        return lacking

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

    def _learn_names(self, block: bytes) -> bool:
        """Learn from the lines that the types refuse; True if the types were made anew."""
        changed = False
        for line in _split(block):
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

    def _line_by_line(
        self, block: bytes, rejections: list[Rejection], unknown: Counter[str]
    ) -> Rows:
        structs, lines = [], []
        faults: list[tuple[bytes, str]] = []
        for line in _split(block):
            try:
                struct = self._decode_line(line)
                if struct is None:
                    event = parse_line(line, depth_max=self._depth_max)
                    struct, names = build_row(event, self._vocabulary, self._types, self._model)
                    unknown.update(names)
            except Unusable as unusable:
                faults.append((line, unusable.reason))
            else:
                structs.append(struct)
                lines.append(line)
        rows = Rows.of(structs, self._types.keys)
        lacking, untimely = self._useless(rows), ~_plausible(rows.ts)
        faults += [(lines[i], "missing_key") for i in np.flatnonzero(lacking)]
        faults += [(lines[i], "bad_time") for i in np.flatnonzero(untimely & ~lacking)]
        rejections += [Rejection(reason, line[:REJECTED_BYTES_MAX]) for line, reason in faults]
        if not (lacking | untimely).any():
            return rows
        return rows.taken(np.flatnonzero(~(lacking | untimely)).tolist())


def _lack_both(rows: Rows) -> npt.NDArray[np.bool_]:
    """Which rows have neither features nor a prediction."""
    if type(None) not in rows.prediction_types:
        return np.zeros(len(rows.ts), dtype=np.bool_)
    both = zip(rows.keys["features"], rows.keys["prediction"], strict=True)
    return np.array([one is None and other is None for one, other in both], dtype=np.bool_)


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


def _split(block: bytes) -> Sequence[bytes]:
    # A writer that was not told of a truncation leaves a hole of NULs before its next line.
    lines = (line.lstrip(b"\0") for line in block.split(b"\n"))
    return [line for line in lines if line and not line.isspace()]


def _bounded(unknown: Counter[str]) -> Mapping[str, int]:
    if len(unknown) <= UNKNOWN_KEYS_MAX:
        return dict(unknown)
    named = dict(unknown.most_common(UNKNOWN_KEYS_MAX))
    return {**named, "other": unknown.total() - sum(named.values())}
