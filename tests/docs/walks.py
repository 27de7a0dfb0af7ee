"""Long runs of the decision by chance, with crashes at any write: which moves are there at all?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import get_args

from docs.machine import NOTHING
from rollback.better import Outcome, ShadowComparison
from rollback.command import Notify, WriteTransition
from rollback.observation import Resumed, Tick
from rollback.policy import GatePolicy, Mode, Policy
from rollback.state import State
from tests.rollback.scenes import MODEL, STEP, versions
from tests.rollback.test_decision_laws import NUMBERS, Die, Unreliable, an_observation, compared

MODES: tuple[Mode, ...] = ("act",) * 8 + ("dry-run", "observe")


@dataclass
class Moves:
    """What was seen: moves of a rollback's record, and of a model that has none open."""

    of_record: set[tuple[str, str]]
    of_model: set[tuple[str, str]]


def moves(seeds: range) -> Moves:
    """Return every move that the walks of these seeds made."""
    found = Moves(set(), set())
    for seed in seeds:
        _walk(Random(seed), found)
    return found


def _walk(random: Random, found: Moves) -> None:
    world = Unreliable(
        policy=_policy(random),
        alias=random.choice(NUMBERS),
        versions=(*versions(1, 2, 4), *versions(3, status=random.choice(["READY", "X"]))),
        answers=[random.choice([*[0] * 12, 1, 2, 3, 4]) for _ in range(random.randrange(60))],
        shadows=[_shadow(random) for _ in range(random.randrange(30))],
    )
    seen: dict[str, str] = {}
    for _ in range(random.randrange(20, 80)):
        die = Die(random.randrange(2**32))
        begun = len(world.commands)
        world.now += die.pick(0, 1, *[61] * 12, 700, 2000, 2000, 30_000)
        world.tell(Tick())
        match die.pick(*range(40)):
            case 0 | 1 | 2 | 3 | 4:
                _note(world, begun, seen, found)
                begun = len(world.commands)
                _crash(world, random, seen)
            case 5:
                world.policy = replace(world.policy, mode=random.choice(MODES))
            case 6 | 7 | 8:
                world.alias = die.pick(*NUMBERS, None)
            case _:
                world.tell(an_observation(die, world))
        _note(world, begun, seen, found)


def _policy(random: Random) -> Policy:
    return Policy(
        mode=random.choice(MODES),
        target=random.choice(("last-good", "previous")),
        max_per_day=random.choice((20, 3, 2, 1, 0)),
        verify_events_min=10,
        gates=GatePolicy(
            world_or_model=random.random() < 0.7,
            better_on_shadow=random.choice(("if-available", "if-available", "off", "require")),
        ),
    )


def _shadow(random: Random) -> ShadowComparison | None:
    return random.choice([None, None, None, *(compared(one) for one in get_args(Outcome))])


def _crash(world: Unreliable, random: Random, seen: dict[str, str]) -> None:
    """Start anew with what the journal held at one of the last writes."""
    written = [c.record for c in world.commands if isinstance(c, WriteTransition)]
    lost = random.choice((0, 0, 1, 2, 3, 4, 5))
    kept = {record.id: record for record in written[: max(0, len(written) - lost)]}
    opened = [record for record in kept.values() if record.open]
    if opened and random.random() < 0.1:
        # Another Kedge without a common lock had one open, too.
        another = replace(random.choice(opened), id=f"other-{len(world.commands):06d}")
        opened.append(another)
        kept[another.id] = another
    for record in kept.values():
        seen[record.id] = record.state
    world.state = State(MODEL, (STEP,), memory=world.state.memory)
    world.tell(Resumed(tuple(opened), tuple(r for r in kept.values() if not r.open)))


def _note(world: Unreliable, begun: int, seen: dict[str, str], found: Moves) -> None:
    found.of_record.update(_of_records(world, begun, seen))
    for command in world.commands[begun:]:
        if isinstance(command, Notify) and command.transition.before != command.transition.after:
            found.of_model.add((command.transition.before, command.transition.after))


def _of_records(world: Unreliable, begun: int, seen: dict[str, str]) -> Iterator[tuple[str, str]]:
    for command in world.commands[begun:]:
        if isinstance(command, WriteTransition):
            record = command.record
            yield seen.get(record.id, NOTHING), record.state
            seen[record.id] = record.state
