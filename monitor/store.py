"""The store: windows, rule states and read positions, changed together or not at all.

One :class:`Change` is one transaction. That is what makes the counting exactly-once: a crash
before the commit leaves the old positions with the old counts, one after it the new with the
new, and there is nothing in between to repair.

Errors::

    StoreError
    ├── StoreInUse        another Kedge holds this store
    ├── StoreSchemaError  made by another version of Kedge, or not a Kedge store at all
    ├── StoreCorrupt      the database file is damaged; it is never silently made anew
    └── StoreUnavailable  this commit failed and may succeed later (locked, disk full)
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from monitor import pending, tables

#: A locked database is waited for this long before the commit counts as failed.
BUSY_TIMEOUT_MS = 5_000

Json: TypeAlias = Mapping[str, Any]


class StoreError(RuntimeError):
    """The store cannot be used; the message says which, why, and what to do."""


class StoreInUse(StoreError):  # noqa: N818 - a state, named as such
    """Another Kedge works on the same store."""


class StoreSchemaError(StoreError):
    """The store's tables are not those of this version."""


class StoreCorrupt(StoreError):  # noqa: N818 - a state, named as such
    """The database is damaged."""


class StoreUnavailable(StoreError):  # noqa: N818 - a state, named as such
    """A transaction was rolled back; the same change may be tried again."""


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


@dataclass(slots=True)
class Change:
    """What one transaction writes. Collected by the engine, then committed whole."""

    positions: dict[tuple[str, str], Json] = field(default_factory=dict)
    retired: list[tuple[str, str]] = field(default_factory=list)
    panes: dict[tuple[str, int], bytes] = field(default_factory=dict)
    dropped_panes: list[tuple[str, int]] = field(default_factory=list)
    states: dict[str, bytes | None] = field(default_factory=dict)
    rules: dict[tuple[str, str], Json] = field(default_factory=dict)
    totals: dict[str, Totals] = field(default_factory=dict)
    windows: list[WindowRow] = field(default_factory=list)
    incidents: list[Json] = field(default_factory=list)
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


class Store:
    """The single writer. Not thread-safe: it belongs to one thread, which does all writing."""

    def __init__(self, engine: sa.Engine, lock: IO[str] | None, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._lock = lock
        self._clock = clock

    @classmethod
    def open(cls, url: str, *, clock: Callable[[], float] = time.time) -> Store:
        """Open the store, make its tables if it is fresh, and keep every other Kedge out.

        `clock` gives seconds since the epoch: when rows are stored, for their retention.

        Raises
        ------
        StoreInUse, StoreSchemaError, StoreCorrupt
            As their names say; nothing was changed.
        StoreUnavailable
            The database cannot be read, or a fresh one not be made (no room on the disk).
        """
        lock = _lock_file(url)
        try:
            engine = _engine(url)
            _check_integrity(engine)
            try:
                _check_schema(engine, now=clock())
            except sa.exc.DBAPIError as error:
                raise _classified(error, engine.url) from error
        except BaseException:
            if lock is not None:
                lock.close()
            raise
        return cls(engine, lock, clock)

    def close(self) -> None:
        """Let the store go."""
        self._engine.dispose()
        if self._lock is not None:
            self._lock.close()

    def load(self) -> Snapshot:
        """Read what the last commit left."""
        with self._engine.connect() as connection:

            def rows(table: sa.Table) -> Sequence[sa.Row[Any]]:
                return connection.execute(sa.select(table)).all()

            positions: dict[str, dict[str, Json]] = {}
            for row in rows(tables.positions):
                positions.setdefault(row.source, {})[row.stream] = row.position
            return Snapshot(
                positions=positions,
                panes={(row.version, row.pane): row.payload for row in rows(tables.panes)},
                states={row.name: row.payload for row in rows(tables.states)},
                rules={(row.rule, row.version): row.state for row in rows(tables.rules)},
                totals={
                    row.source: Totals(row.events, row.rejected, row.late, row.shed)
                    for row in rows(tables.totals)
                },
                versions=[dict(row._mapping) for row in rows(tables.versions)],  # noqa: SLF001 - SQLAlchemy's public name
                performance_panes=pending.panes(connection),
            )

    def commit(self, change: Change) -> None:
        """Write a change, all of it or nothing.

        Raises
        ------
        StoreUnavailable
            Nothing was written; the same change may be committed again.
        """
        with self._transaction() as connection:
            self._write_positions(connection, change)
            self._write_panes(connection, change)
            for name, payload in change.states.items():
                if payload is None:
                    connection.execute(sa.delete(tables.states).where(tables.states.c.name == name))
                else:
                    self._upsert(connection, tables.states, [{"name": name, "payload": payload}])
            self._upsert(
                connection,
                tables.rules,
                [{"rule": r, "version": v, "state": s} for (r, v), s in change.rules.items()],
            )
            self._upsert(
                connection,
                tables.totals,
                [
                    {"source": s, "events": t.events, "rejected": t.rejected}
                    | {"late": t.late, "shed": t.shed}
                    for s, t in change.totals.items()
                ],
            )
            self._upsert(connection, tables.versions, change.versions)
            self._forget_versions(connection, change.forgotten)
            for row in change.windows:
                self._write_window(connection, row)
            if change.incidents:
                self._write_incidents(connection, change.incidents)
            if change.labels is not None:
                pending.write(connection, change.labels)

    def held(self, ids: Collection[str]) -> Mapping[str, pending.Held]:
        """Rows of :mod:`monitor.pending` of those ids that have one."""
        with self._transaction() as connection:
            return pending.read(connection, ids)

    def oldest_held(
        self, *, joined: bool, limit: int, before: float | None = None
    ) -> Sequence[pending.Held]:
        """Oldest rows of :mod:`monitor.pending`, of pairs or of what waits."""
        with self._transaction() as connection:
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
        with self._transaction() as connection:
            self._upsert(connection, tables.rollbacks, [record])
            if transition is not None:
                connection.execute(
                    sa.insert(tables.rollback_transitions),
                    [{"rollback": record["id"], "at": transition["at"], "transition": transition}],
                )

    def rollbacks(self, model: str, since: float) -> Sequence[Json]:
        """Journal records of a model changed since then, oldest first."""
        table = tables.rollbacks
        query = sa.select(table.c.record).where(table.c.model == model, table.c.updated >= since)
        with self._engine.connect() as connection:
            return list(connection.scalars(query.order_by(table.c.created, table.c.id)))

    def rollback(self, identity: str) -> Json | None:
        """One journal record; None when there is none."""
        table = tables.rollbacks
        with self._engine.connect() as connection:
            found: Json | None = connection.scalar(
                sa.select(table.c.record).where(table.c.id == identity)
            )
        return found

    def add_incidents(self, incidents: Sequence[Json]) -> None:
        """Write incidents that no window closed with (a refusal, an escalation)."""
        with self._transaction() as connection:
            self._write_incidents(connection, incidents)

    def prune(self, before: float, *, rows_max: int) -> int:
        """Delete windows and incidents stored before then; return how many windows.

        At most `rows_max` at a time, so that a commit never waits long behind it.
        """
        table = tables.windows
        old = (
            sa.select(table.c.id)
            .where(table.c.stored < before)
            .order_by(table.c.id)
            .limit(rows_max)
        )
        with self._transaction() as connection:
            ids = list(connection.scalars(old))
            connection.execute(
                sa.delete(tables.measurements).where(tables.measurements.c.window.in_(ids))
            )
            connection.execute(sa.delete(table).where(table.c.id.in_(ids)))
            connection.execute(
                sa.delete(tables.incidents).where(tables.incidents.c.stored < before)
            )
        return len(ids)

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
        self._upsert(connection, table, rows)

    def _write_panes(self, connection: sa.Connection, change: Change) -> None:
        table = tables.panes
        if change.dropped_panes:
            this_one = sa.and_(
                table.c.version == sa.bindparam("gone"), table.c.pane == sa.bindparam("index")
            )
            gone = [{"gone": version, "index": pane} for version, pane in change.dropped_panes]
            connection.execute(sa.delete(table).where(this_one), gone)
        rows = [
            {"version": version, "pane": pane, "payload": payload}
            for (version, pane), payload in change.panes.items()
        ]
        self._upsert(connection, table, rows)

    def _forget_versions(self, connection: sa.Connection, forgotten: Sequence[str]) -> None:
        if not forgotten:
            return
        gone = [{"gone": version} for version in forgotten]
        for table in (tables.versions, tables.rules):
            this_one = table.c.version == sa.bindparam("gone")
            connection.execute(sa.delete(table).where(this_one), gone)

    def _write_window(self, connection: sa.Connection, row: WindowRow) -> None:
        stored = {**row.window, "stored": self._clock()}
        key = connection.execute(sa.insert(tables.windows), stored).inserted_primary_key
        if row.measurements:
            window = key[0] if key is not None else None
            connection.execute(
                sa.insert(tables.measurements),
                [{"window": window, **measurement} for measurement in row.measurements],
            )

    def _write_incidents(self, connection: sa.Connection, incidents: Sequence[Json]) -> None:
        stored = self._clock()
        connection.execute(
            sa.insert(tables.incidents), [{**incident, "stored": stored} for incident in incidents]
        )

    def _upsert(self, connection: sa.Connection, table: sa.Table, rows: Sequence[Json]) -> None:
        if not rows:
            return
        insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        statement = insert(table)
        keys = [column.name for column in table.primary_key]
        rest = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in keys}
        connection.execute(
            statement.on_conflict_do_update(index_elements=keys, set_=rest),
            [dict(row) for row in rows],
        )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        """Like ``engine.begin()``, with errors told apart by what can be done about them."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            raise _classified(error, self._engine.url) from error


def _classified(error: sa.exc.DBAPIError, url: sa.URL) -> StoreError:
    place = url.render_as_string(hide_password=True)
    if "malformed" in str(error.orig) or "not a database" in str(error.orig):
        return StoreCorrupt(_corrupt_text(place, str(error.orig)))
    if isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError):
        return StoreUnavailable(f"could not write to {place}: {error.orig}")
    return StoreError(f"could not write to {place}: {error.orig}")


def _corrupt_text(place: str, why: str) -> str:
    return (
        f"the store {place} is damaged ({why}). Kedge leaves it as it is. Move it aside, with its "
        "-wal and -shm files, to start a new one; the logs are then read from their beginning"
    )


def _engine(url: str) -> sa.Engine:
    engine = sa.create_engine(url)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _configure_sqlite)
        sa.event.listen(engine, "begin", _begin_immediate)
    return engine


def _configure_sqlite(connection: Any, _record: Any) -> None:  # noqa: ANN401 - SQLAlchemy's hook
    # The driver's own BEGIN comes too late (before a write, not before the reads that the write
    # depends on), so it is switched off and `_begin_immediate` sends ours.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        # Costs a few ms a commit, at one commit a second; buys that a power cut loses nothing.
        "synchronous = FULL",
        "foreign_keys = ON",
        "journal_size_limit = 67108864",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediate(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def sqlite_path(url: str) -> Path | None:
    """Return the file that a SQLite URL names; None for other databases."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return None
    return Path(parsed.database)


def _lock_file(url: str) -> IO[str] | None:
    """Take the lock that keeps a second daemon from counting everything twice."""
    path = sqlite_path(url)
    if path is None:
        return None
    lock_path = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = lock_path.open("a+")
    except OSError as error:
        raise StoreError(f"could not open {lock_path}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise StoreInUse(
            f"another Kedge (process {holder}) works on the store {path}. Stop it, "
            "or give this one a [store] url of its own"
        ) from error
    # The lock holds without a name in it, where the disk is too full for one.
    with contextlib.suppress(OSError):
        os.truncate(lock.fileno(), 0)
        os.write(lock.fileno(), f"{os.getpid()}\n".encode())
    return lock


def _check_integrity(engine: sa.Engine) -> None:
    if engine.dialect.name != "sqlite":
        return
    place = engine.url.render_as_string(hide_password=True)
    try:
        with engine.connect() as connection:
            answer = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    except sa.exc.DatabaseError as error:
        if isinstance(error, sa.exc.OperationalError):
            raise StoreUnavailable(f"could not open the store {place}: {error.orig}") from error
        raise StoreCorrupt(_corrupt_text(place, str(error.orig))) from error
    if answer != "ok":
        raise StoreCorrupt(_corrupt_text(place, str(answer)))


def _check_schema(engine: sa.Engine, *, now: float) -> None:
    place = engine.url.render_as_string(hide_password=True)
    present = {name for name in sa.inspect(engine).get_table_names() if name.startswith("kedge_")}
    if not present:
        with engine.begin() as connection:
            tables.metadata.create_all(connection)
            facts = {"schema": str(tables.SCHEMA_VERSION), "created": repr(now)}
            connection.execute(
                sa.insert(tables.meta), [{"key": k, "value": v} for k, v in facts.items()]
            )
        return
    if tables.meta.name not in present:
        raise StoreSchemaError(
            f"{place} holds tables named kedge_… but not kedge_meta: not a store of this program"
        )
    with engine.connect() as connection:
        query = sa.select(tables.meta.c.value).where(tables.meta.c.key == "schema")
        found = connection.scalar(query)
    if found != str(tables.SCHEMA_VERSION):
        raise StoreSchemaError(
            f"the store {place} has schema {found}; this Kedge needs {tables.SCHEMA_VERSION}. "
            "Use the Kedge that made it, or a new [store] url"
        )
