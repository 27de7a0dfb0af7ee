"""The monitoring log of BentoML: a flat object a row, and a file that says what its columns are.

The schema stands in a file of its own, beside the data: let the path take in both, as
``monitoring/NAME/**/*.log``. BentoML writes it before the first row. Without it the column called
``prediction``, or `columns.prediction`, is the prediction, and all others are features.
Each row counts as a request of its own: rows of one request cannot be told from requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from collectors.formats.event_line import Unusable
from collectors.formats.exchange import Exchange
from collectors.formats.json_record import decoded
from collectors.formats.line_format import LineFormat
from collectors.formats.options import FormatOptions

_OWN = frozenset({"timestamp", "request_id", "trace_id"})
_NO_ID = frozenset({"None", "0", ""})
_NO_VERSION = frozenset({"", "not available"})


class _Column(msgspec.Struct):
    name: str
    role: str


class _Schema(msgspec.Struct):
    """A line of the schema's file; `data` lines have no `columns`."""

    columns: list[_Column]
    meta_data: dict[str, Any] = {}


class _State(msgspec.Struct):
    """What the schema's file said last."""

    roles: dict[str, str] = {}
    version: str = ""


_SCHEMA = msgspec.json.Decoder(_Schema)
_ROW = msgspec.json.Decoder(dict[str, Any])


class BentomlReader:
    """Reads rows by the schema that was read last."""

    def __init__(self, options: FormatOptions) -> None:
        self._prediction = options.columns.prediction or "prediction"
        self._label = options.columns.label or "label"
        self._state = _State()

    def read(self, line: bytes) -> Iterator[Exchange]:
        """Read a row, or take up a schema."""
        if b'"role"' in line and b'"columns"' in line:
            self._learn(decoded(line, _SCHEMA))
            return
        row = decoded(line, _ROW)
        if not row.keys() >= _OWN:
            raise Unusable("missing_key")
        request_id = str(row["request_id"])
        answers, labels = self._of(row, "prediction"), self._of(row, "target")
        features = {
            name: value
            for name, value in row.items()
            if name not in _OWN and name not in answers and name not in labels
        }
        yield Exchange(
            ts=row["timestamp"],
            id=None if request_id in _NO_ID else request_id,
            features=[features],
            predictions=_one(answers),
            labels=_one(labels),
            version=self._state.version or None,
        )

    def encode(self) -> bytes | None:
        """Return the schema; None before the first."""
        return msgspec.msgpack.encode(self._state) if self._state.roles else None

    def restore(self, state: bytes) -> None:
        """Take up the schema."""
        self._state = msgspec.msgpack.decode(state, type=_State)

    def _learn(self, schema: _Schema) -> None:
        version = str(schema.meta_data.get("bento_version") or "")
        self._state = _State(
            {column.name: column.role for column in schema.columns},
            "" if version in _NO_VERSION else version,
        )

    def _of(self, row: Mapping[str, Any], role: str) -> dict[str, Any]:
        roles = self._state.roles or {self._prediction: "prediction", self._label: "target"}
        return {name: row[name] for name, its in roles.items() if its == role and name in row}


def _one(parts: Mapping[str, Any]) -> list[Any] | None:
    """Return the only part, or all of them by name."""
    if not parts:
        return None
    return [next(iter(parts.values())) if len(parts) == 1 else dict(parts)]


#: ``format = "bentoml"``.
BENTOML = LineFormat(BentomlReader)
