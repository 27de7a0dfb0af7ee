"""Opening a store as its one writer: lock, schema and fence, or nothing at all."""

from __future__ import annotations

import sqlalchemy as sa

from monitor.store import schema
from monitor.store.database import classified, writer_engine
from monitor.store.ownership import Fence, Standing, lock_of
from monitor.store.transactions import Transactions
from rollback.steady_clock import steady_clock


def opened(url: str, *, now: float, config: str, over: Standing | None) -> Transactions:
    """Return the writer's transactions; what is raised, and the rest, as for `Store.open`."""
    began = steady_clock()
    lock = lock_of(url, over=over)
    try:
        engine = writer_engine(url)
        schema.check_integrity(engine)
        try:
            with engine.connect() as connection, connection.begin():
                lock.hold(connection)
                schema.ensure(connection, now=now, config=config)
                fence = Fence.raised(connection)
        except sa.exc.DBAPIError as error:
            raise classified(error, engine.url) from error
        except BaseException:
            engine.dispose()
            raise
    except BaseException:
        lock.release()
        raise
    return Transactions(engine, lock, fence, began)
