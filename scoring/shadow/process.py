"""A scoring server that only Kedge asks: a process of its own, started, asked, measured and ended.

One error::

    ShadowError    the process did not start, or has ended; the message says why
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from scoring.processes.assignment import Assignment, Failed, Ready, Word
from scoring.processes.worker_process import WorkerEndedError, WorkerProcess
from scoring.settings import ServeSettings
from scoring.shadow.request import Inputs, inputs_of

#: How long a model may take to be fetched and loaded.
START_TIMEOUT_S: Final = 180.0
#: Between being told to stop and being killed: nobody waits for its answers.
STOP_S: Final = 3.0
#: How much it gives way to whatever else runs on the machine, as `nice` counts.
NICE: Final = 10
_METADATA_TIMEOUT_S: Final = 10.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")
#: Places of user and system time in ``/proc/PID/stat``, after the name in brackets.
_USER, _SYSTEM = 11, 12


class ShadowError(RuntimeError):
    """The process did not start, or has ended; the message says why."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, the version that gave it, and how long it took."""

    status: int
    version: str
    body: bytes
    latency_ms: float


class ShadowProcess:
    """The process of one model, for as long as an ``async with`` block lasts.

    It ends with us, however we end: it watches the pipe that we hold.

    Parameters
    ----------
    settings
        What to serve; host, port and workers are ours.
    environment
        Variables for it besides ours: who we are to the registry.
    awaited
        Whether somebody waits for its answers: it then has its fair share of the processors, and
        still runs behind whoever wakes up to answer a request. Otherwise it gives way to
        everything.

    Attributes
    ----------
    name
        The registered model, or what the server calls it.
    """

    def __init__(
        self,
        settings: ServeSettings,
        environment: Mapping[str, str] | None = None,
        *,
        start_timeout_s: float = START_TIMEOUT_S,
        awaited: bool = False,
    ) -> None:
        self._settings = settings
        self._awaited = awaited
        self._environment = dict(environment or {})
        self._start_timeout_s = start_timeout_s
        self._process: WorkerProcess | None = None
        self._session: aiohttp.ClientSession | None = None
        self._url = ""
        self.name = ""

    async def __aenter__(self) -> Self:
        """Start it and wait until it serves.

        Raises
        ------
        ShadowError
            It does not: the model does not load, the registry is away, or it takes too long.
        """
        try:
            async with asyncio.timeout(self._start_timeout_s):
                said = await self._started()
        except TimeoutError:
            await self._end()
            raise ShadowError(f"not loaded within {self._start_timeout_s:g} s") from None
        except BaseException:
            await self._end()
            raise
        if not isinstance(said, Ready):
            await self._end()
            raise ShadowError(said.why if isinstance(said, Failed) else "it spoke out of turn")
        self._url = said.line.rpartition(" on ")[2]
        self.name = said.served.name
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it."""
        await self._end()

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid if self._process is not None else 0

    async def ended(self) -> int:
        """Wait until the process ends; return its status."""
        return await self._process.wait() if self._process is not None else 0

    async def inputs(self) -> tuple[str, Inputs]:
        """Ask what the model takes; return the version that it is of, too.

        Raises
        ------
        aiohttp.ClientError
            No answer.
        """
        async with self._asking().get(
            f"{self._url}/v2/models/{self.name}",
            timeout=aiohttp.ClientTimeout(_METADATA_TIMEOUT_S),
        ) as response:
            response.raise_for_status()
            metadata: dict[str, Any] = await response.json()
            return response.headers.get("X-Kedge-Version", ""), inputs_of(metadata)

    async def ask(self, body: bytes, *, timeout_s: float) -> Reply:
        """Have rows scored.

        Raises
        ------
        TimeoutError
            No answer in that time.
        aiohttp.ClientError
            The connection broke.
        """
        began = time.perf_counter()
        async with self._asking().post(
            f"{self._url}/invocations",
            data=body,
            headers={"Content-Type": "application/json"},
            timeout=aiohttp.ClientTimeout(timeout_s),
        ) as response:
            answer = await response.read()
            took_ms = (time.perf_counter() - began) * 1000
            version = response.headers.get("X-Kedge-Version", "")
            return Reply(response.status, version, answer, took_ms)

    def cpu_s(self) -> float | None:
        """Return the processor time that it has used; None where that cannot be read."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            return None
        fields = stat.rpartition(")")[2].split()
        return (int(fields[_USER]) + int(fields[_SYSTEM])) / _TICKS

    def _asking(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise ShadowError("the shadow's process is not started")
        return self._session

    async def _started(self) -> Word:
        inherited = {k: v for k, v in os.environ.items() if k != "PROMETHEUS_MULTIPROC_DIR"}
        self._process = await WorkerProcess.start(
            Assignment(self._settings, follows=True),
            {"OMP_NUM_THREADS": "1"} | inherited | self._environment,
        )
        with suppress(OSError):
            if self._awaited:
                # As much as others, but it wakes up to interrupt nobody.
                os.sched_setscheduler(self._process.pid, os.SCHED_BATCH, os.sched_param(0))
            else:
                os.setpriority(os.PRIO_PROCESS, self._process.pid, NICE)
        try:
            return await self._process.word()
        except WorkerEndedError as error:
            raise ShadowError(f"{error} as it started") from None

    async def _end(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._process is not None:
            await self._process.end(STOP_S)
