"""One Kedge works and others wait for its place: taking it, keeping it, ending when it is lost.

What a lease is stands in :mod:`rollback.lease`. Whoever takes the place opens the store, over the
one who had it before if need be; from then on the fence (:mod:`monitor.store.ownership`) refuses
the other's transactions. A lease that cannot be renewed in time ends the process: nothing is
undone, and what is open in the journal is taken up by the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Protocol

from monitor.metrics.lease import LeaseEvent
from monitor.settings.settings import Settings
from monitor.store.errors import StoreInUse, StoreUnavailable
from monitor.store.ownership import Standing, standing
from monitor.store.store import Store
from monitor.store.writer import Writer
from rollback.kubernetes.answers import KubernetesError
from rollback.kubernetes.client import KubernetesClient
from rollback.kubernetes.config import KubernetesConfigError, find_config
from rollback.kubernetes.lease import KubernetesLease, LeaseRead
from rollback.lease import Claim, LeaseTimes, Tenure, Waiting
from rollback.lease_settings import LeaseSettings
from rollback.steady_clock import steady_clock

log = logging.getLogger("kedge.lease")

#: For one call that is about the Lease; several of them fit before the renewal is overdue.
CALL_TIMEOUT_S = 3.0


class LeaseLostError(RuntimeError):
    """Somebody else may act from now on, so this process must not; it ends."""


class Office(Protocol):
    """The place of the one who works."""

    @property
    def events(self) -> Counter[LeaseEvent]:
        """How often what has become of the lease."""

    @property
    def writer(self) -> Writer:
        """The thread that the store belongs to."""

    async def enter(self, stop: asyncio.Event) -> Store | None:
        """Wait for the place, and take it; None if asked to stop before."""

    def permit(self, call_s: float) -> bool:
        """Whether a change that takes at most so many seconds may begin now."""

    async def keep(self) -> None:
        """Renew until cancelled.

        Raises
        ------
        LeaseLostError, monitor.store.errors.StoreInUse
            The place is lost.
        """

    async def leave(self) -> None:
        """Let the next one in at once, if the place is ours still; the store is closed by then."""


def office_of(settings: Settings) -> Office | None:
    """Return the place to be taken; None where no lease is configured."""
    lease = settings.rollback.lease
    config = "FILE" if settings.path is None else str(settings.path)
    door = Door(settings.store.url, config, lease.times)
    if lease.kind == "off":
        return None
    return StoreOffice(door) if lease.kind == "store" else KubernetesOffice(door, lease)


class Door:
    """The way into the store: as any Kedge where it is free, over a writer that stands still."""

    def __init__(
        self, url: str, config: str, times: LeaseTimes, clock: Callable[[], float] = steady_clock
    ) -> None:
        self.times = times
        self.clock = clock
        self.writer = Writer()
        self.took_over = False
        self._url = url
        self._config = config
        self._waiting = Waiting()
        self._seen: Standing | None = None
        self._told = ""

    async def look(self) -> None:
        """Note whether the writer has written since the last look."""
        self._seen = await asyncio.to_thread(standing, self._url)
        if self._seen is not None:
            mark = f"{self._seen.epoch}.{self._seen.commits}"
            claim = Claim(self._seen.holder or "nobody", mark)
            self._waiting = self._waiting.saw(claim, self.clock())

    async def enter(self) -> Store | None:
        """Try once; None if there is a writer, or the database is away.

        Raises
        ------
        monitor.store.errors.StoreError
            The store cannot be used, whoever tries.
        """
        try:
            try:
                return await self._open(None)
            except StoreInUse as error:
                self.tell(f"waiting: {error}")
            await self.look()
            if self._seen is None or not self._waiting.may_take(self.times, self.clock()):
                return None
            store = await self._open(self._seen)
        except StoreInUse as error:
            self.tell(f"waiting: {error}")
            return None
        except StoreUnavailable as error:
            self.tell(f"waiting: {error}")
            return None
        self.took_over = True
        log.warning(
            "took the store over from %s, which has not written for %g s",
            self._seen.holder,
            self.times.duration_s,
        )
        return store

    async def _open(self, over: Standing | None) -> Store:
        opened = partial(Store.open, self._url, config=self._config, over=over)
        return await self.writer.run(opened)

    def tell(self, words: str) -> None:
        """Log something new."""
        if words != self._told:
            log.info("%s", words)
        self._told = words


class StoreOffice:
    """The store's own row is the lease: every transaction renews it, also an empty one."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._store: Store | None = None
        self.events: Counter[LeaseEvent] = Counter()

    @property
    def writer(self) -> Writer:
        """The thread that the store belongs to."""
        return self._door.writer

    async def enter(self, stop: asyncio.Event) -> Store | None:
        """Wait for the store."""
        while not stop.is_set():
            self._store = await self._door.enter()
            if self._store is not None:
                self.events["taken_over"] += self._door.took_over
                return self._store
            await _pause(stop, self._door.times.retry_s)
        return None

    def permit(self, call_s: float) -> bool:
        """Go by the last transaction that took effect."""
        return self._store is not None and self._tenure().allows(call_s, self._door.clock())

    async def keep(self) -> None:
        """Write when nothing else was written for a while."""
        times, clock = self._door.times, self._door.clock
        assert self._store is not None  # noqa: S101 - entered before it is kept
        renewing: asyncio.Future[None] | None = None
        while True:
            await asyncio.sleep(times.retry_s)
            if self._tenure().over(clock()):
                self.events["lost"] += 1
                raise LeaseLostError(_lost("the store", times))
            if renewing is None and clock() - self._store.confirmed >= times.retry_s:
                # Not waited for: the database may be silent, and this has to end in time.
                renewing = asyncio.ensure_future(self._door.writer.run(self._store.renew))
            if renewing is not None and renewing.done():
                try:
                    renewing.result()
                except StoreUnavailable:
                    self.events["unrenewed"] += 1
                renewing = None

    async def leave(self) -> None:
        """Do nothing: a store that was closed is free."""

    def _tenure(self) -> Tenure:
        assert self._store is not None  # noqa: S101 - entered before it acts
        return Tenure(self._door.times, self._store.confirmed)


class KubernetesOffice:
    """A Lease of Kubernetes is the lease; the store is entered after it."""

    def __init__(self, door: Door, settings: LeaseSettings) -> None:
        self._door = door
        self._settings = settings
        self.events: Counter[LeaseEvent] = Counter()
        self._me = f"{socket.gethostname()}_{secrets.token_hex(4)}"
        self._waiting = Waiting()
        self._held: LeaseRead | None = None
        self._tenure: Tenure | None = None
        self._lease: KubernetesLease | None = None
        self._client: KubernetesClient | None = None
        self._renewing: asyncio.Task[None] | None = None

    @property
    def writer(self) -> Writer:
        """The thread that the store belongs to."""
        return self._door.writer

    async def enter(self, stop: asyncio.Event) -> Store | None:
        """Wait for the Lease, then for the store."""
        await self._connect()
        while not stop.is_set():
            if self._held is None:
                await self._try()
            elif self._renewing is not None and self._renewing.done():
                self._renewing.result()
            if self._held is not None:
                store = await self._door.enter()
                if store is not None:
                    return store
            await _pause(stop, self._door.times.retry_s)
        await self.leave()
        return None

    def permit(self, call_s: float) -> bool:
        """Go by the last renewal."""
        return self._tenure is not None and self._tenure.allows(call_s, self._door.clock())

    async def keep(self) -> None:
        """Wait for the renewing, which began with the Lease, to end."""
        assert self._renewing is not None  # noqa: S101 - entered before it is kept
        await asyncio.shield(self._renewing)

    async def leave(self) -> None:
        """Give the Lease up, if it is ours for certain."""
        if self._renewing is not None:
            self._renewing.cancel()
            with contextlib.suppress(asyncio.CancelledError, LeaseLostError):
                await self._renewing
        if self._held is not None and self._lease is not None and self.permit(CALL_TIMEOUT_S):
            with contextlib.suppress(KubernetesError, KubernetesConfigError):
                await self._lease.give_up(self._held)
                log.info("gave up %s", self._lease)
        if self._client is not None:
            await self._client.__aexit__()

    async def _connect(self) -> None:
        settings, times = self._settings, self._door.times
        config = find_config(settings.kubeconfig_path, settings.context)
        timeout_s = min(CALL_TIMEOUT_S, times.renew_deadline_s / 3)
        self._client = await KubernetesClient(config, timeout_s=timeout_s).__aenter__()
        namespace = settings.namespace or config.namespace
        self._lease = KubernetesLease(
            self._client, namespace, settings.name, me=self._me, times=times
        )

    async def _try(self) -> None:
        """Look at the Lease, and take it if it is free."""
        assert self._lease is not None  # noqa: S101 - connected before
        clock = self._door.clock
        with contextlib.suppress(StoreUnavailable):
            await self._door.look()
        try:
            read = await self._lease.read()
            self._waiting = self._waiting.saw(read.claim, clock())
            ours = read.claim.holder == self._me
            if not ours and not self._waiting.may_take(self._door.times, clock()):
                self._door.tell(f"waiting: {read.claim.holder} holds {self._lease}")
                return
            began = clock()
            taken = await (self._lease.renew(read) if ours else self._lease.take(read))
        except (KubernetesError, KubernetesConfigError) as error:
            self._door.tell(f"waiting for {self._lease}: {error}")
            return
        if taken is not None:
            self.events["taken_over"] += bool(read.claim.holder) and not ours
            log.info("holds %s, tenure %d", self._lease, taken.transitions)
            self._held, self._tenure = taken, Tenure(self._door.times, began)
            self._renewing = asyncio.create_task(self._renew(), name="renewing the lease")

    async def _renew(self) -> None:
        times, clock = self._door.times, self._door.clock
        while True:
            await asyncio.sleep(times.retry_s)
            assert self._tenure is not None  # noqa: S101 - taken before
            left_s = self._tenure.confirmed + times.renew_deadline_s - clock()
            try:
                async with asyncio.timeout(max(left_s, 0.0)):
                    await self._renew_once()
            except (KubernetesError, KubernetesConfigError, TimeoutError) as error:
                self.events["unrenewed"] += 1
                log.warning("%s was not renewed: %s", self._lease, error or "no answer in time")
            if self._tenure.over(clock()):
                self._lose()
                raise LeaseLostError(_lost(str(self._lease), times))

    async def _renew_once(self) -> None:
        assert self._lease is not None  # noqa: S101 - connected before
        assert self._held is not None  # noqa: S101 - taken before
        assert self._tenure is not None  # noqa: S101 - taken before
        began = self._door.clock()
        renewed = await self._lease.renew(self._held)
        if renewed is None:
            # Written since it was read: by ourselves, if an answer was lost.
            found = await self._lease.read()
            if found.claim.holder != self._me or found.transitions != self._held.transitions:
                self._lose()
                holder = found.claim.holder or "nobody"
                raise LeaseLostError(f"{holder} holds {self._lease} now; this process ends")
            self._held, began = found, self._door.clock()
            renewed = await self._lease.renew(found)
        if renewed is not None:
            self._held = renewed
            self._tenure = self._tenure.renewed(began)

    def _lose(self) -> None:
        self._tenure = None
        self.events["lost"] += 1


def _lost(what: str, times: LeaseTimes) -> str:
    return (
        f"{what} could not be renewed for {times.renew_deadline_s:g} s, and in a moment somebody "
        "else may act; this process ends, and what is open is taken up by the next"
    )


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    jittered_s = seconds * (1 + secrets.randbelow(200) / 1000)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(jittered_s):
            await stop.wait()
