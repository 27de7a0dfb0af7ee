"""Which schema a store has: a fresh one is made, another one is refused with what to do."""

from __future__ import annotations

import sqlalchemy as sa

from monitor.store import tables
from monitor.store.database import corrupt_text, place
from monitor.store.errors import StoreCorrupt, StoreOutdated, StoreSchemaError, StoreUnavailable

#: A store made before there was a table of revisions: its schema is the first one.
FIRST_REVISION = "0001"


def revision(connection: sa.Connection) -> str | None:
    """Return the revision of a store's schema; None where there is no store yet.

    Raises
    ------
    StoreSchemaError
        There are tables under our names that we did not make.
    """
    names = sa.inspect(connection).get_table_names()
    present = {name for name in names if name.startswith("kedge_")}
    if not present:
        return None
    if tables.schema.name in present:
        return connection.scalar(sa.select(tables.schema.c.version_num))
    found = None
    if tables.meta.name in present:
        query = sa.select(tables.meta.c.value).where(tables.meta.c.key == "schema")
        found = connection.scalar(query)
    if found != "1":
        raise StoreSchemaError(
            f"{place(connection.engine.url)} holds tables named kedge_… that are not those of a "
            "store of this program"
        )
    return FIRST_REVISION


def make(connection: sa.Connection, *, now: float) -> None:
    """Make the tables of this version in a database that has none of ours."""
    tables.metadata.create_all(connection)
    rows: dict[sa.Table, dict[str, object]] = {
        tables.schema: {"version_num": tables.REVISION},
        tables.meta: {"key": "created", "value": repr(now)},
        tables.writer: {"id": 1, "epoch": 0, "commits": 0, "holder": ""},
    }
    for table, row in rows.items():
        connection.execute(sa.insert(table), [row])


def ensure(connection: sa.Connection, *, now: float, config: str) -> None:
    """Make a fresh store, or check that this version can use the one that is there.

    Parameters
    ----------
    config
        The configuration, as the command to type names it.

    Raises
    ------
    StoreSchemaError
        It is another version's; says what to do.
    """
    found = revision(connection)
    if found is None:
        make(connection, now=now)
    elif found != tables.REVISION:
        raise mismatch(place(connection.engine.url), found, config)


def mismatch(where: str, found: str, config: str) -> StoreSchemaError:
    """Return what to say of a store with another schema than ours."""
    said = f"the store {where} has schema {found}; this Kedge needs {tables.REVISION}."
    # Revisions are numbers of four digits, so they sort as they follow one another.
    if found < tables.REVISION:
        return StoreOutdated(f"{said} Stop what uses it and type: kedge db upgrade -c {config}")
    return StoreSchemaError(f"{said} Use the Kedge that made it, or a new [store] url")


def check_integrity(engine: sa.Engine) -> None:
    """Refuse a damaged SQLite file.

    Raises
    ------
    StoreCorrupt, StoreUnavailable
        As their names say.
    """
    if engine.dialect.name != "sqlite":
        return
    where = place(engine.url)
    try:
        with engine.connect() as connection:
            answer = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    except sa.exc.DatabaseError as error:
        if isinstance(error, sa.exc.OperationalError):
            raise StoreUnavailable(f"could not open the store {where}: {error.orig}") from error
        raise StoreCorrupt(corrupt_text(where, str(error.orig))) from error
    if answer != "ok":
        raise StoreCorrupt(corrupt_text(where, str(answer)))
