"""Reading the store for people and programs: read-only connections, limited answers.

The writer's connection is never used for this; a slow reader costs the daemon nothing but the
disk it reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from monitor import tables
from monitor.store import sqlite_path

#: Rows of an answer when the request names no limit, and at most.
LIMIT_DEFAULT = 1_000
LIMIT_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Filter:
    """What a request asks for; None means any.

    Parameters
    ----------
    since, until
        Seconds since the epoch; rows that end in ``[since, until)``.
    """

    model: str | None = None
    version: str | None = None
    column: str | None = None
    metric: str | None = None
    since: float | None = None
    until: float | None = None
    limit: int = LIMIT_DEFAULT


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
        path = sqlite_path(url)
        if path is not None:
            # Read-only by the operating system's word, not by ours.
            url = f"sqlite:///file:{path.resolve()}?mode=ro&uri=true"
        self._engine = sa.create_engine(url, pool_size=4, max_overflow=0)

    def close(self) -> None:
        """Let the connections go."""
        self._engine.dispose()

    def measurements(self, wanted: Filter) -> list[dict[str, Any]]:
        """Rows of ``/api/v1/measurements``."""
        table = tables.measurements
        query = sa.select(table).order_by(table.c.ends.desc(), table.c.id)
        query = _narrowed(query, table, wanted)
        if wanted.column is not None:
            # Metrics of the whole window have no column; they are asked for by an empty one.
            column = table.c.column
            query = query.where(column == wanted.column if wanted.column else column.is_(None))
        if wanted.metric is not None:
            query = query.where(table.c.metric == wanted.metric)
        return [
            {"window_start": rfc3339(row["begins"]), "window_end": rfc3339(row["ends"])}
            | {key: row[key] for key in _MEASUREMENT_KEYS}
            for row in self._rows(query)
        ]

    def windows(self, wanted: Filter) -> list[dict[str, Any]]:
        """Rows of ``/api/v1/windows``, those of traffic: counts, and what was measured of each."""
        table = tables.windows
        query = sa.select(table).order_by(table.c.ends.desc(), table.c.id.desc())
        query = query.where(table.c.kind == "traffic")
        rows = self._rows(_narrowed(query, table, wanted))
        whole = self._of_whole_windows([row["id"] for row in rows])
        return [
            {"window_start": rfc3339(row["begins"]), "window_end": rfc3339(row["ends"])}
            | whole.get(row["id"], {})
            | {key: row[key] for key in _WINDOW_KEYS}
            for row in rows
        ]

    def incidents(self, wanted: Filter) -> list[dict[str, Any]]:
        """Rows of ``/api/v1/incidents``."""
        table = tables.incidents
        query = sa.select(table).order_by(table.c.at.desc(), table.c.id.desc()).limit(wanted.limit)
        query = _between(query, table.c.at, wanted)
        if wanted.model is not None:
            query = query.where(table.c.model == wanted.model)
        if wanted.version is not None:
            query = query.where(table.c.version == wanted.version)
        return [
            {"at": rfc3339(row["at"])} | {key: row[key] for key in _INCIDENT_KEYS}
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

    def _of_whole_windows(self, ids: Sequence[int]) -> dict[int, dict[str, float | None]]:
        table = tables.measurements
        query = sa.select(table.c.window, table.c.metric, table.c.value).where(
            table.c.window.in_(ids), table.c.column.is_(None)
        )
        whole: dict[int, dict[str, float | None]] = {}
        for row in self._rows(query):
            whole.setdefault(row["window"], {})[row["metric"]] = row["value"]
        return whole

    def _rows(self, query: sa.Select[Any]) -> list[Mapping[str, Any]]:
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]


_MEASUREMENT_KEYS = (
    *("model", "version", "column", "metric", "value", "low", "high", "p_value"),
    *("n", "threshold", "verdict"),
)
_INCIDENT_KEYS = ("id", "kind", "model", "version", "rule", "rollback", "evidence")
_WINDOW_KEYS = ("model", "version", "events", "requests", "errors", "rejected", "late")


def _narrowed(query: sa.Select[Any], table: sa.Table, wanted: Filter) -> sa.Select[Any]:
    if wanted.model is not None:
        query = query.where(table.c.model == wanted.model)
    if wanted.version is not None:
        query = query.where(table.c.version == wanted.version)
    return _between(query.limit(wanted.limit), table.c.ends, wanted)


def _between(query: sa.Select[Any], moment: sa.Column[Any], wanted: Filter) -> sa.Select[Any]:
    if wanted.since is not None:
        query = query.where(moment >= wanted.since)
    if wanted.until is not None:
        query = query.where(moment < wanted.until)
    return query
