"""Telling people: a bounded queue for each channel, and tries with limits.

The decision never waits. A notice that cannot be sent is tried again, then given up; one too many
pushes the oldest out. Both are counted. What waits when the daemon ends has a few seconds, and is
lost then: the journal is the record.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

from monitor.metrics.catalogue import Metrics
from monitor.notifications.notices import Notice
from monitor.notifications.senders import NotSentError, Sender, sender_of
from monitor.settings.notify import NoticeSettings
from monitor.settings.secret import SecretUnreadableError

log = logging.getLogger("kedge.notify")

#: Notices that may wait for a channel.
WAITING_MAX: Final = 100
ATTEMPTS_MAX: Final = 6
#: Before the second try; doubled before each further one.
PAUSE_S: Final = 1.0
PAUSE_S_MAX: Final = 60.0
#: How long what waits may take when the daemon ends.
STOP_S: Final = 3.0


class Channel:
    """One channel: what waits for it, and the one that is being sent.

    Parameters
    ----------
    name
        What metrics and the log call it.
    pause_s
        Before the second try, seconds.
    """

    def __init__(
        self, name: str, settings: NoticeSettings, metrics: Metrics, *, pause_s: float = PAUSE_S
    ) -> None:
        self.name = name
        self._events = frozenset(settings.events)
        self._sender: Sender = sender_of(settings)
        self._metrics = metrics
        self._pause_s = pause_s
        self._waiting: deque[Notice] = deque()
        self._come = asyncio.Event()
        self._sent = asyncio.Event()
        self._sent.set()

    def put(self, notice: Notice) -> None:
        """Let a notice wait to be sent, if it is one of those that are told here."""
        if notice.event not in self._events:
            return
        if len(self._waiting) >= WAITING_MAX:
            self._waiting.popleft()
            self._count("dropped")
        self._waiting.append(notice)
        self._sent.clear()
        self._come.set()

    async def run(self) -> None:
        """Send what comes, in order, until cancelled."""
        while True:
            await self._come.wait()
            while self._waiting:
                await self._deliver(self._waiting.popleft())
            self._come.clear()
            self._sent.set()

    async def drained(self) -> None:
        """Wait until nothing waits any more."""
        await self._sent.wait()

    async def _deliver(self, notice: Notice) -> None:
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                await self._sender.send(notice)
            except (NotSentError, SecretUnreadableError) as error:
                again = not isinstance(error, NotSentError) or error.again
                if not again or attempt == ATTEMPTS_MAX:
                    log.error("%s was not told of %s: %s", self.name, notice.event, error)
                    self._count("failed")
                    return
                self._count("retried")
                asked_s = error.after_s if isinstance(error, NotSentError) else None
                pause_s = asked_s or self._pause_s * 2 ** (attempt - 1)
                await asyncio.sleep(min(pause_s, PAUSE_S_MAX))
            except Exception as error:  # noqa: BLE001 - whatever it is, the decision goes on
                log.error(
                    "%s was not told of %s: %s", self.name, notice.event, type(error).__name__
                )
                self._count("failed")
                return
            else:
                self._count("sent")
                return

    def _count(self, outcome: str) -> None:
        self._metrics.notifications.labels(self.name, outcome).inc()


class Notifier:
    """All channels."""

    def __init__(
        self,
        channels: Sequence[NoticeSettings],
        metrics: Metrics,
        *,
        pause_s: float = PAUSE_S,
    ) -> None:
        numbers: Counter[str] = Counter()
        self._channels: list[Channel] = []
        for settings in channels:
            numbers[settings.type] += 1
            n = numbers[settings.type]
            name = settings.type if n == 1 else f"{settings.type}-{n}"
            self._channels.append(Channel(name, settings, metrics, pause_s=pause_s))

    def tell(self, notice: Notice | None) -> None:
        """Tell every channel whose business it is. Returns at once."""
        if notice is not None:
            for channel in self._channels:
                channel.put(notice)

    async def run(self) -> None:
        """Send until cancelled; then, for `STOP_S`, what still waits."""
        sending = [asyncio.create_task(channel.run()) for channel in self._channels]
        try:
            # Nothing sets it: what ends this is being cancelled, which leaves the tasks alone.
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await self._drain()
            raise
        finally:
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)

    async def _drain(self) -> None:
        draining = [asyncio.create_task(channel.drained()) for channel in self._channels]
        if draining:
            _, late = await asyncio.wait(draining, timeout=STOP_S)
            for task in late:
                task.cancel()
