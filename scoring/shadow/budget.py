"""Pace: so much processor time a second, and no more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

#: Time that may be saved up while little is to do, seconds of the share.
BURST_S: Final = 1.0
#: Longest pause before it is looked again.
PAUSE_MAX_S: Final = 1.0


class CpuBudget:
    """Keeps a process to a share of a core, by letting it rest between requests.

    The time used is measured, by the system's clock ticks (10 ms), and falls due afterwards: what
    a request costs is not known before. So the share holds on average over some seconds, and a
    single request may take as much as it takes.

    Parameters
    ----------
    share
        Of one core; 0.5 is half of it, 2 are two cores.
    used_s
        Tells the processor time used so far, seconds; None where it cannot be read, and then
        nothing is held back.
    """

    def __init__(
        self,
        share: float,
        used_s: Callable[[], float | None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._share = share
        self._used_s = used_s
        self._monotonic = monotonic
        self._sleep = sleep
        self._at = monotonic()
        self._seen_s = used_s() or 0.0
        self._credit_s = 0.0
        self.rested_s = 0.0

    async def wait(self) -> None:
        """Wait until the next request may be sent."""
        while (owed_s := -self._settle()) > 0:
            pause_s = min(PAUSE_MAX_S, owed_s / self._share)
            self.rested_s += pause_s
            await self._sleep(pause_s)

    def _settle(self) -> float:
        """Bring the account up to now; return what may be used, seconds, or is owed."""
        now, used_s = self._monotonic(), self._used_s()
        earned_s = self._share * (now - self._at)
        self._at = now
        if used_s is None:
            return 0.0
        spent_s = used_s - self._seen_s
        self._seen_s = used_s
        limit_s = BURST_S * self._share
        self._credit_s = min(limit_s, self._credit_s + earned_s - spent_s)
        return self._credit_s
