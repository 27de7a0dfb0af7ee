"""The demo's traffic: one row a request, at a steady rate, every answer checked."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import count, cycle
from typing import Final, Literal

import aiohttp

from monitor.demo.models import is_wrong
from monitor.demo.rows import Request

#: Before or after the shift began.
Phase = Literal["quiet", "shifted"]

CONNECTIONS: Final = 8
#: Above what a swap may take; a request that takes longer has failed.
REQUEST_TIMEOUT_S: Final = 10.0
#: How far behind its schedule the traffic may fall before it gives up catching up.
BACKLOG_S: Final = 1.0
FAILURES_KEPT: Final = 5


class BadAnswerError(ValueError):
    """The scoring server answered something that is not an answer to the request."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said to one request."""

    version: str
    probability: float


@dataclass(slots=True)
class Tally:
    """Answers of one version in one phase, and how many the labels say are wrong."""

    answers: int = 0
    wrong: int = 0

    @property
    def error_ratio(self) -> float:
        """Share of wrong answers, in [0, 1]; NaN of no answers."""
        return self.wrong / self.answers if self.answers else math.nan


@dataclass(slots=True)
class Counts:
    """What became of the requests so far."""

    requests: int = 0
    failures: list[str] = field(default_factory=list)
    failed: int = 0
    tallies: dict[tuple[Phase, str], Tally] = field(default_factory=dict)
    #: Version to the time of its first answer, seconds since the epoch.
    first_answer: dict[str, float] = field(default_factory=dict)
    #: The version that answered last.
    serving: str | None = None

    def tally(self, phase: Phase, version: str) -> Tally:
        """Return the tally of a version in a phase; an empty one if it has answered nothing."""
        return self.tallies.get((phase, version), Tally())


class Traffic:
    """Sends rows to a scoring server until it is told to stop.

    The pace is kept by schedule, not by answers: a request goes out when its time has come, on
    one of a few kept-alive connections. If they are all busy it goes out late, and a backlog
    of more than a second is given up.

    Parameters
    ----------
    url
        Where to POST.
    quiet, shifted
        Rows before and after the shift; each is repeated when it is used up.
    rate
        Requests a second; it may be changed while the traffic flows.
    """

    def __init__(
        self, url: str, quiet: Sequence[Request], shifted: Sequence[Request], *, rate: float
    ) -> None:
        self.counts = Counts()
        self.phase: Phase = "quiet"
        self.rate = rate
        self._url = url
        self._rows = {"quiet": cycle(quiet), "shifted": cycle(shifted)}
        self._numbers = count(1)
        self._next_at = 0.0
        self._stopping = False

    def begin_shift(self) -> float:
        """Send shifted rows from now on; return the time, seconds since the epoch."""
        self.phase = "shifted"
        return time.time()

    def stop(self) -> None:
        """Let the requests in flight be answered, and send no more."""
        self._stopping = True

    async def flow(self) -> None:
        """Send requests until `stop`."""
        self._next_at = time.monotonic()
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS),
                timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S),
            ) as session,
            asyncio.TaskGroup() as senders,
        ):
            for number in range(CONNECTIONS):
                senders.create_task(self._send_on(session), name=f"sender {number}")

    async def _send_on(self, session: aiohttp.ClientSession) -> None:
        while not self._stopping:
            await asyncio.sleep(self._claim_slot())
            if not self._stopping:
                await self._send(session)

    def _claim_slot(self) -> float:
        """Take the next place in the schedule; return the seconds until it comes."""
        now = time.monotonic()
        slot = max(self._next_at, now - BACKLOG_S)
        self._next_at = slot + 1 / self.rate
        return max(0.0, slot - now)

    async def _send(self, session: aiohttp.ClientSession) -> None:
        phase = self.phase
        request = next(self._rows[phase])
        headers = {
            "Content-Type": "application/json",
            "X-Request-Id": f"demo-{next(self._numbers):07d}",
        }
        self.counts.requests += 1
        try:
            async with session.post(self._url, data=request.body, headers=headers) as response:
                answer = read_answer(response, await response.read())
        except (aiohttp.ClientError, TimeoutError, BadAnswerError) as error:
            self._count_failure(error)
        else:
            self._count(phase, request, answer)

    def _count(self, phase: Phase, request: Request, answer: Answer) -> None:
        counts = self.counts
        tally = counts.tallies.setdefault((phase, answer.version), Tally())
        tally.answers += 1
        tally.wrong += is_wrong(answer.probability, request.label)
        counts.serving = answer.version
        counts.first_answer.setdefault(answer.version, time.time())

    def _count_failure(self, error: Exception) -> None:
        self.counts.failed += 1
        if len(self.counts.failures) < FAILURES_KEPT:
            self.counts.failures.append(f"{type(error).__name__}: {error}")


def read_answer(response: aiohttp.ClientResponse, body: bytes) -> Answer:
    """Read a scoring server's answer to a request of one row.

    Raises
    ------
    BadAnswerError
        It is not status 200 with one probability and the headers that say who answered.
    """
    if response.status != HTTPStatus.OK:
        raise BadAnswerError(f"status {response.status}: {body[:200]!r}")
    version = response.headers.get("X-Kedge-Version")
    if not version or "X-Kedge-Model" not in response.headers:
        raise BadAnswerError("the answer does not say which model and version it is from")
    try:
        (probability,) = json.loads(body)["predictions"]
        probability = float(probability)
    except (ValueError, TypeError, KeyError) as error:
        raise BadAnswerError(f"not an answer of one number: {body[:200]!r}") from error
    if not 0 <= probability <= 1:
        raise BadAnswerError(f"not a probability: {probability}")
    return Answer(version, probability)
