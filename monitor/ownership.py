"""One writer a store: the lock that keeps a second one out, and the fence that stops a first.

A lock alone is not enough. Postgres frees it when the session ends, and does not tell the one
who held it: a daemon that was cut off would go on counting beside the next. So there is one row
(``kedge_writer``) with an epoch, which whoever opens the store raises, and a count of commits,
which every transaction raises. A transaction that does not find both as it left them is not of
the writer any more.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import sqlalchemy as sa

from monitor import tables
from monitor.database import APPLICATION, identity, place, sqlite_path
from monitor.store_errors import StoreError, StoreInUse, StoreUnavailable

#: A session that was killed leaves its lock a moment later; so long is it waited for.
LOCK_WAIT_S = 2.0
LOCK_PAUSE_S = 0.05

#: First half of the advisory lock's key; the second tells schemas of one database apart.
LOCK_SPACE = 0x6B656467
_LOCK_OBJECT = "hashtext(current_schema())"
_HELD = "kedge_lock"


class Lock(Protocol):
    """Keeps every other Kedge out of a store."""

    def hold(self, connection: sa.Connection) -> None:
        """Make sure that this connection's session has the lock.

        Raises
        ------
        StoreInUse
            Another one has it.
        """

    def release(self) -> None:
        """Let it go."""


def lock_of(url: str) -> Lock:
    """Take what can be taken before there is a connection, and return the lock.

    Raises
    ------
    StoreInUse
        Another process has it.
    """
    path = sqlite_path(url)
    return SessionLock(place(url)) if path is None else FileLock(path)


class FileLock:
    """A lock on a file beside the database, held by the process until it ends in any way."""

    def __init__(self, path: Path) -> None:
        self._file = _locked(path)

    def hold(self, connection: sa.Connection) -> None:
        """Do nothing: a file's lock does not come and go with connections."""

    def release(self) -> None:
        """Close the file."""
        self._file.close()


def _locked(path: Path) -> IO[str]:
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


class SessionLock:
    """Postgres's advisory lock, held by the very session that writes.

    A session that is lost takes the lock and the means to write with it; the next one that we
    open has to get the lock anew.
    """

    def __init__(self, where: str) -> None:
        self._where = where

    def hold(self, connection: sa.Connection) -> None:
        """Take the lock unless this session has it already."""
        if connection.info.get(_HELD):
            return
        statement = f"SELECT pg_try_advisory_lock({LOCK_SPACE}, {_LOCK_OBJECT})"
        ends = time.monotonic() + LOCK_WAIT_S
        while not connection.exec_driver_sql(statement).scalar():
            if time.monotonic() > ends:
                raise StoreInUse(
                    f"another Kedge ({self._holder(connection)}) works on the store "
                    f"{self._where}. Stop it, or give this one a [store] url of its own"
                )
            time.sleep(LOCK_PAUSE_S)
        # Of the session, not of the transaction; gone with it when the pool connects again.
        connection.info[_HELD] = True

    def release(self) -> None:
        """Do nothing: the lock ends with the session."""

    def _holder(self, connection: sa.Connection) -> str:
        query = (
            "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid) "  # noqa: S608 - our own constants
            f"WHERE l.locktype = 'advisory' AND l.granted AND l.classid = {LOCK_SPACE} "
            f"AND l.objid = {_LOCK_OBJECT}::oid "
            "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        found = connection.exec_driver_sql(query).scalar()
        return found.removeprefix(APPLICATION) if found else "unknown"


@dataclass(slots=True)
class Fence:
    """What the writer left in its row.

    Parameters
    ----------
    epoch
        Raised by whoever opens the store.
    commits
        Transactions since the store was made, as far as this writer knows.
    """

    epoch: int
    commits: int

    @classmethod
    def raised(cls, connection: sa.Connection) -> Fence:
        """Become the writer: from here on, transactions of any before us fail."""
        table = tables.writer
        # For update: a transaction of the writer before us ends before we look.
        row = connection.execute(sa.select(table).with_for_update()).one_or_none()
        if row is None:
            raise StoreError(
                f"the store {place(connection.engine.url)} lacks its row in {table.name}"
            )
        fence = cls(row.epoch + 1, row.commits)
        connection.execute(sa.update(table).values(epoch=fence.epoch, holder=identity()))
        return fence

    def enter(self, connection: sa.Connection) -> None:
        """Begin a writer's transaction: raise the count, if we are the writer still.

        Raises
        ------
        StoreInUse
            Another Kedge has taken the store over.
        StoreError
            The store is not what we left.
        """
        table = tables.writer
        mine = sa.and_(table.c.epoch == self.epoch, table.c.commits == self.commits)
        raised = connection.execute(
            sa.update(table).where(mine).values(commits=self.commits + 1)
        ).rowcount
        if raised != 1 and self.check(connection):
            raise StoreError(_not_as_left(connection))

    def check(self, connection: sa.Connection) -> bool:
        """Whether a transaction of ours whose answer was lost took effect.

        Waits for the session it was on to end it, one way or the other.

        Raises
        ------
        StoreInUse, StoreError
            As for :meth:`enter`.
        """
        row = connection.execute(sa.select(tables.writer).with_for_update()).one_or_none()
        if row is not None and row.epoch > self.epoch:
            where = place(connection.engine.url)
            raise StoreInUse(f"another Kedge ({row.holder}) has taken over the store {where}")
        if row is None or row.epoch < self.epoch or row.commits - self.commits not in (0, 1):
            raise StoreError(_not_as_left(connection))
        return bool(row.commits - self.commits)


def _not_as_left(connection: sa.Connection) -> str:
    return (
        f"the store {place(connection.engine.url)} is not what this process left there; was a "
        "copy restored? Start Kedge again: it reads on from what the store holds"
    )


def hold_again(lock: Lock, connection: sa.Connection) -> None:
    """Get the lock back after a lost connection; not getting it yet is bad weather.

    Our own lost session may still have it. If it is another Kedge's, the fence says so.

    Raises
    ------
    StoreUnavailable
        Somebody has it.
    """
    try:
        lock.hold(connection)
    except StoreInUse as error:
        raise StoreUnavailable(str(error)) from error
