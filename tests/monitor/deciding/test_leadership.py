"""The place of the one who writes a store: waited for, taken over, and lost for good."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from monitor.deciding.leadership import Door, LeaseLostError, StoreOffice
from monitor.store.ownership import standing
from monitor.store.store import Store, StoreInUse, StoreUnavailable
from rollback.lease import LeaseTimes
from rollback.steady_clock import steady_clock
from tests.monitor.daemon import eventually

TIMES = LeaseTimes(duration_s=15, renew_deadline_s=10, retry_s=2)


@dataclass
class Clock:
    """The steady clock, ahead by what a test says."""

    ahead_s: float = 0.0

    def __call__(self) -> float:
        return steady_clock() + self.ahead_s


@dataclass
class Waiter:
    """Somebody before the door, and his clock."""

    door: Door
    clock: Clock

    async def after(self, seconds: float) -> Store | None:
        self.clock.ahead_s += seconds
        return await self.door.enter()


@pytest.fixture
async def waiter(url: str) -> AsyncIterator[Waiter]:
    clock = Clock()
    door = Door(url, "FILE", TIMES, clock)
    yield Waiter(door, clock)
    door.writer.close()


async def test_a_free_store_is_entered_at_once(waiter: Waiter) -> None:
    store = await waiter.after(0)

    assert store is not None
    store.close()


async def test_a_writer_that_stands_still_is_put_out_after_the_lease_and_writes_no_more(
    waiter: Waiter, url: str
) -> None:
    first = Store.open(url)

    early = [await waiter.after(0), await waiter.after(TIMES.duration_s - 5)]
    late = await waiter.after(6)

    assert early == [None, None]
    assert late is not None
    late.renew()
    # The first to notice may be the connection, which the database has ended.
    with pytest.raises((StoreInUse, StoreUnavailable)):
        first.renew()
    with pytest.raises(StoreInUse, match="taken over"):
        first.renew()
    late.renew()
    first.close()
    late.close()


async def test_a_writer_that_writes_is_waited_for(waiter: Waiter, url: str) -> None:
    with_writer: list[Store | None] = []
    first = Store.open(url)

    for _ in range(4):
        with_writer.append(await waiter.after(TIMES.duration_s - 1))
        first.renew()

    assert with_writer == [None] * 4
    first.close()
    free = await waiter.after(0)
    assert free is not None
    free.close()


async def test_a_writer_that_wrote_since_it_was_seen_is_not_put_out(url: str) -> None:
    first = Store.open(url)
    seen = standing(url)
    first.renew()

    with pytest.raises(StoreInUse, match="just written"):
        Store.open(url, over=seen)

    first.renew()
    first.close()


async def test_a_third_finds_the_store_in_use_by_the_second(waiter: Waiter, url: str) -> None:
    first = Store.open(url)
    await waiter.after(0)
    second = await waiter.after(TIMES.duration_s)
    assert second is not None

    with pytest.raises(StoreInUse):
        Store.open(url)

    second.renew()
    first.close()
    second.close()


async def test_who_cannot_renew_gives_up_before_anybody_else_may_begin(sqlite_url: str) -> None:
    clock = Clock()
    office = StoreOffice(Door(sqlite_url, "FILE", LeaseTimes(0.5, 0.3, 0.05), clock))
    store = await office.enter(asyncio.Event())
    assert store is not None

    clock.ahead_s = 0.4

    assert not office.permit(0.0)
    with pytest.raises(LeaseLostError, match="could not be renewed"):
        await office.keep()
    store.close()
    office.writer.close()


async def test_who_keeps_the_place_writes_though_nothing_else_does(sqlite_url: str) -> None:
    office = StoreOffice(Door(sqlite_url, "FILE", LeaseTimes(30, 20, 0.01)))
    store = await office.enter(asyncio.Event())
    assert store is not None
    begins = standing(sqlite_url)
    assert begins is not None

    keeping = asyncio.create_task(office.keep())
    await asyncio.to_thread(
        eventually, lambda: _commits(sqlite_url) >= begins.commits + 3, what="three transactions"
    )
    keeping.cancel()

    assert office.permit(5.0)
    await asyncio.gather(keeping, return_exceptions=True)
    office.writer.close()
    store.close()


def _commits(url: str) -> int:
    found = standing(url)
    return 0 if found is None else found.commits


async def test_who_is_asked_to_stop_while_waiting_takes_nothing(url: str) -> None:
    first = Store.open(url)
    before = standing(url)
    office = StoreOffice(Door(url, "FILE", LeaseTimes(30, 20, 0.01)))
    stop = asyncio.Event()

    waiting = asyncio.create_task(office.enter(stop))
    await asyncio.sleep(0)
    stop.set()

    assert await waiting is None
    assert standing(url) == before
    office.writer.close()
    first.close()
