"""A scoring process as its parent has it: started, told, heard and ended."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

import msgspec

import scoring
from scoring.processes.assignment import Assignment, Order, Word, line_of, word_of


class WorkerEndedError(RuntimeError):
    """The process ended without a word."""

    def __init__(self, status: int) -> None:
        how = f"signal {-status}" if status < 0 else f"status {status}"
        super().__init__(f"its process ended with {how}")


class WorkerProcess:
    """A process of `scoring.processes.worker`. It ends with us: it watches a pipe of ours."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, assignment: Assignment, environment: Mapping[str, str]) -> Self:
        """Start it; `environment` is all of its own, but for the path to our modules."""
        root = str(Path(scoring.__file__).parent.parent)
        path = os.pathsep.join(filter(None, (root, environment.get("PYTHONPATH"))))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "scoring.processes.worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**environment, "PYTHONPATH": path},
            # Ctrl-C reaches the parent, which then tells the workers in good order.
            start_new_session=True,
        )
        self = cls(process)
        self._write(line_of(assignment))
        return self

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Exit status; None while it runs."""
        return self._process.returncode

    def order(self, order: Order) -> None:
        """Give an order; a process that has ended does not hear it."""
        self._write(line_of(order))

    async def word(self) -> Word:
        """Return what it says next.

        Raises
        ------
        WorkerEndedError
            Nothing: it has ended.
        """
        line = await self._process.stdout.readline() if self._process.stdout else b""
        try:
            return word_of(line)
        except msgspec.DecodeError:
            raise WorkerEndedError(await self._process.wait()) from None

    async def wait(self) -> int:
        """Wait until it has ended; return its status."""
        return await self._process.wait()

    async def end(self, grace_s: float) -> bool:
        """Have it drain, and kill it after that time; return whether it ended by itself."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.terminate()
        try:
            async with asyncio.timeout(grace_s):
                await self._process.wait()
        except TimeoutError:
            await self.kill()
            return False
        return True

    async def kill(self) -> None:
        """End it now."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    def _write(self, line: bytes) -> None:
        if self._process.stdin is not None:
            with suppress(ConnectionError):
                self._process.stdin.write(line)
