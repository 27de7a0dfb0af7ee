"""The gates on causes: not for the world, not for the data, not for what nobody knows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from detectors.cause import Cause, CauseColumn, Origin
from detectors.statistics.correlation import CORRELATION
from rollback.acting import COMPARING_PAUSE_S
from rollback.better import Outcome, ShadowComparison, better_on_shadow, is_asked
from rollback.command import Command, Precheck, ReadRegistry
from rollback.memory import Memory, VersionMarks
from rollback.observation import (
    ComparisonEnded,
    HoldSet,
    ManualRequested,
    Observation,
    Prechecked,
    RegistryRead,
)
from rollback.policy import BetterOnShadow, GatePolicy
from rollback.record import RollbackRecord
from rollback.world_or_model import overall
from tests.rollback.scenes import ACTING, MODEL_CAUSE, START, World, window

CENTS = CauseColumn("car_value", 0.95, "breach", 6.1)
SALARY = CauseColumn("salary", 0.05, "breach", 0.2)
WORLD = Cause("world", "car_value, salary drifted", (CENTS, SALARY))
GONE = CauseColumn("tenure", 0.0, "ok", 0.01, "missing in 50% of the rows, 1% in the reference")
OF_ANSWERS = {"rules": [{"metric": "psi", "column": "x"}]}
DATA = Cause("data", "columns broke on their way to the model", (GONE,))


@dataclass
class Known(World):
    """A world in which it is known what versions depend on, and what a shadow found."""

    reads: dict[str, frozenset[str]] = field(default_factory=dict)
    shadow: ShadowComparison | None = None

    def answer(self, command: Command) -> Observation | None:
        match command:
            case ReadRegistry():
                return RegistryRead(self.alias, self.versions, reads=self.reads)
            case Precheck():
                return Prechecked(command.record_id, shadow=self.shadow)
        return super().answer(command)

    def breach(self, cause: Cause | None) -> RollbackRecord:
        self.tell(window("2", "breach", ends=self.now, cause=cause))
        return self.last


def refusal(record: RollbackRecord) -> tuple[str, str]:
    assert record.refusal is not None
    assert record.state == "REFUSED"
    return record.refusal.gate, record.refusal.detail


def test_a_model_that_got_worse_is_left_and_the_record_says_why() -> None:
    record = Known().breach(MODEL_CAUSE)

    assert record.state == "VERIFYING"
    assert record.evidence["cause"]["origin"] == "model"
    assert record.evidence["rules"][0]["cause"] == record.evidence["cause"]
    (gate,) = [one for one in record.gates if one.gate == "world_or_model"]
    assert gate.detail == "model: it began with its deployment"


def test_a_world_that_drifted_is_no_reason_and_its_columns_are_named() -> None:
    world = Known()

    gate, detail = refusal(world.breach(WORLD))

    assert gate == "world_or_model"
    assert detail == (
        "world: car_value, salary drifted; version 1 would see the same in "
        "car_value (95%), salary (5%)"
    )
    assert not world.acts


@pytest.mark.parametrize(
    ("reads", "passes"),
    [
        (frozenset({"tenure"}), True),
        (frozenset({"tenure", "salary"}), True),  # a twentieth of what drifted
        (frozenset({"car_value"}), False),
        (None, False),
    ],
)
def test_a_target_that_does_not_depend_on_what_drifted_may_be_gone_to(
    reads: frozenset[str] | None,
    passes: bool,  # noqa: FBT001 - a parameter
) -> None:
    world = Known(reads={} if reads is None else {"1": reads})

    world.breach(WORLD)

    assert bool(world.acts) == passes


def test_correlations_are_no_column_that_a_target_could_do_without() -> None:
    changed = Cause(
        "world", "(correlation) drifted", (CauseColumn(CORRELATION, 1.0, "breach", 3.8),)
    )

    gate, _ = refusal(Known(reads={"1": frozenset({"age", "fare"})}).breach(changed))

    assert gate == "world_or_model"


def test_a_target_that_is_in_breach_itself_is_no_way_out() -> None:
    world = Known(reads={"1": frozenset()})
    world.tell(window("1", "breach", ends=world.now))
    world.later(ACTING.cooldown_s)

    gate, _ = refusal(world.breach(WORLD))

    assert gate == "world_or_model"


@pytest.mark.parametrize("cause", [DATA, Cause("platform", "all are slow"), Cause("unknown", "?")])
def test_broken_data_a_slow_platform_and_the_unknown_are_refused(cause: Cause) -> None:
    gate, detail = refusal(Known(reads={"1": frozenset({"tenure"})}).breach(cause))

    assert gate == "world_or_model"
    assert detail.startswith(f"{cause.origin}: {cause.because}")


def test_a_breach_of_which_nothing_is_known_waits_for_a_person() -> None:
    gate, detail = refusal(Known().breach(None))

    assert (gate, "a person has to decide" in detail) == ("world_or_model", True)


def test_the_gate_can_be_switched_off() -> None:
    off = replace(ACTING, gates=GatePolicy(world_or_model=False))

    assert Known(policy=off).breach(WORLD).state == "VERIFYING"


def test_a_person_may_go_back_whatever_the_world_does() -> None:
    world = Known(shadow=ShadowComparison("1", 500, 0.1, 0.1, 0.1, "worse"))

    world.tell(ManualRequested("by-hand", "1", "I know"))

    assert world.last.state == "VERIFYING"


def test_a_refusal_is_asked_again_and_lifted_once_more_is_known() -> None:
    world = Known()
    world.breach(Cause("unknown", "other versions cannot be told yet"))
    world.now += 60
    world.breach(Cause("unknown", "other versions cannot be told yet"))
    repeated = [one for one in world.transitions if one.repeated]

    world.now += 60
    record = world.breach(MODEL_CAUSE)

    assert [one.gate for one in repeated] == ["world_or_model"]
    assert record.state == "VERIFYING"
    assert sum(one.state == "REFUSED" for one in world.records.values()) == 1


@pytest.mark.parametrize("against", ["data", "world", "platform"])
def test_one_rule_that_speaks_against_it_is_enough(against: Origin) -> None:
    other = Cause(against, "this one")

    assert overall([MODEL_CAUSE, other, None]) == other


def test_what_one_rule_does_not_know_another_may() -> None:
    assert overall([Cause("unknown", "?"), MODEL_CAUSE, None]) == MODEL_CAUSE
    assert overall([None]) is None


@pytest.mark.parametrize(
    ("policy", "passing"),
    [
        ("off", {None, "better", "alike", "apart", "worse", "unknown"}),
        ("if-available", {None, "better", "apart", "unknown"}),
        ("require", {"better"}),
    ],
)
def test_what_each_policy_makes_of_a_comparison(
    policy: BetterOnShadow, passing: set[Outcome | None]
) -> None:
    for verdict in (None, "better", "alike", "apart", "worse", "unknown"):
        found = None if verdict is None else ShadowComparison("1", 200, 0.1, 0.0, 0.2, verdict)

        assert better_on_shadow(policy, found, OF_ANSWERS).passed == (verdict in passing)


def test_other_answers_speak_for_the_target_only_where_the_version_is_the_reason() -> None:
    apart = ShadowComparison("1", 200, None, None, None, "apart")
    strict = GatePolicy(better_on_shadow="require")
    anyhow = replace(strict, world_or_model=False)

    known = Known(policy=replace(ACTING, gates=strict), shadow=apart).breach(MODEL_CAUSE)
    unknown = Known(policy=replace(ACTING, gates=anyhow), shadow=apart).breach(None)

    assert known.state == "VERIFYING"
    assert refusal(unknown)[0] == "better_on_shadow"


@pytest.mark.parametrize(
    ("policy", "evidence", "asked"),
    [
        ("require", {"rules": [{"metric": "latency_p99", "column": ""}]}, False),
        ("require", {"rules": [{"metric": "accuracy", "column": ""}]}, True),
        ("if-available", {"rules": [{"metric": "psi", "column": "x"}]}, True),
        ("if-available", {"alert": {}}, False),
        ("require", {"alert": {}}, True),
        ("off", {"rules": [{"metric": "psi", "column": "x"}]}, False),
    ],
)
def test_answers_are_compared_where_answers_are_in_breach(
    policy: BetterOnShadow,
    evidence: dict[str, object],
    asked: bool,  # noqa: FBT001 - a parameter
) -> None:
    assert is_asked(policy, evidence, manual=False) == asked
    assert not is_asked(policy, evidence, manual=True)
    assert better_on_shadow(policy, None, evidence).passed == (policy != "require" or not asked)


def test_while_the_comparison_is_under_way_the_gate_waits_and_the_next_tick_asks_again() -> None:
    world = Known(shadow=ShadowComparison("1", 0, None, None, None, "pending"))
    world.breach(MODEL_CAUSE)
    waiting = world.state

    world.shadow = ShadowComparison("1", 200, None, None, None, "apart")
    world.later(COMPARING_PAUSE_S / 2)
    too_early = world.state.record
    world.later(COMPARING_PAUSE_S)

    assert (waiting.phase, world.written[0]) == ("CONFIRMED", "CONFIRMED")
    assert waiting.record is not None
    assert waiting.record.evidence["shadow"]["verdict"] == "pending"
    assert too_early == waiting.record
    assert (world.last.state, world.last.evidence["shadow"]["verdict"]) == ("VERIFYING", "apart")


def test_the_end_of_the_comparison_is_the_end_of_the_wait() -> None:
    world = Known(shadow=ShadowComparison("1", 0, None, None, None, "pending"))
    idle = world.tell(ComparisonEnded())
    world.breach(MODEL_CAUSE)

    world.shadow = ShadowComparison("1", 200, None, None, None, "apart")
    world.tell(ComparisonEnded())
    again = world.tell(ComparisonEnded())

    assert world.last.state == "VERIFYING"
    assert (idle, again) == ([], [])


@pytest.mark.parametrize(
    ("policy", "waits"), [("if-available", [True] * 4 + [False]), ("require", [True] * 5)]
)
def test_a_breach_waits_as_long_as_it_may_and_is_asked_at_the_end_of_that(
    policy: BetterOnShadow, waits: list[bool]
) -> None:
    gates = GatePolicy(better_on_shadow=policy, compare_wait_s=5.0)
    pending = ShadowComparison("1", 0, None, None, None, "pending")
    world = Known(policy=replace(ACTING, gates=gates), shadow=pending)

    world.breach(MODEL_CAUSE)
    for _ in range(10):
        world.later(0.5)

    asked = [one.waits for one in world.commands if isinstance(one, Precheck)]
    # At once, every two seconds, and when the time is over.
    assert asked == waits[:3] + waits[-1:]


def test_the_next_breach_waits_anew() -> None:
    pending = ShadowComparison("1", 0, None, None, None, "pending")
    gates = GatePolicy(compare_wait_s=5.0)
    world = Known(policy=replace(ACTING, gates=gates, cooldown_s=0), shadow=pending)
    world.breach(MODEL_CAUSE)
    world.later(3.0)
    world.tell(HoldSet(world.now + 1, "wait"))
    world.later(4.0)

    world.breach(MODEL_CAUSE)

    assert [one.waits for one in world.commands if isinstance(one, Precheck)][-1]


def test_a_hold_ends_the_wait_and_so_does_time() -> None:
    held, late = (
        Known(shadow=ShadowComparison("1", 0, None, None, None, "pending")) for _ in range(2)
    )
    held.breach(MODEL_CAUSE)
    late.breach(MODEL_CAUSE)

    held.tell(HoldSet(held.now + 60, "wait"))
    late.later(ACTING.intent_ttl_s)

    assert refusal(held.last)[0] == "hold"
    assert refusal(late.last) == ("better_on_shadow", "the comparison has not ended in time")
    assert not [*held.acts, *late.acts]


def test_a_target_that_is_no_better_is_refused_with_its_figures() -> None:
    world = Known(shadow=ShadowComparison("1", 400, -0.01, -0.03, 0.01, "alike"))

    record = world.breach(MODEL_CAUSE)

    assert refusal(record) == (
        "better_on_shadow",
        "version 1 is no better on 400 of the same requests, difference between -0.03 and 0.01",
    )
    assert record.evidence["shadow"]["n"] == 400


def test_without_a_shadow_require_waits_for_one() -> None:
    strict = replace(ACTING, gates=GatePolicy(better_on_shadow="require"))

    assert refusal(Known(policy=strict).breach(MODEL_CAUSE)) == (
        "better_on_shadow",
        "no shadow has compared the target",
    )


def test_the_target_says_how_it_did() -> None:
    world = Known(policy=replace(ACTING, target="last-good"))
    for _ in range(14):
        world.closes("1", "ok")
        world.now += 60

    record = world.breach(MODEL_CAUSE)

    (gate,) = [one for one in record.gates if one.gate == "target"]
    assert gate.detail == ("version 1 is last-good, and READY: 14 healthy windows, last 60 s ago")


def test_what_was_seen_of_versions_survives_being_written_and_read() -> None:
    memory = Memory().seen_healthy("1", START).seen_in_breach("1", START + 1).blessed("1", START)

    assert Memory.from_json(memory.to_json()) == memory
    assert memory.marks("1").in_breach
    told = memory.marks("1").told(now=START + 61)
    assert told == "no healthy window seen, in breach 60 s ago, blessed 61 s ago"
    assert not memory.seen_healthy("1", START + 2).marks("1").in_breach


def test_a_memory_of_before_the_history_is_still_read() -> None:
    old = {"healthy_windows": 3, "healthy_at": START, "blessed_at": None, "quarantined_until": None}

    memory = Memory.from_json({"versions": {"1": old}, "hold": None, "resumed_at": 0.0})

    assert memory.marks("1") == VersionMarks(3, START)
