"""Kills an actuator before and after every call it makes, and lets another one go on.

    python -m benchmarks.crash_everywhere [KIND …]

For every kind of step (or those named) an actuator is a process that rolls version 2 back to
version 1: the alias of a real MLflow, and then what the step moves, in that MLflow, on the tests'
API server with its controllers, or in a service that switches. Its k-th call to any of them,
reads included, is its last: it is killed by SIGKILL before the call comes there, or when it was
answered and the answer is not read. A new process finds what is in the store, and goes on. That
is done for every k, until a rollback makes fewer calls than k.

*Same end*: the rollback is resolved, and all that can be seen of what was moved is as after a
rollback that nobody killed. *One change at most*: nothing was changed twice, both processes taken
together. Exit status 1 unless both hold after every kill.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from collectors.registry.client import MlflowRegistry
from monitor.demo.mlflow_server import mlflow_server
from tests.rollback.actuator_process import ActuatorProcesses
from tests.rollback.cluster import fake_cluster
from tests.rollback.killed_scenes import SCENES, Scene, World
from tests.rollback.killing_proxy import KillingProxy, When

#: From one actuator's clock to the next one's.
LIFE_S: Final = 60.0
HEADINGS: Final = ("actuator", "external calls", "kills", "same end", "one change at most")


@dataclass(frozen=True, slots=True)
class Ending:
    """What there is after the last actuator has ended."""

    outcomes: tuple[str, ...]
    standing: object
    changes: tuple[str, ...]
    calls: int
    killed: bool


@dataclass(frozen=True, slots=True)
class Tally:
    """What came of all kills of one actuator."""

    actuator: str
    calls: int
    kills: int
    same: int
    single: int

    @property
    def row(self) -> Sequence[str]:
        """The cells of the table."""
        told = (f"{part} of {self.kills}" for part in (self.same, self.single))
        return (self.actuator, str(self.calls), str(self.kills), *told)

    @property
    def sound(self) -> bool:
        """Whether it was killed at all, and no kill has left a trace."""
        return self.same == self.single == self.kills > 0


@dataclass
class Trial:
    """One scene, and the processes that act in it."""

    world: World
    scene: Scene
    processes: ActuatorProcesses

    async def everywhere(self) -> Tally:
        """Kill before and after every call.

        Raises
        ------
        RuntimeError
            A rollback that nobody killed does not come to its end by one change.
        """
        whole = await self._ending(0, "before")
        if whole.outcomes != ("resolved",) or not whole.changes or not _single(whole):
            raise RuntimeError(f"{self.scene.kind}: killed by nobody, it ends as {whole}")
        kills = same = single = 0
        for when in ("before", "after"):
            for k in count(1):
                ending = await self._ending(k, when)
                if not ending.killed:
                    break
                kills += 1
                like_whole = (ending.outcomes, ending.standing) == (whole.outcomes, whole.standing)
                same += like_whole
                single += _single(ending)
                if not like_whole or not _single(ending):
                    print(f"{self.scene.kind}, {when} call {k}: {ending}", file=sys.stderr)
        return Tally(self.scene.kind, whole.calls, kills, same, single)

    async def _ending(self, k: int, when: When) -> Ending:
        """Put version 2 back, roll it back, killed at the k-th call, and look."""
        world, proxy = self.world, self.world.proxy
        await world.begin(self.scene)
        begun = await self.scene.standing()

        async def serving() -> str:
            return "2" if await self.scene.standing() == begun else "1"

        proxy.begin(k, when)
        proxy.serving = serving
        config = world.configure(self.scene)
        for life in count():
            address = f"{proxy.uri}/serving"
            pid = await self.processes.start(config, address, begun_s=life * LIFE_S)
            if not proxy.victim.done():
                proxy.victim.set_result(pid)
            status = await self.processes.ended()
            if status == 0:
                break
            if life or not proxy.killed:
                raise RuntimeError(f"{self.scene.kind}: an actuator ended with {status}")
        outcomes = _outcomes(world.folder / "kedge.db")
        standing = (await world.aliases(), await self.scene.standing())
        return Ending(outcomes, standing, tuple(world.changes), proxy.calls, proxy.killed)


def _single(ending: Ending) -> bool:
    return len(ending.changes) == len(set(ending.changes))


def _outcomes(store: Path) -> tuple[str, ...]:
    connection = sqlite3.connect(store)
    try:
        rows = connection.execute("SELECT record FROM kedge_rollbacks").fetchall()
    finally:
        connection.close()
    return tuple(str(json.loads(record)["outcome"]) for (record,) in rows)


async def crash(kind: str, registry_uri: str, folder: Path, processes: ActuatorProcesses) -> Tally:
    """Make a scene's world, kill its actuator everywhere, and count."""
    async with (
        fake_cluster() as cluster,
        KillingProxy(registry_uri, cluster.config.server) as proxy,
        MlflowRegistry(registry_uri) as registry,
    ):
        world = World(registry, registry_uri, cluster, proxy, folder)
        await world.prepare()
        return await Trial(world, await SCENES[kind](world), processes).everywhere()


async def crash_everywhere(kinds: Sequence[str], folder: Path, registry_uri: str) -> list[Tally]:
    """Do it for these kinds of steps, and print a row for each; without any for all."""
    tallies: list[Tally] = []
    async with ActuatorProcesses() as processes:
        for kind in kinds or SCENES:
            place = folder / kind
            place.mkdir()
            tallies.append(await crash(kind, registry_uri, place, processes))
            _print_row(tallies[-1].row)
    return tallies


def _print_row(cells: Sequence[str]) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Kills an actuator around every call it makes.")
    parser.add_argument("kinds", metavar="KIND", nargs="*", help=f"of {', '.join(SCENES)}")
    options = parser.parse_args(arguments)
    if unknown := set(options.kinds) - SCENES.keys():
        parser.error(f"no kind of step: {', '.join(sorted(unknown))}")
    with (
        tempfile.TemporaryDirectory(prefix="kedge-crash-") as folder,
        mlflow_server(Path(folder) / "mlflow") as uri,
    ):
        _print_row(HEADINGS)
        _print_row(["---"] * len(HEADINGS))
        tallies = asyncio.run(crash_everywhere(options.kinds, Path(folder), uri))
        sums = zip(*((t.calls, t.kills, t.same, t.single) for t in tallies), strict=True)
        _print_row(Tally("sum", *map(sum, sums)).row)
    return 0 if all(tally.sound for tally in tallies) else 1


if __name__ == "__main__":
    sys.exit(main())
