"""One writer a store: the lock that keeps a second one out, and the fence that stops a first.

A lock alone is not enough. Postgres frees it when the session ends, and does not tell the one
who held it: a daemon that was cut off would go on counting beside the next. So there is one row
(``kedge_writer``) with an epoch, which whoever opens the store raises, and a count of commits,
which every transaction raises. A transaction that does not find both as it left them is not of
the writer any more.

Where a lease says who may write (:mod:`monitor.deciding.leadership`), the next one does not wait
for a holder that stands still: it breaks the lock, and the fence keeps the one who wakes from
writing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Protocol

import sqlalchemy as sa

from monitor.store import tables
from monitor.store.database import (
    APPLICATION,
    classified,
    identity,
    place,
    reader_engine,
    sqlite_path,
)
from monitor.store.errors import StoreError, StoreInUse, StoreUnavailable

#: A session that was killed leaves its lock a moment later; so long is it waited for.
LOCK_WAIT_S = 2.0
LOCK_PAUSE_S = 0.05

#: A lock file that was replaced while it was being locked is opened again, at most so often.
LOCK_OPENINGS_MAX: Final = 10

#: First half of the advisory lock's key; the second tells schemas of one database apart.
LOCK_SPACE = 0x6B656467
_LOCK_OBJECT = "hashtext(current_schema())"
_HELD = "kedge_lock"
_HOLDERS: Final = (
    "FROM pg_locks l JOIN pg_stat_activity a USING (pid) "  # noqa: S608 - our own constants
    f"WHERE l.locktype = 'advisory' AND l.granted AND l.classid = {LOCK_SPACE} "
    f"AND l.objid = {_LOCK_OBJECT}::oid "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


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


def lock_of(url: str, *, over: Standing | None = None) -> Lock:
    """Take what can be taken before there is a connection, and return the lock.

    Parameters
    ----------
    over
        The writer whose lock is broken, if it has written nothing since it was seen so.

    Raises
    ------
    StoreInUse
        Another process has it.
    """
    if over is not None and standing(url) != over:
        raise StoreInUse(f"another Kedge works on the store {place(url)}: it has just written")
    path = sqlite_path(url)
    if path is None:
        return SessionLock(place(url), broken=over is not None)
    return FileLock(path, broken=over is not None)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a store says of its writer; both numbers differ after every transaction of its."""

    epoch: int
    commits: int
    holder: str


def standing(url: str) -> Standing | None:
    """Return what a store says of its writer, without a lock; None where it says nothing.

    Raises
    ------
    StoreUnavailable
        The database is away.
    """
    engine = reader_engine(url, connections_max=1)
    try:
        with engine.connect() as connection:
            if not sa.inspect(connection).has_table(tables.writer.name):
                return None
            row = connection.execute(sa.select(tables.writer)).one_or_none()
    except sa.exc.DBAPIError as error:
        raise classified(error, engine.url) from error
    finally:
        engine.dispose()
    return None if row is None else Standing(row.epoch, row.commits, row.holder)


class FileLock:
    """A lock on a file beside the database, held by the process until it ends in any way.

    A lock that is broken goes on being held, on a file that has no name any more.
    """

    def __init__(self, path: Path, *, broken: bool = False) -> None:
        self._file = _broken(path) if broken else _locked(path)

    def hold(self, connection: sa.Connection) -> None:
        """Do nothing: a file's lock does not come and go with connections."""

    def release(self) -> None:
        """Close the file."""
        self._file.close()


def _locked(path: Path) -> IO[str]:
    lock_path = path.with_name(path.name + ".lock")
    for _ in range(LOCK_OPENINGS_MAX):
        lock = _lock_file(path, lock_path)
        # Broken between the opening and the locking, it would be a lock on nothing.
        with contextlib.suppress(FileNotFoundError):
            if lock_path.stat().st_ino == os.fstat(lock.fileno()).st_ino:
                return lock
        lock.close()
    raise StoreInUse(f"other Kedges fight for the store {path}")


def _broken(path: Path) -> IO[str]:
    """Put a lock of ours in the place of one that stays held for ever."""
    lock_path = path.with_name(path.name + ".lock")
    new_path = lock_path.with_name(f"{lock_path.name}.{os.getpid()}")
    lock = _lock_file(path, new_path)
    try:
        new_path.replace(lock_path)
    except OSError as error:
        lock.close()
        raise StoreError(f"could not replace {lock_path}: {error.strerror}") from error
    return lock


def _lock_file(path: Path, lock_path: Path) -> IO[str]:
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
    open has to get the lock anew. A lock is broken by ending the session that holds it.
    """

    def __init__(self, where: str, *, broken: bool = False) -> None:
        self._where = where
        self._to_break = broken

    def hold(self, connection: sa.Connection) -> None:
        """Take the lock unless this session has it already."""
        if connection.info.get(_HELD):
            return
        if self._to_break:
            # Once: whoever has it later, in the place of our own lost session, is not the one.
            self._to_break = False
            connection.exec_driver_sql(f"SELECT pg_terminate_backend(a.pid) {_HOLDERS}")
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
        query = f"SELECT a.application_name {_HOLDERS}"
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
