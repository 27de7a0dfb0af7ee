"""Batches out of decoded rows: sorted into groups, joined over blocks."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from msgspec.structs import astuple

from collectors.batch import (
    UNKNOWN_VERSION,
    CategoryColumn,
    Column,
    Floats,
    Ints,
    LatencyKind,
    NumberColumn,
    PredictionBatch,
    Role,
    VectorColumn,
)
from collectors.formats.event_columns import feature_columns, floats, prediction_columns
from collectors.formats.event_types import EventTypes, Vocabulary
from collectors.formats.event_vectors import joined_vectors
from collectors.labels import JoinColumns, LabelRows, Scalar, join_key, scalar
from collectors.params import params_by_row
from collectors.segments import segment_values
from collectors.text import clean_text

if TYPE_CHECKING:
    import msgspec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OK = 200
_ROW_DIGITS_MAX = 18  # int() is quadratic, and refuses too many


class Group(NamedTuple):
    """What all rows of a batch have in common."""

    version: str
    role: Role
    latency_kind: LatencyKind


@dataclass(frozen=True, slots=True)
class Rows:
    """Decoded rows of a block, key by key.

    Parameters
    ----------
    keys
        Values of each key, None where it is absent or null.
    ts
        Event times, seconds since the epoch. Shape ``(rows,)``.
    prediction_types
        The types that occur among the predictions.
    lacks_features
        Whether some row may have no features at all.
    """

    keys: Mapping[str, Sequence[Any]]
    ts: Floats
    prediction_types: frozenset[type]
    lacks_features: bool = False

    @classmethod
    def of(cls, structs: Sequence[msgspec.Struct], names: Sequence[str]) -> Rows:
        """Turn structures, whose fields are `names`, into columns."""
        keys = _transposed(structs, names)
        return cls(
            keys,
            _times(keys["ts"]),
            frozenset(map(type, keys["prediction"])),
            type(None) in set(map(type, keys["features"])),
        )

    def taken(self, at: Sequence[int]) -> Rows:
        """Return some of the rows."""
        return replace(self, keys=_taken(self.keys, at), ts=self.ts[at])


@dataclass(frozen=True, slots=True)
class Piece:
    """Columns of some rows of one group; pieces of a group are joined to its batch."""

    ts: Floats
    latency_ms: Floats
    status: Ints
    weight: Floats
    columns: Mapping[str, Column]
    joins: JoinColumns | None = None
    segments: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    params: Sequence[str | None] = ()


def pieces(
    rows: Rows,
    types: EventTypes,
    vocabulary: Vocabulary,
    unknown: Counter[str],
) -> dict[Group, Piece]:
    """Make the columns of one block of rows, group by group; count the names ignored."""
    structs = rows.keys["features"]
    if rows.lacks_features:
        structs = tuple(types.no_features if struct is None else struct for struct in structs)
    return grouped(rows, _transposed(structs, types.feature_names), vocabulary, unknown)


def grouped(
    rows: Rows,
    features: Mapping[str, Sequence[Any]],
    vocabulary: Vocabulary,
    unknown: Counter[str],
) -> dict[Group, Piece]:
    """Make the columns of rows whose features, by name, are columns already."""
    _count_present(rows.keys, vocabulary.ignored_keys, "", unknown)
    _count_present(features, vocabulary.ignored_features, "features.", unknown)
    groups = _groups(rows.keys)
    if len(groups) == 1:
        return {next(iter(groups)): _piece(rows, features, vocabulary)}
    return {
        group: _piece(rows.taken(at), _taken(features, at), vocabulary)
        for group, at in groups.items()
    }


def joined(
    model: str, group: Group, parts: Sequence[Piece], *, requests_only: bool = False
) -> PredictionBatch:
    """Join the pieces of one group, in order; a column that a piece lacks is missing there."""
    if len(parts) == 1:
        part = parts[0]
        return PredictionBatch(
            model,
            *group,
            part.ts,
            part.latency_ms,
            part.status,
            part.weight,
            part.columns,
            requests_only=requests_only,
            joins=part.joins,
            segments=part.segments,
            params=part.params,
        )
    names = dict.fromkeys(name for part in parts for name in part.columns)
    return PredictionBatch(
        model,
        *group,
        ts=np.concatenate([part.ts for part in parts]),
        latency_ms=np.concatenate([part.latency_ms for part in parts]),
        status=np.concatenate([part.status for part in parts]),
        weight=np.concatenate([part.weight for part in parts]),
        columns={name: _joined_column(name, parts) for name in names},
        requests_only=requests_only,
        joins=_joined_joins([part.joins for part in parts if part.joins is not None]),
        segments={
            key: [value for part in parts for value in part.segments[key]]
            for key in parts[0].segments
        },
        params=_joined_params(parts),
    )


def label_rows(rows: Rows, at: Sequence[int]) -> LabelRows:
    """Return the rows `at`, which carry an id and a label alone."""
    ids, labels = rows.keys["id"], rows.keys["label"]
    return LabelRows([join_key(ids[i]) for i in at], [scalar(labels[i]) for i in at], rows.ts[at])


def _transposed(
    structs: Sequence[msgspec.Struct], names: Sequence[str]
) -> dict[str, tuple[Any, ...]]:
    if not structs:
        return dict.fromkeys(names, ())
    return dict(zip(names, zip(*map(astuple, structs), strict=True), strict=True))


def _times(values: Sequence[float | datetime]) -> Floats:
    try:
        return np.fromiter(values, np.float64, len(values))
    except TypeError:  # a moment is no number
        seconds = [
            (value - _EPOCH).total_seconds() if isinstance(value, datetime) else value
            for value in values
        ]
        return np.array(seconds, dtype=np.float64)


def _taken(columns: Mapping[str, Sequence[Any]], at: Sequence[int]) -> dict[str, tuple[Any, ...]]:
    return {name: tuple([values[i] for i in at]) for name, values in columns.items()}


def _count_present(
    columns: Mapping[str, Sequence[Any]], names: Iterable[str], prefix: str, to: Counter[str]
) -> None:
    for name in names:
        present = len(columns[name]) - columns[name].count(None)
        if present:
            to[prefix + name] += present


def _groups(keys: Mapping[str, Sequence[Any]]) -> dict[Group, list[int]]:
    """Rows of each group; with one group alone, which is the rule, its rows are not listed."""
    parts = (keys["version"], keys["role"], keys["latency_kind"])
    if all(part.count(part[0]) == len(part) for part in parts):
        return {_group(*(part[0] for part in parts)): []}
    groups: dict[Group, list[int]] = defaultdict(list)
    names: dict[tuple[Any, ...], Group] = {}
    for row, key in enumerate(zip(*parts, strict=True)):
        if key not in names:
            names[key] = _group(*key)
        groups[names[key]].append(row)
    return groups


def _group(version: str | None, role: Role | None, latency_kind: LatencyKind | None) -> Group:
    return Group(
        clean_text(version) if version else UNKNOWN_VERSION,
        role or "live",
        latency_kind or "server",
    )


def _piece(rows: Rows, features: Mapping[str, Sequence[Any]], vocabulary: Vocabulary) -> Piece:
    latency_ms = floats(rows.keys["latency_ms"])
    latency_ms[latency_ms < 0] = math.nan  # a clock that stepped back is no measurement
    columns = feature_columns(features, vocabulary)
    columns |= prediction_columns(rows.keys["prediction"], rows.prediction_types, vocabulary)
    weights = _weights(rows.keys["sampling"])
    join_columns = _join_columns(rows.keys) if vocabulary.joins_labels else None
    segments = {key: segment_values(rows.keys["segment"], key) for key in vocabulary.segment_keys}
    params = params_by_row(rows.keys["params"])
    return Piece(
        *(rows.ts, latency_ms, _statuses(rows), weights, columns, join_columns, segments, params)
    )


def _join_columns(keys: Mapping[str, Sequence[Any]]) -> JoinColumns:
    return JoinColumns(
        [join_key(id_) if id_ else None for id_ in keys["id"]],
        _scalars(keys["prediction"]),
        _scalars(keys["label"]),
    )


def _scalars(values: Sequence[Any]) -> Sequence[Scalar | None]:
    if values.count(None) == len(values):
        return values
    return [None if value is None else scalar(value) for value in values]


def _joined_params(parts: Sequence[Piece]) -> Sequence[str | None]:
    if not any(part.params for part in parts):
        return ()
    return [one for part in parts for one in (part.params or [None] * len(part.ts))]


def _joined_joins(parts: Sequence[JoinColumns]) -> JoinColumns | None:
    if not parts:
        return None
    return JoinColumns(
        [id_ for part in parts for id_ in part.ids],
        [prediction for part in parts for prediction in part.predictions],
        [label for part in parts for label in part.labels],
    )


def _statuses(rows: Rows) -> Ints:
    statuses = rows.keys["status"]
    try:
        return np.fromiter(statuses, np.int64, len(statuses))
    except TypeError:
        filled = [
            (0 if _is_later_row(id_) else _OK) if status is None else status
            for status, id_ in zip(statuses, rows.keys["id"], strict=True)
        ]
        return np.array(filled, dtype=np.int64)


def _is_later_row(id_: str | None) -> bool:
    """Whether an id names a row of a request other than its first: ``x#1``, not ``x#0``."""
    if id_ is None or "#" not in id_:
        return False
    number = id_.rpartition("#")[2]
    return number.isdecimal() and int(number[:_ROW_DIGITS_MAX]) > 0


def _weights(sampling: Sequence[float | None]) -> Floats:
    if sampling.count(None) == len(sampling):
        return np.ones(len(sampling))
    return 1.0 / np.array([1.0 if share is None else share for share in sampling])


def _joined_column(name: str, parts: Sequence[Piece]) -> Column:
    columns = [part.columns.get(name) for part in parts]
    invalid: list[int] = []
    before = 0
    for part, column in zip(parts, columns, strict=True):
        if column is not None and column.invalid_rows:
            invalid.extend(before + row for row in column.invalid_rows)
        before += len(part.ts)
    if any(isinstance(column, VectorColumn) for column in columns):
        lengths = [len(part.ts) for part in parts]
        return VectorColumn(joined_vectors(columns, lengths), tuple(invalid))
    if any(isinstance(column, CategoryColumn) for column in columns):
        texts: list[str | None] = []
        for part, column in zip(parts, columns, strict=True):
            texts += column.values if isinstance(column, CategoryColumn) else [None] * len(part.ts)
        return CategoryColumn(texts, tuple(invalid))
    values = [
        column.values if isinstance(column, NumberColumn) else np.full(len(part.ts), math.nan)
        for part, column in zip(parts, columns, strict=True)
    ]
    return NumberColumn(np.concatenate(values), tuple(invalid))
