"""The shadow's process while the daemon runs: started, fed, paced, started again.

A shadow that does not load, crashes or hangs costs its own answers and nothing else: the reason
is told, and it is tried again, less and less often.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from monitor.shadow.queues import ShadowQueue
from monitor.shadow.scoring import Scorer
from monitor.shadow.watch import ShadowStanding
from scoring.shadow.budget import CpuBudget
from scoring.shadow.process import ShadowError, ShadowProcess

log = logging.getLogger("kedge.shadow")

#: After a process that failed, the next comes so much later; then after twice this, and so on.
RETRY_S: Final = 1.0
RETRY_S_MAX: Final = 300.0
#: A process that scored for so long did not fail at once.
LASTING_S: Final = 60.0
#: How often it is looked for requests while none wait.
IDLE_S: Final = 0.05
#: How often it is asked, while nothing else is, which version answers.
VERSION_S: Final = 5.0


class ShadowRunning:
    """Keeps a shadow scoring what waits for it. Belongs to the event loop.

    Parameters
    ----------
    make
        Makes a process that is not started yet.
    standing
        Is told how it stands.
    concurrency, cpu, timeout_s
        As in the settings.
    """

    def __init__(
        self,
        make: Callable[[], ShadowProcess],
        queue: ShadowQueue,
        standing: ShadowStanding,
        *,
        concurrency: int,
        cpu: float,
        timeout_s: float,
        retry_s: float = RETRY_S,
    ) -> None:
        self._make = make
        self._queue = queue
        self._standing = standing
        self._concurrency = concurrency
        self._cpu = cpu
        self._timeout_s = timeout_s
        self._retry_s = retry_s

    async def run(self) -> None:
        """Run until cancelled."""
        pause_s, clock = self._retry_s, asyncio.get_running_loop().time
        try:
            while True:
                began = clock()
                try:
                    await self._once()
                except ShadowError as error:
                    self._tell("failed", str(error))
                except OSError as error:
                    self._tell("failed", f"its process cannot be started: {error}")
                if clock() - began >= LASTING_S:
                    pause_s = self._retry_s
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_S_MAX)
        finally:
            self._standing.state = "stopped"

    async def _once(self) -> None:
        """Start a process, and have it score until it ends.

        Raises
        ------
        ShadowError
            It did not start, or has ended.
        """
        async with self._make() as process:
            scorer = Scorer(process, timeout_s=self._timeout_s)
            await scorer.prepare()
            self._standing.version = scorer.version
            self._tell("scoring", "")
            budget = CpuBudget(self._cpu, process.cpu_s)
            tasks = [
                asyncio.create_task(self._score(scorer, budget), name=f"shadow {number}")
                for number in range(self._concurrency)
            ]
            tasks.append(asyncio.create_task(self._ended(process), name="shadow's end"))
            tasks.append(asyncio.create_task(self._follow(scorer), name="shadow's version"))
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in tasks:
                    task.cancel()
                for task in tasks:
                    with suppress(asyncio.CancelledError, ShadowError):
                        await task

    async def _score(self, scorer: Scorer, budget: CpuBudget) -> None:
        while True:
            await budget.wait()
            request = self._queue.take()
            if request is None:
                await asyncio.sleep(IDLE_S)
                continue
            try:
                answered = await scorer.score(request)
            except BaseException:
                # It was taken, and nobody will take it again.
                self._queue.give_up(request, scorer.version)
                raise
            self._queue.answer(answered)
            self._standing.version = scorer.version

    async def _follow(self, scorer: Scorer) -> None:
        """Notice an alias that moves while there is no traffic, or the live version's own."""
        while True:
            await asyncio.sleep(VERSION_S)
            await scorer.prepare()
            self._standing.version = scorer.version

    async def _ended(self, process: ShadowProcess) -> None:
        status = await process.ended()
        raise ShadowError(f"its process ended with status {status}")

    def _tell(self, state: str, why: str) -> None:
        if (state, why) != (self._standing.state, self._standing.why):
            if why:
                log.error("the shadow %s: %s", state, why)
            else:
                log.info("version %s is scored as a shadow", self._standing.version)
        self._standing.state, self._standing.why = state, why
