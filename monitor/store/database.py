"""Connecting: which database a URL names, with which settings, and what its errors mean.

The same code writes to SQLite and to Postgres; what differs between them is here, and in how a
store is kept to one writer (:mod:`monitor.store.ownership`).
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from monitor.store.errors import StoreCorrupt, StoreError, StoreUnavailable

#: A locked database is waited for this long before the commit counts as failed.
BUSY_TIMEOUT_MS = 5_000

#: How long Postgres may take to accept a connection.
CONNECT_TIMEOUT_S = 5
#: The server ends a statement that takes longer, and a transaction that has fallen silent:
#: what a dead client left open must not lock the next one out.
STATEMENT_TIMEOUT_MS = 15_000
IDLE_IN_TRANSACTION_MS = 30_000
#: We end a connection on which a transaction takes longer. The server's own limits do not help
#: when the server, or the network to it, has stopped: a call with none hangs for ever.
SILENCE_MAX_S = 20.0

#: How our sessions begin their name, for whoever lists them.
APPLICATION = "kedge "

_POSTGRES: Final = "postgresql+psycopg"
_ALIASES: Final = frozenset({"postgres", "postgresql", _POSTGRES})
_DRIVER_MISSING = (
    "a store on Postgres needs the driver psycopg, which is not installed here: "
    "pip install 'kedge[postgres]'"
)


def parsed(url: str) -> sa.URL:
    """Return a URL as SQLAlchemy's, Postgres under its driver's name.

    Raises
    ------
    StoreError
        It is no URL of a database that a store can be in; does not repeat it (passwords).
    """
    try:
        found = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise StoreError("[store] url is not the URL of a database") from error
    if found.drivername in _ALIASES:
        return found.set(drivername=_POSTGRES)
    if found.get_backend_name() != "sqlite":
        raise StoreError(
            f"a store cannot be in {found.drivername}: expected sqlite:///FILE or postgresql://…"
        )
    return found


def place(url: str | sa.URL) -> str:
    """Return a URL as it may be shown: without password and options."""
    found = parsed(url) if isinstance(url, str) else url
    if found.get_backend_name() == "postgresql":
        found = found.set(drivername="postgresql", query={})
    return found.render_as_string(hide_password=True)


def sqlite_path(url: str | sa.URL) -> Path | None:
    """Return the file that a SQLite URL names; None for other databases."""
    found = parsed(url) if isinstance(url, str) else url
    if found.get_backend_name() != "sqlite" or not found.database:
        return None
    return Path(found.database)


def writer_engine(url: str) -> sa.Engine:
    """Return an engine of exactly one connection, whose transactions lock from their begin.

    Raises
    ------
    StoreError
        The URL is none of ours, or the driver is not installed.
    """
    found = parsed(url)
    if found.get_backend_name() == "sqlite":
        engine = sa.create_engine(found)
        sa.event.listen(engine, "connect", _configure_sqlite)
        sa.event.listen(engine, "begin", _begin_immediate)
        return engine
    # A standby answers reads and refuses writes; better to look for the primary at once.
    arguments = _postgres_arguments() | {"target_session_attrs": "read-write"}
    return _postgres_engine(found, arguments, pool_size=1)


def reader_engine(url: str, *, connections_max: int) -> sa.Engine:
    """Return an engine that cannot write, by the database's word and not by ours."""
    found = parsed(url)
    path = sqlite_path(found)
    if path is not None:
        address = f"sqlite:///file:{path.resolve()}?mode=ro&uri=true"
        return sa.create_engine(address, pool_size=connections_max, max_overflow=0)
    arguments = _postgres_arguments()
    arguments["options"] += " -c default_transaction_read_only=on"
    return _postgres_engine(found, arguments, pool_size=connections_max, pool_pre_ping=True)


def _postgres_engine(url: sa.URL, arguments: dict[str, Any], **settings: Any) -> sa.Engine:  # noqa: ANN401 - SQLAlchemy's own
    # What the URL says wins over what we would say.
    given = {key: value for key, value in arguments.items() if key not in url.query}
    if "options" in url.query:
        given["options"] = f"{arguments['options']} {url.query['options']}"
    try:
        return sa.create_engine(url, connect_args=given, max_overflow=0, **settings)
    except ImportError as error:  # psycopg, or the libpq that it wraps
        raise StoreError(_DRIVER_MISSING) from error


def _postgres_arguments() -> dict[str, Any]:
    options = {
        "statement_timeout": STATEMENT_TIMEOUT_MS,
        "lock_timeout": BUSY_TIMEOUT_MS,
        "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_MS,
        # The server's side of it: a client whose machine has died frees the store soon.
        "tcp_keepalives_idle": 10,
        "tcp_keepalives_interval": 5,
        "tcp_keepalives_count": 3,
    }
    return {
        "application_name": f"{APPLICATION}{identity()}"[:63],  # longer ones are cut, loudly
        "connect_timeout": CONNECT_TIMEOUT_S,
        "keepalives": 1,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 15_000,
        "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
    }


def identity() -> str:
    """Who we are to others who want the same store."""
    return f"process {os.getpid()} on {socket.gethostname()}"


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


@contextlib.contextmanager
def never_silent(connection: sa.Connection) -> Iterator[None]:
    """Cut a Postgres connection on which the block takes longer than `SILENCE_MAX_S`.

    The call that waits on it then fails like on any other lost connection. libpq has no such
    limit of its own: it waits for an answer as long as the peer's kernel acknowledges packets.
    """
    if connection.dialect.name != "postgresql":
        yield
        return
    watch = threading.Timer(SILENCE_MAX_S, _cut, (connection.connection.dbapi_connection,))
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()


def _cut(driver_connection: Any) -> None:  # noqa: ANN401 - psycopg's, which may not be installed
    # It may have been closed meanwhile: then there is nothing to cut.
    with contextlib.suppress(Exception):
        # A copy of the descriptor: closing ours leaves the driver's to the driver.
        peer = socket.socket(fileno=os.dup(driver_connection.pgconn.socket))
        with peer:
            peer.shutdown(socket.SHUT_RDWR)


def classified(error: sa.exc.DBAPIError, url: sa.URL) -> StoreError:
    """Return what a driver's error means for the store."""
    text = " ".join(str(error.orig).split())
    if "malformed" in text or "not a database" in text:
        return StoreCorrupt(corrupt_text(place(url), text))
    if _may_pass(error):
        return StoreUnavailable(f"could not use the store {place(url)}: {text}")
    return StoreError(f"could not use the store {place(url)}: {text}")


def _may_pass(error: sa.exc.DBAPIError) -> bool:
    if isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError):
        return True
    # The primary has become a standby under us.
    return error.connection_invalidated or getattr(error.orig, "sqlstate", None) == "25006"


def corrupt_text(where: str, why: str) -> str:
    """Return what to tell of a damaged file."""
    return (
        f"the store {where} is damaged ({why}). Kedge leaves it as it is. Move it aside, with its "
        "-wal and -shm files, to start a new one; the logs are then read from their beginning"
    )
