"""Limits that could not be meant, and what is remembered of versions."""

from __future__ import annotations

import json

import pytest

from rollback.memory import VERSIONS_MAX, Hold, Memory
from rollback.policy import PAUSE_S_MAX, Policy, pause_s
from rollback.target import NoTarget, Target, choose_target
from tests.rollback.scenes import START, versions


@pytest.mark.parametrize(
    "limits", [{"cooldown_s": -1.0}, {"max_per_day": -1}, {"verify_share_min": 1.5}]
)
def test_a_limit_that_could_not_be_meant_is_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(limits))):
        Policy(**limits)  # type: ignore[arg-type]  # by name


def test_a_fresh_policy_does_not_act() -> None:
    assert Policy().mode == "dry-run"


def test_pauses_grow_and_stay_bounded() -> None:
    assert [pause_s(n) for n in (1, 2, 3)] == [1, 2, 4]
    assert pause_s(10_000) == PAUSE_S_MAX


def test_memory_survives_being_written_and_read() -> None:
    memory = Memory(hold=Hold(START, "why"), resumed_at=START).seen_healthy("1", START)
    memory = memory.blessed("2", START).quarantine("3", START)

    assert Memory.from_json(json.loads(json.dumps(memory.to_json()))) == memory


def test_memory_is_bounded_and_forgets_what_it_heard_of_longest_ago() -> None:
    memory = Memory()

    for n in range(VERSIONS_MAX + 5):
        memory = memory.seen_healthy(str(n), START + n)

    assert len(memory.versions) == VERSIONS_MAX
    assert "4" not in memory.versions
    assert str(VERSIONS_MAX + 4) in memory.versions


HEALTHY_9 = Memory().seen_healthy("9", START)
BOTH = HEALTHY_9.seen_healthy("2", START + 1)


@pytest.mark.parametrize(
    ("memory", "choice", "expected"),
    [
        (Memory(), "previous", "10"),
        (Memory().quarantine("10", START + 9), "previous", "9"),
        (HEALTHY_9, "last-good", "9"),
        (BOTH, "last-good", "2"),
        (BOTH.seen_in_breach("2", START), "last-good", "9"),
        (BOTH.blessed("10", START + 2), "last-good", "10"),
        (BOTH.seen_healthy("12", START + 3), "last-good", "2"),
        (BOTH.blessed("12", START + 3), "last-good", "12"),
        (Memory(), "last-good", "target"),
        (HEALTHY_9.quarantine("9", START + 9).seen_healthy("9", START), "last-good", "quarantine"),
    ],
    ids=[
        "previous counts in numbers",
        "previous steps over a quarantine",
        "the one seen healthy",
        "the one seen healthy last",
        "not one that broke since",
        "one that was blessed later",
        "not one above, that somebody left",
        "one above that was blessed",
        "none was seen",
        "the only one is unfit",
    ],
)
def test_the_target_is(memory: Memory, choice: str, expected: str) -> None:
    policy = Policy(target=choice)  # type: ignore[arg-type]  # one of the two

    chosen = choose_target(
        "11",
        versions(1, 2, 9, 10, 11, 12),
        memory,
        rolled_back_from=(),
        policy=policy,
        now=START + 5,
    )

    assert expected == (chosen.version if isinstance(chosen, Target) else chosen.gate)


def test_a_version_that_is_no_number_has_no_target() -> None:
    choice = choose_target(
        "blue", versions(1), Memory(), rolled_back_from=(), policy=Policy(), now=START
    )

    assert isinstance(choice, NoTarget)
