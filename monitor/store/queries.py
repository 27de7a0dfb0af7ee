"""Reading the store for people and programs: read-only connections, limited answers.

The writer's connection is never used for this; a slow reader costs the daemon nothing but the
disk it reads.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from monitor.store import tables
from monitor.store.database import classified, never_silent, reader_engine

#: Rows of an answer when the request names no limit, and at most.
LIMIT_DEFAULT = 1_000
LIMIT_MAX = 10_000

CONNECTIONS_MAX = 4
#: A metric of at most so many columns is looked up in each; one of more is found anywhere.
COLUMNS_NAMED_MAX = 20


@dataclass(frozen=True, slots=True)
class Filter:
    """What a request asks for; None means any.

    Parameters
    ----------
    segment
        Of which segment of the versions; empty for all their traffic.
    since, until
        Seconds since the epoch; rows that end in ``[since, until)``.
    """

    model: str | None = None
    version: str | None = None
    column: str | None = None
    metric: str | None = None
    segment: str | None = None
    since: float | None = None
    until: float | None = None
    limit: int = LIMIT_DEFAULT


# The rows of an answer share their windows, and writing a time costs as much as the rest of a row.
@functools.lru_cache(maxsize=4096)
def rfc3339(seconds: float | None) -> str | None:
    """Return a time as RFC 3339 in UTC with milliseconds.

    Examples
    --------
    >>> rfc3339(1772618400.25)
    '2026-03-04T10:00:00.250Z'
    """
    if seconds is None:
        return None
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


class Queries:
    """What the API answers from the store. Thread-safe; newest rows first."""

    def __init__(self, url: str) -> None:
        self._engine = reader_engine(url, connections_max=CONNECTIONS_MAX)

    def close(self) -> None:
        """Let the connections go."""
        self._engine.dispose()

    def measurements(self, wanted: Filter) -> list[dict[str, Any]]:
        """Rows of ``/api/v1/measurements``: of windows, and of hours where windows are gone."""
        columns = self._columns(wanted)
        if columns is not None and not columns:
            return []
        raw = self._measured(tables.windows, tables.measurements, wanted, columns)
        rows = [described(row, "raw") for row in raw]
        if len(rows) == wanted.limit:
            # What is older than these has no place in the answer.
            wanted = replace(wanted, since=rows[-1]["ends"])
        hours = self._measured(tables.hours, tables.hourly, wanted, columns)
        rows += [described(_of_hour(row), "1h") for row in hours]
        # Stable: each kind is in order already.
        rows.sort(key=lambda row: row["ends"], reverse=True)
        for row in rows:
            del row["ends"]
        return rows[: wanted.limit]

    def windows(self, wanted: Filter) -> list[dict[str, Any]]:
        """Rows of ``/api/v1/windows``, those of traffic: counts, and what was measured of each.

        Hours where windows are gone; of those it is only known what was measured.
        """
        table = tables.windows
        query = sa.select(table).order_by(table.c.ends.desc(), table.c.id.desc())
        query = query.where(table.c.kind == "traffic")
        raw = self._rows(_narrowed(query, table, wanted).limit(wanted.limit))
        if len(raw) == wanted.limit:
            # What is older than these has no place in the answer.
            wanted = replace(wanted, since=raw[-1]["ends"])
        hours = self._rows(_hours_of_traffic(wanted))
        whole = self._of_whole_windows([row["id"] for row in raw])
        means = self._of_whole_hours([row["id"] for row in hours])
        rows = [
            (row["ends"], _spanned(row, "raw", whole) | {key: row[key] for key in _WINDOW_KEYS})
            for row in raw
        ]
        unknown = dict.fromkeys(_COUNTS_OF_WINDOWS)
        rows += [
            (row["ends"], unknown | _spanned(row, "1h", means) | {"windows": row["windows"]})
            for row in hours
        ]
        # Stable: each kind is in order already.
        rows.sort(key=lambda row: row[0], reverse=True)
        return [row for _, row in rows[: wanted.limit]]

    def incidents(self, wanted: Filter) -> list[dict[str, Any]]:
        """Rows of ``/api/v1/incidents``."""
        table = tables.incidents
        query = sa.select(table).order_by(table.c.at.desc(), table.c.id.desc()).limit(wanted.limit)
        query = _between(query, table.c.at, wanted)
        if wanted.model is not None:
            query = query.where(table.c.model == wanted.model)
        if wanted.version is not None:
            query = query.where(table.c.version == wanted.version)
        if wanted.segment is not None:
            query = query.where(table.c.segment == wanted.segment)
        return [
            {"at": rfc3339(row["at"])}
            | {key: row[key] for key in _INCIDENT_KEYS}
            | {"segment": row["segment"] or None}
            for row in self._rows(query)
        ]

    def rollbacks(self, wanted: Filter) -> list[dict[str, Any]]:
        """Journal records, newest first."""
        table = tables.rollbacks
        query = sa.select(table.c.record).order_by(table.c.created.desc(), table.c.id.desc())
        query = _between(query.limit(wanted.limit), table.c.created, wanted)
        if wanted.model is not None:
            query = query.where(table.c.model == wanted.model)
        return [row["record"] for row in self._rows(query)]

    def rollback(self, identity: str) -> dict[str, Any] | None:
        """One journal record with its transitions, oldest first; None when there is none."""
        table, history = tables.rollbacks, tables.rollback_transitions
        found = self._rows(sa.select(table.c.record).where(table.c.id == identity))
        if not found:
            return None
        query = sa.select(history.c.transition).where(history.c.rollback == identity)
        transitions = self._rows(query.order_by(history.c.id))
        return {**found[0]["record"], "transitions": [row["transition"] for row in transitions]}

    def rule_states(self, version: str) -> dict[str, Any]:
        """Where each rule stands with a version, as JSON; only rules that were judged for it."""
        table = tables.rules
        query = sa.select(table.c.rule, table.c.state).where(table.c.version == version)
        return {row["rule"]: row["state"] for row in self._rows(query)}

    def windows_of(self, model: str, version: str, since: float) -> int:
        """How many windows of a version, of any kind, have ended since then."""
        table = tables.windows
        ends = sa.func.count(table.c.ends.distinct()).label("n")
        query = sa.select(ends).where(table.c.model == model, table.c.version == version)
        return int(self._rows(query.where(table.c.ends >= since))[0]["n"])

    def state(self, name: str) -> bytes | None:
        """Return one of the daemon's own states; None when there is none."""
        query = sa.select(tables.states.c.payload).where(tables.states.c.name == name)
        rows = self._rows(query)
        return bytes(rows[0]["payload"]) if rows else None

    def _measured(
        self,
        spans: sa.Table,
        measured: sa.Table,
        wanted: Filter,
        columns: Sequence[str] | None,
    ) -> list[dict[str, Any]]:
        sqlite = self._engine.dialect.name == "sqlite"
        return self._rows(_measured(spans, measured, wanted, columns, sqlite=sqlite))

    def _columns(self, wanted: Filter) -> list[str] | None:
        """Return the columns to look at, empty for no column at all; None for every one.

        A metric that few columns have (throughput, which is of the whole window) is then looked
        up in each window, and one that none has is not searched for.
        """
        table = tables.series
        if wanted.column is None and wanted.metric is None:
            return None
        query = sa.select(table.c.column).distinct().limit(COLUMNS_NAMED_MAX + 1)
        if wanted.column is not None:
            query = query.where(table.c.column == wanted.column)
        if wanted.metric is not None:
            query = query.where(table.c.metric == wanted.metric)
        found = [row["column"] for row in self._rows(query)]
        return found if len(found) <= COLUMNS_NAMED_MAX else None

    def _of_whole_windows(self, ids: Sequence[int]) -> dict[int, dict[str, float | None]]:
        table = tables.measurements
        query = sa.select(table.c.window, table.c.metric, table.c.value).where(
            table.c.window.in_(ids), table.c.column == ""
        )
        whole: dict[int, dict[str, float | None]] = {}
        for row in self._rows(query):
            whole.setdefault(row["window"], {})[row["metric"]] = row["value"]
        return whole

    def _of_whole_hours(self, ids: Sequence[int]) -> dict[int, dict[str, float | None]]:
        """Return the means of what was measured of whole windows."""
        table = tables.hourly
        query = sa.select(table.c.hour, table.c.metric, table.c.value_sum, table.c.valued).where(
            table.c.hour.in_(ids), table.c.column == ""
        )
        whole: dict[int, dict[str, float | None]] = {}
        for row in self._rows(query):
            whole.setdefault(row["hour"], {})[row["metric"]] = _mean(row)
        return whole

    def _rows(self, query: sa.Select[Any]) -> list[dict[str, Any]]:
        try:
            with self._engine.connect() as connection, never_silent(connection):
                found = connection.execute(query)
                names = list(found.keys())
                return [dict(zip(names, row, strict=True)) for row in found]
        except sa.exc.DBAPIError as error:
            raise classified(error, self._engine.url) from error


_MEASUREMENT_KEYS = (
    *("model", "version", "segment", "column", "metric", "value", "low", "high", "p_value"),
    *("n", "threshold", "verdict"),
)
_HOUR_KEYS = ("windows", "breaches", "value_min", "value_max")
_INCIDENT_KEYS = ("id", "kind", "model", "version", "segment", "rule", "rollback", "evidence")
_COUNTS_OF_WINDOWS = ("events", "requests", "errors", "rejected", "late")
_WINDOW_KEYS = ("model", "version", *_COUNTS_OF_WINDOWS)


def _measured(
    spans: sa.Table,
    measured: sa.Table,
    wanted: Filter,
    columns: Sequence[str] | None,
    *,
    sqlite: bool,
) -> sa.Select[Any]:
    """Ask for measurements by walking their windows (or hours), newest first.

    SQLite would rather read every measurement there is and sort them: it takes an inner table
    with a LIMIT for a small one. Adding nothing to the window's number forbids the lookup that
    this needs, and leaves it our way.
    """
    span_of = next(iter(measured.primary_key))
    span = spans.c.id + sa.literal_column("0") if sqlite else spans.c.id
    frame = [spans.c[name] for name in ("model", "version", "segment", "begins", "ends")]
    query = (
        sa.select(*frame, measured)
        .join_from(spans, measured, span_of == span)
        .order_by(spans.c.ends.desc(), spans.c.id.desc(), measured.c.column, measured.c.metric)
        .limit(wanted.limit)
    )
    if columns is not None:
        query = query.where(measured.c.column.in_(columns))
    if wanted.metric is not None:
        query = query.where(measured.c.metric == wanted.metric)
    return _narrowed(query, spans, wanted)


def _of_hour(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an hour's row under the keys of a window's."""
    decided = "unknown" if row["unknowns"] == row["windows"] else "ok"
    return {
        **row,
        "value": _mean(row),
        "low": row["low_min"],
        "high": row["high_max"],
        "p_value": None,
        "verdict": "breach" if row["breaches"] else decided,
    }


def _mean(row: Mapping[str, Any]) -> float | None:
    return row["value_sum"] / row["valued"] if row["valued"] else None


def _hours_of_traffic(wanted: Filter) -> sa.Select[Any]:
    """Ask for the hours that hold windows of traffic: all those count events, and no others do."""
    hours, measured = tables.hours, tables.hourly
    names = ("id", "model", "version", "segment", "begins", "ends")
    frame = [hours.c[name] for name in names]
    counted = sa.and_(
        measured.c.hour == hours.c.id, measured.c.column == "", measured.c.metric == "events"
    )
    query = sa.select(*frame, measured.c.windows).join_from(hours, measured, counted)
    query = query.order_by(hours.c.ends.desc(), hours.c.id.desc())
    return _narrowed(query, hours, wanted).limit(wanted.limit)


def _spanned(
    row: Mapping[str, Any], resolution: str, whole: Mapping[int, Mapping[str, float | None]]
) -> dict[str, Any]:
    """Return what windows and hours have in common."""
    return {
        "window_start": rfc3339(row["begins"]),
        "window_end": rfc3339(row["ends"]),
        "model": row["model"],
        "version": row["version"],
        "segment": row["segment"] or None,
        "resolution": resolution,
        **whole.get(row["id"], {}),
    }


def described(row: Mapping[str, Any], resolution: str) -> dict[str, Any]:
    """Return a row of measurements as the API answers it, and its end in seconds beside it."""
    keys = _MEASUREMENT_KEYS if resolution == "raw" else _MEASUREMENT_KEYS + _HOUR_KEYS
    described = {key: row[key] for key in keys}
    described["column"] = row["column"] or None
    described["segment"] = row["segment"] or None
    if row["metric"].startswith("shadow_"):
        # Of a shadow the live version stands in the place of a column.
        described["live"], described["column"] = row["column"], None
    described["window_start"] = rfc3339(row["begins"])
    described["window_end"] = rfc3339(row["ends"])
    described["resolution"] = resolution
    described["ends"] = row["ends"]
    return described


def _narrowed(query: sa.Select[Any], table: sa.Table, wanted: Filter) -> sa.Select[Any]:
    if wanted.model is not None:
        query = query.where(table.c.model == wanted.model)
    if wanted.version is not None:
        query = query.where(table.c.version == wanted.version)
    if wanted.segment is not None:
        query = query.where(table.c.segment == wanted.segment)
    return _between(query, table.c.ends, wanted)


def _between(query: sa.Select[Any], moment: sa.Column[Any], wanted: Filter) -> sa.Select[Any]:
    if wanted.since is not None:
        query = query.where(moment >= wanted.since)
    if wanted.until is not None:
        query = query.where(moment < wanted.until)
    return query
