"""Tables as CSV, a row a line, under a line of names.

The line of names is the first, and any later one that names the same time column: each file of a
log has its own. Files with other columns cannot be read side by side. A line break within quotes
is not understood: a row is a line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from collectors.formats.bodies import cell, split_csv
from collectors.formats.event_line import Unusable
from collectors.formats.exchange import Exchange
from collectors.formats.line_format import LineFormat
from collectors.formats.options import ColumnNames, FormatOptions

#: What columns are usually called, by what they hold.
USUAL: Mapping[str, tuple[str, ...]] = {
    "ts": ("ts", "timestamp", "time", "event_time", "prediction_ts"),
    "id": ("id", "request_id", "prediction_id"),
    "prediction": ("prediction",),
    "version": ("version", "model_version"),
    "latency_ms": ("latency_ms",),
    "status": ("status", "status_code"),
    "label": ("label", "target"),
}


def roles(columns: Sequence[str], names: ColumnNames) -> dict[str, str]:
    """Say which column holds what: role to column, for the columns that are no features.

    Examples
    --------
    >>> roles(["when", "age", "prediction"], ColumnNames(ts="when"))
    {'ts': 'when', 'prediction': 'prediction'}
    """
    found = {}
    for role, usual in USUAL.items():
        given = getattr(names, role)
        name = next((name for name in ([given] if given else usual) if name in columns), None)
        if name is not None:
            found[role] = name
    return found


def row_exchange(row: Mapping[str, Any], role_columns: Mapping[str, str]) -> Exchange:
    """Return a row of a table as a request."""
    own = {role: row[name] for role, name in role_columns.items()}
    taken = set(role_columns.values())
    prediction, label = own.get("prediction"), own.get("label")
    return Exchange(
        ts=own.get("ts"),
        id=as_text(own.get("id")),
        features=[{name: value for name, value in row.items() if name not in taken}],
        predictions=None if prediction is None else [prediction],
        labels=None if label is None else [label],
        version=as_text(own.get("version")),
        latency_ms=own.get("latency_ms"),
        status=own.get("status"),
    )


def as_text(value: object) -> str | None:
    """Return an id or a version of a table as text: 7.0 of a column with gaps is 7."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return None if value is None else str(value)


class CsvReader:
    """Reads rows by the line of names that was read last."""

    def __init__(self, options: FormatOptions) -> None:
        self._names = options.columns
        self._header: list[str] = []
        self._roles: dict[str, str] = {}

    def read(self, line: bytes) -> Iterator[Exchange]:
        """Read a row, or take up a line of names."""
        try:
            text = line.decode("utf-8-sig").rstrip("\r")
        except UnicodeDecodeError as error:
            raise Unusable("not_utf8") from error
        cells = [cells for cells in split_csv(text) if cells]
        if len(cells) != 1:
            raise Unusable("malformed")
        if self._is_header(cells[0]):
            self._take_up(cells[0])
            return
        if len(cells[0]) != len(self._header):
            raise Unusable("malformed")
        row = dict(zip(self._header, map(cell, cells[0]), strict=True))
        yield row_exchange(self._with_texts(row, cells[0]), self._roles)

    def encode(self) -> bytes | None:
        """Return the line of names; None before the first."""
        return msgspec.msgpack.encode(self._header) if self._header else None

    def restore(self, state: bytes) -> None:
        """Take up the line of names."""
        self._take_up(msgspec.msgpack.decode(state, type=list[str]))

    def _is_header(self, cells: Sequence[str]) -> bool:
        if self._header:
            return self._roles["ts"] in (name.strip() for name in cells)
        if "ts" not in roles([name.strip() for name in cells], self._names):
            raise Unusable("missing_key")
        return True

    def _take_up(self, cells: Sequence[str]) -> None:
        header = [name.strip() for name in cells]
        if len(set(header)) < len(header):
            raise Unusable("malformed")
        self._header, self._roles = header, roles(header, self._names)

    def _with_texts(self, row: dict[str, Any], cells: Sequence[str]) -> dict[str, Any]:
        """Return the row with ids and versions as they stand: 007 is no 7."""
        for role in ("id", "version"):
            name = self._roles.get(role)
            if name is not None and row[name] is not None:
                row[name] = cells[self._header.index(name)].strip()
        return row


#: ``format = "csv"``.
CSV = LineFormat(CsvReader)
