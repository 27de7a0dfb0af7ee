"""Would going back help? The last live requests, scored with another version on demand."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

from detectors.paired.answers import PairedAnswer, PairedAnswers
from detectors.paired.comparison import PairedSummary, summarise, unknown_summary
from monitor.shadow.queues import Answered, LiveRequest
from monitor.shadow.recent import RecentRequests
from monitor.shadow.scoring import Scorer
from scoring.shadow.process import ShadowError, ShadowProcess

log = logging.getLogger("kedge.shadow")

#: All of it: starting the version, and scoring what is kept.
DEADLINE_S: Final = 120.0
#: Requests asked at once. The server scores together what it may.
ASKED_AT_ONCE: Final = 16


#: Returns when there are requests enough to be asked, or no longer to be waited for.
Gathered: TypeAlias = Callable[[], Awaitable[None]]


async def at_once() -> None:
    """Wait for no further requests."""


class Rescoring:
    """Scores what :class:`monitor.shadow.recent.RecentRequests` keeps with a version of choice.

    Parameters
    ----------
    make
        Makes a process of a version, not started yet.
    live
        Tells the version that serves; None while none was seen.
    confidence, tolerance
        Of the comparison.
    timeout_s
        For each request.
    deadline_s
        For everything; what was scored until then is compared.
    """

    def __init__(
        self,
        recent: RecentRequests,
        make: Callable[[str], ShadowProcess],
        live: Callable[[], str | None],
        *,
        confidence: float,
        tolerance: float,
        timeout_s: float,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._recent = recent
        self._make = make
        self._live = live
        self._confidence = confidence
        self._tolerance = tolerance
        self._timeout_s = timeout_s
        self._deadline_s = deadline_s
        self._ending: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Wait until the processes have ended."""
        await asyncio.gather(*self._ending)

    @asynccontextmanager
    async def _process_of(self, version: str) -> AsyncIterator[ShadowProcess]:
        """Have a process of a version. Nobody waits for its end: a busy machine takes seconds."""
        process = await self._make(version).__aenter__()
        try:
            yield process
        finally:
            ending = asyncio.create_task(process.__aexit__(None, None, None))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def score_recent(
        self,
        version: str,
        *,
        live: str | None = None,
        since: float = -math.inf,
        gathered: Gathered = at_once,
    ) -> PairedSummary:
        """Score the last requests of the live version with another, and compare the answers.

        It takes as long as the version takes to load, and some milliseconds a request. The version
        has a process of its own for as long as that takes. What cannot be told is `unknown`,
        with the reason; nothing is raised that can be expected.

        Parameters
        ----------
        live
            Whose requests; by default those of the version that serves.
        since
            None of before this time, seconds since the epoch.
        gathered
            Waits until there are requests enough; begun while the version loads.
        """
        live = live or self._live() or ""
        counts = PairedAnswers()
        gathering = asyncio.ensure_future(gathered())
        try:
            async with asyncio.timeout(self._deadline_s):
                if not self._recent.of(live, since):
                    # Nothing is loaded for nothing.
                    await gathering
                    if not self._recent.of(live, since):
                        none = f"no requests of version {live} are kept"
                        return unknown_summary(live, version, none)
                async with self._process_of(version) as process:
                    scorer = Scorer(process, timeout_s=self._timeout_s)
                    await scorer.prepare()
                    await gathering
                    await self._score(scorer, self._recent.of(live, since), counts)
        except ShadowError as error:
            return unknown_summary(live, version, f"version {version} cannot be scored: {error}")
        except OSError as error:
            if not isinstance(error, TimeoutError):
                return unknown_summary(live, version, f"no process can be started: {error}")
            late = f"comparing with version {version} was not done within {self._deadline_s:g} s"
            log.warning("%s", late)
            if not counts.n:
                return unknown_summary(live, version, late)
        finally:
            gathering.cancel()
        return summarise(
            counts,
            live=live,
            other=version,
            confidence=self._confidence,
            tolerance=self._tolerance,
        )

    async def _score(
        self, scorer: Scorer, requests: Sequence[LiveRequest], counts: PairedAnswers
    ) -> None:
        """Score all requests, and count the pairs as they come: the time may be over before."""
        waiting = iter(requests)

        async def ask() -> None:
            for request in waiting:
                answered = await scorer.score(request)
                count_pairs(counts, answered, tolerance=self._tolerance)

        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(ASKED_AT_ONCE):
                    tasks.create_task(ask())
        except ExceptionGroup as group:
            # One is enough: if the process has ended, it has ended for all of them.
            raise group.exceptions[0] from None


def count_pairs(counts: PairedAnswers, answered: Answered, *, tolerance: float) -> int:
    """Count the pairs of a request that was scored; return how many there were."""
    if answered.outcome != "scored":
        return 0
    request, pairs = answered.request, 0
    rows = zip(request.ts, request.answers, answered.answers, request.labels, strict=True)
    for ts, live, other, label in rows:
        if live is not None and other is not None:
            counts.add(PairedAnswer(live, other, label), ts, tolerance=tolerance)
            pairs += 1
    return pairs
