"""Transactions of the one writer, whose end is known even when the answer to COMMIT is lost.

A connection that is cut while it commits leaves two possibilities, and guessing either way
loses a change or counts it twice. Every transaction raises the count in ``kedge_writer``, so
the row says which it was. Until it can be read, nothing else is written.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from monitor.store.database import classified, never_silent
from monitor.store.errors import StoreUnavailable
from monitor.store.ownership import Fence, Lock, hold_again
from rollback.steady_clock import steady_clock

#: So long is an unknown end asked for at once; a database that is away longer is asked again
#: before the next transaction.
SETTLE_S = 5.0
SETTLE_PAUSE_S = 0.05

#: Changes that took effect although their commit was reported as failed, until they are tried
#: again. Whoever tries again does so with the next commit, so there are hardly ever two.
EFFECTIVE_MAX = 100


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A commit whose end is unknown; `change` is what it wrote, None if nobody tries again."""

    change: object | None


class Transactions:
    """The writer's connection, under its lock and fence. Belongs to one thread.

    Attributes
    ----------
    confirmed
        When the last transaction that certainly took effect was begun, by
        :func:`rollback.steady_clock.steady_clock`: then we were the writer still.
    """

    def __init__(self, engine: sa.Engine, lock: Lock, fence: Fence, began: float) -> None:
        self.confirmed = began
        self._engine = engine
        self._lock = lock
        self._fence = fence
        self._doubt: _Doubt | None = None
        self._effective: deque[object] = deque(maxlen=EFFECTIVE_MAX)

    def close(self) -> None:
        """Let the connection go, then the lock."""
        self._engine.dispose()
        self._lock.release()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Yield a connection to read from."""
        try:
            with self._engine.connect() as connection, never_silent(connection):
                yield connection
        except sa.exc.DBAPIError as error:
            raise classified(error, self._engine.url) from error

    @contextlib.contextmanager
    def writing(self, change: object | None = None) -> Iterator[sa.Connection]:
        """Like ``engine.begin()``, for the writer only, and sure of its end.

        Parameters
        ----------
        change
            What is written, if its writer tries again with the same object;
            :meth:`took_effect` then tells that it need not.

        Raises
        ------
        StoreUnavailable
            Nothing was written, or it will be found out before the next transaction.
        StoreInUse, StoreError
            This process is not the writer any more.
        """
        self._settle()
        began = steady_clock()
        committing = False
        try:
            with (
                self._engine.connect() as connection,
                never_silent(connection),
                connection.begin(),
            ):
                self._fence.enter(connection)
                hold_again(self._lock, connection)
                yield connection
                committing = True
        except sa.exc.DBAPIError as error:
            if not committing:
                raise classified(error, self._engine.url) from error
            self._doubt = _Doubt(change)
            if not self._ask_for_a_while():
                raise classified(error, self._engine.url) from error
        else:
            self._fence.commits += 1
            self.confirmed = began

    def took_effect(self, change: object) -> bool:
        """Whether a change whose commit was reported as failed is in the store after all.

        Raises
        ------
        StoreUnavailable
            It cannot be told yet.
        """
        self._settle()
        for one in self._effective:
            if one is change:
                self._effective.remove(one)
                return True
        return False

    def _settle(self) -> None:
        if self._doubt is None:
            return
        change = self._doubt.change
        if self._ask() and change is not None:
            self._effective.append(change)

    def _ask_for_a_while(self) -> bool:
        ends = time.monotonic() + SETTLE_S
        while True:
            try:
                return self._ask()
            except StoreUnavailable:
                if time.monotonic() > ends:
                    raise
                time.sleep(SETTLE_PAUSE_S)

    def _ask(self) -> bool:
        with self.reading() as connection, connection.begin():
            effective = self._fence.check(connection)
            hold_again(self._lock, connection)
        self._doubt = None
        self._fence.commits += effective
        return effective
