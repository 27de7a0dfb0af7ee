"""The store: windows, rule states and read positions, changed together or not at all.

One :class:`Change` is one transaction. That is what makes the counting exactly-once: a crash
before the commit leaves the old positions with the old counts, one after it the new with the
new, and there is nothing in between to repair.

This module knows the rows. In this room are, too: how a transaction comes to a sure end
(`transactions`), who may write at all (`ownership`), what becomes of old rows (`retention`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

import sqlalchemy as sa

from detectors.windows.population import population, split
from monitor.pictures.distributions import Distribution
from monitor.pictures.last_windows import Held
from monitor.store import pending, retention, tables
from monitor.store.column_types import fit
from monitor.store.database import sqlite_path
from monitor.store.distribution_rows import last_windows, write_distribution
from monitor.store.errors import (
    StoreCorrupt,
    StoreError,
    StoreInUse,
    StoreOutdated,
    StoreSchemaError,
    StoreUnavailable,
)
from monitor.store.incident_rows import write_incidents
from monitor.store.opening import opened
from monitor.store.ownership import Standing
from monitor.store.transactions import Transactions
from monitor.store.upserts import upsert

__all__ = [
    "Change",
    "Snapshot",
    "Store",
    "StoreCorrupt",
    "StoreError",
    "StoreInUse",
    "StoreOutdated",
    "StoreSchemaError",
    "StoreUnavailable",
    "Totals",
    "WindowRow",
    "sqlite_path",
]

Json: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts of one source since the store was made."""

    events: int = 0
    rejected: int = 0
    late: int = 0
    shed: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.events + other.events,
            self.rejected + other.rejected,
            self.late + other.late,
            self.shed + other.shed,
        )


@dataclass(frozen=True, slots=True)
class WindowRow:
    """A closed window with what was measured in it; the mappings are rows of the tables."""

    window: Json
    measurements: Sequence[Json]
    distribution: Distribution | None = None


@dataclass(slots=True)
class Change:
    """What one transaction writes. Collected by the engine, then committed whole.

    Panes and states of rules are by population (:mod:`detectors.windows.population`).
    """

    positions: dict[tuple[str, str], Json] = field(default_factory=dict)
    retired: list[tuple[str, str]] = field(default_factory=list)
    panes: dict[tuple[str, int], bytes] = field(default_factory=dict)
    dropped_panes: list[tuple[str, int]] = field(default_factory=list)
    states: dict[str, bytes | None] = field(default_factory=dict)
    rules: dict[tuple[str, str], Json] = field(default_factory=dict)
    totals: dict[str, Totals] = field(default_factory=dict)
    windows: list[WindowRow] = field(default_factory=list)
    incidents: list[dict[str, Any]] = field(default_factory=list)
    versions: list[Json] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)  # versions, with the states of their rules
    labels: pending.LabelChange | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a restart takes up from."""

    positions: Mapping[str, Mapping[str, Json]]
    panes: Mapping[tuple[str, int], bytes]
    states: Mapping[str, bytes]
    rules: Mapping[tuple[str, str], Json]
    totals: Mapping[str, Totals]
    versions: Sequence[Json]
    performance_panes: Mapping[tuple[str, int], bytes] = field(default_factory=dict)
    last_windows: Mapping[str, Sequence[Held]] = field(default_factory=dict)  # by model


class Store:
    """The single writer. Not thread-safe: it belongs to one thread, which does all writing."""

    def __init__(self, transactions: Transactions, clock: Callable[[], float]) -> None:
        self._transactions = transactions
        self._clock = clock
        self._series: set[tuple[str, str]] = set()

    @classmethod
    def open(
        cls,
        url: str,
        *,
        clock: Callable[[], float] = time.time,
        config: str = "FILE",
        over: Standing | None = None,
    ) -> Store:
        """Open the store, make its tables if it is fresh, and keep every other Kedge out.

        Parameters
        ----------
        clock
            Gives seconds since the epoch: when rows are stored, for their retention.
        config
            The configuration, as the command that an older store needs is to name it.
        over
            A writer that is to be put out, if it has written nothing since it was seen so.

        Raises
        ------
        StoreInUse, StoreSchemaError, StoreCorrupt
            As their names say; nothing was changed.
        StoreUnavailable
            The database is away or locked, or a fresh store cannot be made (no room on the disk).
        """
        return cls(opened(url, now=clock(), config=config, over=over), clock)

    def close(self) -> None:
        """Let the store go."""
        self._transactions.close()

    @property
    def confirmed(self) -> float:
        """When we were the writer for certain, by :func:`rollback.steady_clock.steady_clock`."""
        return self._transactions.confirmed

    def renew(self) -> None:
        """Show whoever waits for the store that its writer is there."""
        with self._transactions.writing():
            pass

    def load(self) -> Snapshot:
        """Read what the last commit left."""
        with self._transactions.reading() as connection:

            def rows(table: sa.Table) -> Sequence[sa.Row[Any]]:
                return connection.execute(sa.select(table)).all()

            positions: dict[str, dict[str, Json]] = {}
            for row in rows(tables.positions):
                positions.setdefault(row.source, {})[row.stream] = row.position
            return Snapshot(
                positions=positions,
                panes={
                    (population(row.version, row.segment), row.pane): row.payload
                    for row in rows(tables.panes)
                },
                states={row.name: row.payload for row in rows(tables.states)},
                rules={
                    (row.rule, population(row.version, row.segment)): row.state
                    for row in rows(tables.rules)
                },
                totals={
                    row.source: Totals(row.events, row.rejected, row.late, row.shed)
                    for row in rows(tables.totals)
                },
                versions=[dict(row._mapping) for row in rows(tables.versions)],  # noqa: SLF001 - SQLAlchemy's public name
                performance_panes=pending.panes(connection),
                last_windows=last_windows(connection),
            )

    def commit(self, change: Change) -> None:
        """Write a change, all of it or nothing.

        Raises
        ------
        StoreUnavailable
            Nothing was written, or that is not known yet; commit the same object again. A change
            that turns out to have been written is then left as it is.
        """
        if self._transactions.took_effect(change):
            return
        with self._transactions.writing(change) as connection:
            self._write_positions(connection, change)
            self._write_panes(connection, change)
            for name, payload in change.states.items():
                if payload is None:
                    connection.execute(sa.delete(tables.states).where(tables.states.c.name == name))
                else:
                    upsert(connection, tables.states, [{"name": name, "payload": payload}])
            upsert(
                connection,
                tables.rules,
                [
                    {"rule": rule, **_named(name), "state": state}
                    for (rule, name), state in change.rules.items()
                ],
            )
            upsert(
                connection,
                tables.totals,
                [
                    {"source": s, "events": t.events, "rejected": t.rejected}
                    | {"late": t.late, "shed": t.shed}
                    for s, t in change.totals.items()
                ],
            )
            upsert(connection, tables.versions, change.versions)
            self._forget_versions(connection, change.forgotten)
            measured: set[tuple[str, str]] = set()
            for row in change.windows:
                measured |= self._write_window(connection, row)
            new = [{"column": c, "metric": m} for c, m in sorted(measured - self._series)]
            upsert(connection, tables.series, new)
            if change.incidents:
                write_incidents(connection, change.incidents, self._clock())
            if change.labels is not None:
                pending.write(connection, change.labels)
        # Not before: what was rolled back is not there.
        self._series |= measured

    def held(self, ids: Collection[str]) -> Mapping[str, pending.Held]:
        """Rows of :mod:`monitor.store.pending` of those ids that have one."""
        with self._transactions.reading() as connection:
            return pending.read(connection, ids)

    def oldest_held(
        self, *, joined: bool, limit: int, before: float | None = None
    ) -> Sequence[pending.Held]:
        """Oldest rows of :mod:`monitor.store.pending`, of pairs or of what waits."""
        with self._transactions.reading() as connection:
            return pending.oldest(connection, joined=joined, limit=limit, before=before)

    def write_rollback(self, record: Json, transition: Json | None) -> None:
        """Write the journal's row and its transition, both or neither.

        Parameters
        ----------
        record
            ``id``, ``model``, ``state``, ``created``, ``updated`` and ``record`` (JSON).
        transition
            What has just been decided, with its time under ``at``; None to change the row only.
        """
        with self._transactions.writing() as connection:
            upsert(connection, tables.rollbacks, [record])
            if transition is not None:
                connection.execute(
                    sa.insert(tables.rollback_transitions),
                    [{"rollback": record["id"], "at": transition["at"], "transition": transition}],
                )

    def rollbacks(self, model: str, since: float) -> Sequence[Json]:
        """Journal records of a model changed since then, oldest first."""
        table = tables.rollbacks
        query = sa.select(table.c.record).where(table.c.model == model, table.c.updated >= since)
        with self._transactions.reading() as connection:
            return list(connection.scalars(query.order_by(table.c.created, table.c.id)))

    def rollback(self, identity: str) -> Json | None:
        """One journal record; None when there is none."""
        table = tables.rollbacks
        with self._transactions.reading() as connection:
            found: Json | None = connection.scalar(
                sa.select(table.c.record).where(table.c.id == identity)
            )
        return found

    def add_incidents(self, incidents: Sequence[dict[str, Any]]) -> None:
        """Write incidents that no window closed with (a refusal, an escalation); add their ids."""
        with self._transactions.writing() as connection:
            write_incidents(connection, incidents, self._clock())

    def prune(self, before: float, *, rows_max: int, hours_before: float | None = None) -> int:
        """Turn windows stored before then into hours, delete incidents; return how many windows.

        At most `rows_max` windows at a time, so that a commit never waits long behind it.

        Parameters
        ----------
        before
            Seconds since the epoch, by the clock of the store.
        hours_before
            Hours whose windows were all stored before this are deleted; None keeps none at all.
        """
        with self._transactions.writing() as connection:
            pruned = retention.prune_windows(
                connection, before, rows_max=rows_max, keep_hours=hours_before is not None
            )
            retention.prune_hours(
                connection, before if hours_before is None else hours_before, rows_max=rows_max
            )
        return pruned

    def _write_positions(self, connection: sa.Connection, change: Change) -> None:
        table = tables.positions
        for source, stream in change.retired:
            connection.execute(
                sa.delete(table).where(table.c.source == source, table.c.stream == stream)
            )
        rows = [
            {"source": source, "stream": stream, "position": dict(position)}
            for (source, stream), position in change.positions.items()
        ]
        upsert(connection, table, rows)

    def _write_panes(self, connection: sa.Connection, change: Change) -> None:
        table = tables.panes
        if change.dropped_panes:
            this_one = sa.and_(
                table.c.version == sa.bindparam("gone"),
                table.c.segment == sa.bindparam("part"),
                table.c.pane == sa.bindparam("index"),
            )
            gone = [
                {"gone": version, "part": segment, "index": pane}
                for name, pane in change.dropped_panes
                for version, segment in (split(name),)
            ]
            connection.execute(sa.delete(table).where(this_one), gone)
        rows = [
            {**_named(name), "pane": pane, "payload": payload}
            for (name, pane), payload in change.panes.items()
        ]
        upsert(connection, table, rows)

    def _forget_versions(self, connection: sa.Connection, forgotten: Sequence[str]) -> None:
        if not forgotten:
            return
        gone = [{"gone": version} for version in forgotten]
        for table in (tables.versions, tables.rules):
            this_one = table.c.version == sa.bindparam("gone")
            connection.execute(sa.delete(table).where(this_one), gone)

    def _write_window(self, connection: sa.Connection, row: WindowRow) -> set[tuple[str, str]]:
        """Write a window; return the column and metric of each measurement."""
        stored = {**row.window, "stored": self._clock()}
        key = connection.execute(sa.insert(tables.windows), stored).inserted_primary_key
        if key is None:
            return set()
        write_distribution(connection, key[0], row.distribution)
        # In the order of their key, which is that of the table: rows are appended.
        measured = {_series(one): one for one in row.measurements}
        rows = [
            {"window": key[0], "column": column, "metric": metric}
            | {name: measured[column, metric][name] for name in _FIGURES}
            for column, metric in sorted(measured)
        ]
        if rows:
            connection.execute(sa.insert(tables.measurements), rows)
        return set(measured)


def _named(name: str) -> Json:
    """Return the columns that say which population a row is of."""
    return dict(zip(("version", "segment"), split(name), strict=True))


def _series(measurement: Json) -> tuple[str, str]:
    """Return column and metric as the table keeps them; no column is an empty one."""
    return _fit_series(measurement["column"] or "", measurement["metric"])


@lru_cache(maxsize=4_096)  # every window has the same
def _fit_series(column: str, metric: str) -> tuple[str, str]:
    return fit(column, tables.COLUMN_CHARACTERS), fit(metric, tables.METRIC_CHARACTERS)


_FIGURES = ("value", "low", "high", "p_value", "n", "threshold", "verdict")
