"""The actuator as a process: settings, decision, steps, journal and memory as the daemon has them.

    python -m tests.rollback.actuator_process

This process imports everything once and forks an actuator for every line that it reads: the id
of the actuator's process is its answer, and how that ended the next one. An actuator begins as
one that was started anew, for what is durable is in the store, and it costs milliseconds.
Its windows close at once, one after the other, on a clock of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import aiohttp

from monitor.deciding.parts import actuators_of, registry_of
from monitor.settings.settings import Settings, load
from monitor.store.journal import StoreJournal
from monitor.store.remembering import change_of, remembered
from monitor.store.store import Store
from monitor.store.writer import Writer
from rollback.controller import Controller, record_id
from rollback.memory import Memory
from rollback.observation import RuleState
from tests.rollback.scenes import window

ROOT: Final = Path(__file__).parents[2]
#: Of event time, so that a rollback has time for a hundred windows.
WINDOW_S: Final = 5.0
WINDOWS_MAX: Final = 30


class ActuatorProcesses:
    """Starts actuators, one after the other. An asynchronous context manager."""

    async def __aenter__(self) -> Self:
        self._parent = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.rollback.actuator_process",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._parent.stdin is not None
        self._parent.stdin.close()
        await self._parent.wait()

    async def start(self, config: Path, serving: str, *, begun_s: float) -> int:
        """Start one and return its process id.

        Parameters
        ----------
        serving
            Address that tells which version gets the traffic.
        begun_s
            How far its clock is ahead: later than where the actuator before it has stopped.
        """
        assert self._parent.stdin is not None
        job = {"config": str(config), "serving": serving, "begun_s": begun_s}
        self._parent.stdin.write(json.dumps(job).encode() + b"\n")
        return await self._answer()

    async def ended(self) -> int:
        """Wait for its end; return its exit status, or the number of its signal as a negative."""
        return await self._answer()

    async def _answer(self) -> int:
        assert self._parent.stdout is not None
        return int(await self._parent.stdout.readline())


@dataclass
class Actuator:
    """What one process does from its start to the end of the rollback."""

    settings: Settings
    serving: str
    clock_s: float

    def now(self) -> float:
        return time.time() + self.clock_s

    async def live(self) -> None:
        store, writer = Store.open(self.settings.store.url), Writer()
        registry = registry_of(self.settings)
        assert registry is not None

        async def keep(memory: Memory) -> None:
            await writer.run(lambda: store.commit(change_of(memory)))

        journal, model = StoreJournal(store, writer), self.settings.model
        async with registry:
            controller = Controller(
                model.name,
                model.alias,
                self.settings.rollback.policy,
                journal=journal,
                registry=registry,
                actuators=actuators_of(self.settings, registry),
                now=self.now,
                new_id=lambda: record_id(self.now()),
                memory=remembered(store.load().states),
                on_memory=keep,
            )
            await controller.resume()
            for _ in range(WINDOWS_MAX):
                if any(not r.open for r in await journal.recent(model.name, 0.0)):
                    break
                await self._window(controller)
        writer.close()
        store.close()

    async def _window(self, controller: Controller) -> None:
        """A window closes in which one version had the traffic, and version 2 did badly."""
        async with aiohttp.ClientSession() as session, session.get(self.serving) as answer:
            version = await answer.text()
        self.clock_s += WINDOW_S + 1
        state: RuleState = "breach" if version == "2" else "ok"
        await controller.observe(window(version, state, ends=self.now(), length_s=WINDOW_S))
        await controller.tick()


def main() -> None:
    for line in sys.stdin:
        if pid := os.fork():
            _answer(pid)
            _answer(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            continue
        status = 1
        try:
            job = json.loads(line)
            actuator = Actuator(load(Path(job["config"])), job["serving"], job["begun_s"])
            asyncio.run(actuator.live())
            status = 0
        except BaseException:  # noqa: BLE001 - the fork must not go on as its parent
            traceback.print_exc()
        os._exit(status)


def _answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
