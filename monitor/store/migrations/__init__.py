"""Bringing an older store up to date: Alembic's revisions, without its files of settings.

Each file under ``versions`` is one step. A fresh store is made at the last one at once, from
:mod:`monitor.store.tables`; a test holds the two ways to the same schema. Alembic costs half a
second to import, so `kedge run` never does: it compares one name.

What belongs here: changes of the schema, and moving rows into it. What does not: anything that
imports :mod:`monitor.store.tables`, because a step must do tomorrow what it does today.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from monitor.store import schema, tables
from monitor.store.database import classified, place, writer_engine
from monitor.store.ownership import lock_of


@dataclass(frozen=True, slots=True)
class Upgraded:
    """What an upgrade did.

    Parameters
    ----------
    place
        The store, as it may be shown.
    before
        Its revision; None for one that was not there.
    after
        Its revision now.
    """

    place: str
    before: str | None
    after: str


def upgrade(url: str, *, clock: Callable[[], float] = time.time) -> Upgraded:
    """Bring a store to this version's schema, in one transaction; make one that is not there.

    Raises
    ------
    monitor.store.errors.StoreError
        A Kedge is using it, it is newer than we are, or the database refuses; it is as it was.
    """
    lock = lock_of(url)
    try:
        engine = writer_engine(url)
        schema.check_integrity(engine)
        try:
            with engine.connect() as connection, connection.begin():
                lock.hold(connection)
                return _upgrade(connection, now=clock())
        except sa.exc.DBAPIError as error:
            raise classified(error, engine.url) from error
        finally:
            engine.dispose()
    finally:
        lock.release()


def _upgrade(connection: sa.Connection, *, now: float) -> Upgraded:
    before = schema.revision(connection)
    where = place(connection.engine.url)
    if before is None:
        schema.make(connection, now=now)
    elif before > tables.REVISION:
        raise schema.mismatch(where, before, "FILE")
    elif before < tables.REVISION:
        if connection.dialect.name == "postgresql":
            # Moving the rows of a month takes as long as it takes.
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        migrate(connection, before, tables.REVISION)
    return Upgraded(where, before, tables.REVISION)


def scripts() -> ScriptDirectory:
    """Return the steps."""
    return ScriptDirectory(str(Path(__file__).parent))


def migrate(connection: sa.Connection, before: str | None, after: str) -> None:
    """Take the steps from one revision (None: no tables at all) to another."""
    steps = scripts()

    def plan(revision: object, _context: MigrationContext) -> list[object]:
        return steps._upgrade_revs(after, revision)  # type: ignore[arg-type,return-value]  # noqa: SLF001 - Alembic's own commands plan so

    context = MigrationContext.configure(connection, opts={"version_table": tables.schema.name})
    if before is not None and context.get_current_revision() is None:
        # A store of the first revision, which had no table of revisions.
        context.stamp(steps, before)
    with EnvironmentContext(Config(), steps, fn=plan, destination_rev=after) as environment:
        environment.configure(
            connection=connection, version_table=tables.schema.name, transactional_ddl=True
        )
        environment.run_migrations()
