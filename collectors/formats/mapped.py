"""From exchanges to columns: what all formats but Kedge's own have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from collectors.batch import Decoded, PredictionBatch, Rejection, Schema
from collectors.formats.event_batches import Rows, grouped, joined
from collectors.formats.event_line import (
    INVALID,
    REJECTED_BYTES_MAX,
    Unusable,
    bounded,
    fits_kind,
    split_lines,
)
from collectors.formats.event_types import Vocabulary
from collectors.formats.event_vectors import split_known
from collectors.formats.exchange import Exchange, together
from collectors.formats.exchange_check import checked
from collectors.formats.joining import Joiner, Waiting, join_key
from collectors.formats.options import FormatOptions
from collectors.formats.reader import Reader, Remembering
from collectors.labels import LabelRows, scalar
from collectors.labels import join_key as label_key

_NUMBER_TYPES = frozenset({float, int, type(None)})
_KEYS = (
    *("id", "ts", "version", "latency_ms", "status", "prediction", "label"),
    *("role", "latency_kind", "sampling", "params"),
)


def _no_keys() -> dict[str, list[Any]]:
    return {name: [] for name in _KEYS}


@dataclass(slots=True)
class _Rows:
    """Rows of a chunk, key by key."""

    keys: dict[str, list[Any]] = field(default_factory=_no_keys)
    features: list[Mapping[str, Any]] = field(default_factory=list)

    def add(self, exchange: Exchange, version: str) -> None:
        """Take up the rows of one exchange; `version` is what answered if it does not say."""
        for row in range(exchange.rows):
            values = (
                exchange.row_id(row),
                exchange.ts,
                exchange.version or version or None,
                None if row else exchange.latency_ms,
                exchange.row_status(row),
                exchange.predictions[row] if exchange.predictions is not None else None,
                exchange.labels[row] if row < len(exchange.labels or ()) else None,  # type: ignore[index] # not None if it has a length
                exchange.role,
                exchange.latency_kind,
                exchange.sampling,
                exchange.params,
            )
            for name, value in zip(_KEYS, values, strict=True):
                self.keys[name].append(value)
            self.features.append(exchange.features[row] if exchange.features is not None else {})


@dataclass(slots=True)
class _Found:
    """What a chunk holds: rows, requests of which nothing else is known, and what is no row."""

    rows: _Rows = field(default_factory=_Rows)
    bare: _Rows = field(default_factory=_Rows)
    rejections: list[Rejection] = field(default_factory=list)
    labels: list[tuple[str, Any, float]] = field(default_factory=list)
    ignored: int = 0
    joined: int = 0
    alone: int = 0

    def reject(self, reason: str, line: bytes) -> None:
        """Note that a line cannot be used."""
        self.rejections.append(Rejection(reason, line[:REJECTED_BYTES_MAX]))


class MappedFormat:
    """A format whose lines a reader turns into exchanges.

    Parameters
    ----------
    model
        The configured model: what its batches name.
    reader
        Reads one line after the other.
    schema
        The columns to decode; None to learn them from the data.
    columns_max
        Columns learnt at most.
    options
        How lines are read.
    clock
        Seconds since the epoch: what a line without a time is dated by. None to reject such
        lines.
    """

    def __init__(
        self,
        model: str,
        reader: Reader,
        schema: Schema | None = None,
        *,
        columns_max: int = 500,
        options: FormatOptions,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._model = model
        self._reader = reader
        self._columns_max = columns_max
        self._options = options
        self._clock = clock
        self._joiner = Joiner(options.join_s)
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
        """From now on fill `PredictionBatch.joins`, and take labels that come later."""
        self._joins_labels = self._vocabulary.joins_labels = True

    def decode(self, lines: bytes) -> Decoded:
        """Make columns of whole lines; blank lines are nothing."""
        found = _Found()
        for line in split_lines(lines):
            try:
                exchanges = self._exchanges(line)
            except Unusable as unusable:
                found.reject(unusable.reason, line)
            except Exception:  # noqa: BLE001 - a format's code meets data that nobody foresaw
                found.reject("not_mapped", line)
            else:
                found.ignored += not exchanges
                for exchange in exchanges:
                    self._take(exchange, found, line)
        return self._decoded(found)

    def expire(self, wall: float, silent_s: float) -> Decoded:
        """Give up halves that have waited for too long."""
        self._joiner.expire(wall, silent_s)
        return self._decoded(_Found())

    def held_since(self) -> float:
        """Return the oldest event time of the halves that wait; ``inf`` of none."""
        return self._joiner.oldest()

    def encode(self) -> bytes | None:
        """Return what waits, and what the reader remembers."""
        remembered = self._reader.encode() if isinstance(self._reader, Remembering) else None
        kept = (self._joiner.encode(), remembered)
        return None if kept == (None, None) else msgspec.msgpack.encode(kept)

    def restore(self, state: bytes) -> None:
        """Go on where `encode` stood; what cannot be read is dropped."""
        try:
            waiting, remembered = msgspec.msgpack.decode(
                state, type=tuple[bytes | None, bytes | None]
            )
            if waiting is not None:
                self._joiner.restore(waiting)
            if remembered is not None and isinstance(self._reader, Remembering):
                self._reader.restore(remembered)
        except msgspec.DecodeError:
            return  # kept by another format that this source once had

    def _start_from(self, schema: Schema, *, learning: bool) -> None:
        self._vocabulary = Vocabulary(schema, learning=learning, columns_max=self._columns_max)
        self._vocabulary.joins_labels = self._joins_labels

    def _exchanges(self, line: bytes) -> list[Exchange]:
        now = self._clock() if self._clock is not None else None
        return [checked(one, self._options.timezone, now) for one in self._reader.read(line)]

    def _take(self, exchange: Exchange, found: _Found, line: bytes) -> None:
        if exchange.is_label:
            self._take_labels(exchange, found, line)
            return
        if exchange.half is not None:
            whole = self._joined(exchange)
            if whole is None:
                return
            found.joined += whole is not exchange
            exchange = whole
        features, predictions = exchange.features, exchange.predictions
        if features is not None and predictions is not None and len(features) != len(predictions):
            found.reject("rows_differ", line)
            return
        self._add(exchange, found)

    def _take_labels(self, exchange: Exchange, found: _Found, line: bytes) -> None:
        if exchange.id is None:
            found.reject("missing_key", line)
        elif not self._joins_labels:
            found.ignored += 1
        else:
            for row, label in enumerate(exchange.labels or ()):
                found.labels.append((exchange.row_id(row) or "", label, exchange.ts))

    def _joined(self, exchange: Exchange) -> Exchange | None:
        """Return it with its other half; None to wait; itself if nothing is to be waited for."""
        key, side = exchange.joins_on or exchange.id, exchange.half
        if key is None or side is None or not self._joiner.expects(side):
            return exchange
        half = Waiting(join_key(key), side, msgspec.msgpack.encode(exchange))
        met = self._joiner.meet(half, exchange.ts if isinstance(exchange.ts, float) else 0.0)
        if met is None:
            return None
        there = _exchange(met)
        return together(exchange, there) if side == "request" else together(there, exchange)

    def _add(self, exchange: Exchange, found: _Found) -> None:
        (found.bare if exchange.is_bare else found.rows).add(exchange, self._options.version)

    def _decoded(self, found: _Found) -> Decoded:
        for half in self._joiner.take_alone():
            found.alone += 1
            self._add(_exchange(half), found)
        unknown: Counter[str] = Counter()
        no_columns = Vocabulary(Schema({}), learning=False, columns_max=0)
        return Decoded(
            [
                *self._batches(found.rows, self._vocabulary, unknown),
                *self._batches(found.bare, no_columns, unknown, requests_only=True),
            ],
            found.rejections,
            bounded(unknown),
            ignored=found.ignored,
            joined=found.joined,
            alone=found.alone,
            labels=_label_rows(found.labels),
        )

    def _batches(
        self,
        rows: _Rows,
        vocabulary: Vocabulary,
        unknown: Counter[str],
        *,
        requests_only: bool = False,
    ) -> Iterator[PredictionBatch]:
        if not rows.features:
            return
        types = frozenset(map(type, rows.keys["prediction"]))
        whole = Rows(rows.keys, np.array(rows.keys["ts"], dtype=np.float64), types)
        features = _feature_columns(rows.features, vocabulary)
        for group, piece in grouped(whole, features, vocabulary, unknown).items():
            yield joined(self._model, group, [piece], requests_only=requests_only)


def _label_rows(labels: Sequence[tuple[str, Any, float]]) -> Sequence[LabelRows]:
    if not labels:
        return ()
    ids, values, ts = zip(*labels, strict=True)
    return (LabelRows([label_key(id_) for id_ in ids], list(map(scalar, values)), np.array(ts)),)


def _feature_columns(
    rows: Sequence[Mapping[str, Any]], vocabulary: Vocabulary
) -> dict[str, list[Any]]:
    """Take up the names of rows, and turn them into columns."""
    rows = [split_known(row, vocabulary.features) for row in rows]
    undecided = None in vocabulary.features.values()
    for row in rows:
        if undecided or not row.keys() <= vocabulary.features.keys():
            vocabulary.learn({"features": row})
    columns: dict[str, list[Any]] = {
        name: [row.get(name) for row in rows]
        for name in (*vocabulary.features, *vocabulary.ignored_features)
    }
    for name, kind in vocabulary.features.items():
        if kind == "vector" or (
            kind == "number" and not set(map(type, columns[name])) <= _NUMBER_TYPES
        ):
            columns[name] = [
                value if value is None or fits_kind(value, kind) else INVALID
                for value in columns[name]
            ]
    return columns


def _exchange(half: Waiting) -> Exchange:
    return msgspec.msgpack.decode(half.payload, type=Exchange)
