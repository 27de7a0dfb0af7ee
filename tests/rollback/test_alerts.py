"""An alert is a hint. Only one that was allowed to is evidence, and it passes every gate."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollback.memory import Memory
from rollback.observation import Alerted, HoldSet, Resumed, WindowsClosed
from rollback.policy import GatePolicy
from rollback.record import RollbackRecord
from rollback.state import State
from tests.rollback.scenes import ACTING, MODEL, START, STEP, World, window

#: Of what may be done about an alert, without the question what Kedge knows of its cause.
TRUSTING = replace(ACTING, gates=GatePolicy(world_or_model=False))


def alert(
    *,
    version: str | None = "2",
    confirms: bool = False,
    firing: bool = True,
    key: str = "f/1",
    starts_at: float = START,
) -> Alerted:
    return Alerted("ErrorRate", key, firing, starts_at, version, "5xx above 5 %", confirms)


def test_a_hint_opens_suspect_and_nothing_more() -> None:
    world = World(policy=TRUSTING)

    world.tell(alert())

    assert world.state.phase == "SUSPECT"
    assert world.state.about == "2"
    assert world.state.alias_version == "2"
    assert (world.acts, world.written) == ([], [])


def test_a_hint_that_is_over_clears_what_it_opened() -> None:
    world = World()
    world.tell(alert())

    world.tell(alert(firing=False, key="another"))
    other = world.state.phase
    world.tell(alert(firing=False))

    assert (other, world.state.phase) == ("SUSPECT", "WATCHING")


def test_a_window_that_is_well_clears_a_hint_and_one_that_tells_nothing_does_not() -> None:
    world = World()
    world.tell(alert())

    world.closes("2", "unknown")
    still = world.state.phase
    world.closes("2", "ok")

    assert (still, world.state.phase) == ("SUSPECT", "WATCHING")


def test_a_hint_that_is_over_does_not_clear_what_a_rule_suspects() -> None:
    world = World()
    world.tell(alert())
    world.closes("2", "suspect")

    world.tell(alert(firing=False))

    assert world.state.phase == "SUSPECT"


def test_an_alert_that_is_evidence_goes_the_whole_way() -> None:
    world = World(policy=TRUSTING)

    world.tell(alert(confirms=True))

    assert world.written == ["CONFIRMED", "GATED", "INTENDED", "ACTING", "VERIFYING"]
    assert world.alias == "1"
    assert world.last.evidence["alert"]["name"] == "ErrorRate"


def test_hearing_of_it_again_changes_nothing() -> None:
    world = World(policy=TRUSTING)
    for _ in range(3):
        world.tell(alert(confirms=True))
        world.tell(alert(confirms=True, key="from the other one of the pair"))

    assert len(world.acts) == 1
    assert len(world.records) == 1


def test_without_a_known_cause_the_gate_refuses_an_alert_as_it_does_a_breach() -> None:
    world = World(policy=ACTING)

    world.tell(alert(confirms=True))

    assert world.last.refusal is not None
    assert world.last.refusal.gate == "world_or_model"
    assert world.acts == []


def test_what_kedge_measured_of_the_version_stands_beside_the_alert() -> None:
    world = World(policy=TRUSTING)
    closed = window("2", "breach", ends=START)
    rules = tuple(replace(rule, action="alert") for rule in closed.rules)
    world.tell(replace(closed, rules=rules))
    before = world.written

    world.tell(alert(confirms=True))

    assert before == []
    assert world.last.evidence["breached"] == ["r0"]
    assert world.last.evidence["window"]["version"] == "2"


@pytest.mark.parametrize(
    ("told", "gate"),
    [
        (alert(confirms=True, version="3"), "alias"),
        (alert(confirms=True, version="unknown"), "evidence"),
        (alert(confirms=True, starts_at=START - 1201), "evidence"),
    ],
    ids=["another version", "no known version", "older than twenty minutes"],
)
def test_an_alert_is_refused_by_the_gates_that_refuse_a_breach(told: Alerted, gate: str) -> None:
    world = World(policy=TRUSTING)

    world.tell(told)

    assert world.last.refusal is not None
    assert world.last.refusal.gate == gate
    assert world.acts == []


def test_an_alert_that_names_no_version_is_a_hint_whatever_it_is_called() -> None:
    world = World(policy=TRUSTING)

    world.tell(alert(confirms=True, version=None))

    assert (world.state.phase, world.written) == ("SUSPECT", [])


def test_a_hold_wins_over_an_alert() -> None:
    world = World(policy=TRUSTING)
    world.tell(HoldSet(START + 60, "release day"))

    world.tell(alert())
    hinted = world.state.phase
    world.tell(alert(confirms=True, key="f/2"))

    assert hinted == "HELD"
    assert world.acts == []
    assert world.last.refusal is not None
    assert world.last.refusal.gate == "hold"


def test_after_a_crash_an_alert_is_as_old_as_it_was() -> None:
    world = World(policy=TRUSTING)
    world.answering = False
    world.tell(alert(confirms=True, starts_at=START - 900))
    opened: RollbackRecord = world.last

    world.state = State(MODEL, (STEP,), memory=Memory())
    world.answering = True
    world.now += 400
    world.tell(Resumed((opened,)))

    assert world.last.refusal is not None
    assert "the window ended 1300 s ago" in world.last.refusal.detail
    assert world.acts == []


@given(
    st.lists(
        st.one_of(
            st.builds(
                alert,
                version=st.sampled_from([None, "1", "2", "3", "unknown"]),
                confirms=st.just(False),  # noqa: FBT003 - a strategy of one value
                firing=st.booleans(),
                key=st.sampled_from(["a", "b"]),
            ),
            st.builds(
                window,
                st.sampled_from(["1", "2"]),
                st.sampled_from(["ok", "unknown", "suspect"]),
                ends=st.just(START),
            ),
        ),
        max_size=20,
    )
)
def test_hints_never_act_however_many_there_are(told: list[Alerted | WindowsClosed]) -> None:
    world = World(policy=TRUSTING)

    for one in told:
        world.tell(one)

    assert (world.acts, world.written) == ([], [])
