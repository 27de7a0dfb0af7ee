"""The way of a rollback through the decision, from the first suspicion to its outcome."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rollback.command import WriteTransition
from rollback.observation import (
    HoldCleared,
    HoldSet,
    ManualRequested,
    Prechecked,
    RegistryFailed,
    RegistryRead,
    Resumed,
    RuleState,
    StepDone,
    StepFailed,
    Tick,
    VersionBlessed,
    VersionQuarantined,
)
from rollback.policy import Policy
from rollback.record import RollbackRecord
from rollback.state import State
from tests.rollback.scenes import ACTING, MODEL, START, STEP, World, versions, window


def test_a_breach_goes_all_the_way_to_resolved() -> None:
    world = World()

    world.closes("2", "suspect")
    world.closes("2", "breach")
    world.now += 70
    world.closes("1", "ok")

    assert world.written == ["CONFIRMED", "GATED", "INTENDED", "ACTING", "VERIFYING", "RESOLVED"]
    assert [(a.from_version, a.to_version) for a in world.acts] == [("2", "1")]
    assert world.last.outcome == "resolved"
    assert world.last.evidence["verification"] == {
        "events": 100,
        "share": 1.0,
        "rules": {"r0": "ok"},
    }
    assert world.state.phase == "RESOLVED"
    assert list(world.last.timings) == [
        *("confirmed", "gated", "intended", "acting", "verifying", "resolved")
    ]


def test_the_intent_is_written_before_the_act() -> None:
    world = World()

    commands = world.closes("2", "breach")

    names = [getattr(getattr(c, "record", None), "state", type(c).__name__) for c in commands]
    assert names.index("INTENDED") < names.index("ACTING") < names.index("Act")


def test_a_resolved_model_is_watched_again_after_the_next_good_window() -> None:
    world = _resolved()

    world.closes("1", "ok")

    assert world.state.phase == "WATCHING"


def test_a_suspicion_clears_when_its_rule_says_ok() -> None:
    world = World()
    world.closes("2", ["suspect", "ok"])

    world.closes("2", ["ok", "unknown"])

    assert world.state.phase == "WATCHING"
    assert not world.records


@pytest.mark.parametrize("after", ["unknown", "suspect"])
def test_a_suspicion_does_not_clear_by_anything_else(after: RuleState) -> None:
    world = World()
    world.closes("2", "suspect")

    world.closes("2", after)

    assert world.state.phase == "SUSPECT"


def test_a_suspicion_ends_with_the_traffic_of_its_version() -> None:
    world = World()
    world.closes("2", "suspect")

    world.tell(window("3", "ok", ends=world.now, events={"3": 100}))

    assert world.state.phase == "WATCHING"


def test_another_version_does_not_clear_a_suspicion_while_the_suspect_still_answers() -> None:
    world = World()
    world.closes("2", "suspect")

    world.tell(window("1", "ok", ends=world.now, events={"1": 50, "2": 50}))

    assert world.state.phase == "SUSPECT"


def test_an_alert_rule_never_opens_a_rollback() -> None:
    world = World()
    alert = replace(window("2", "breach", ends=world.now).rules[0], action="alert")

    world.tell(replace(window("2", "ok", ends=world.now), rules=(alert,)))

    assert world.state.phase == "WATCHING"
    assert not world.records


@pytest.mark.parametrize(
    ("policy", "outcome", "state"),
    [
        (replace(ACTING, mode="observe"), "would breach", "REFUSED"),
        (replace(ACTING, mode="dry-run"), "would have acted", "GATED"),
    ],
    ids=["observe plans nothing", "dry-run stops behind the gates"],
)
def test_a_mode_that_does_not_act_writes_one_record_and_is_quiet_for_the_cooldown(
    policy: Policy, outcome: str, state: str
) -> None:
    world = World(policy=policy)

    for _ in range(10):
        world.closes("2", "breach")
        world.now += 60

    (record,) = world.records.values()
    assert (record.outcome, record.state, record.dry_run) == (outcome, state, True)
    assert world.acts == []
    assert world.alias == "2"


def test_a_rehearsal_names_where_it_would_have_gone_and_comes_again_after_the_cooldown() -> None:
    world = World(policy=replace(ACTING, mode="dry-run"))
    world.closes("2", "breach")
    world.now += ACTING.cooldown_s

    world.closes("2", "breach")

    rehearsed = [r for r in world.records.values() if r.outcome == "would have acted"]
    assert [(r.from_version, r.to_version) for r in rehearsed] == [("2", "1")] * 2
    assert [g.gate for g in rehearsed[0].gates] == [
        *("mode", "hold", "evidence", "cooldown", "budget", "alias", "quarantine", "target"),
        *("world_or_model", "better_on_shadow"),
    ]


def test_a_rehearsal_does_not_stand_in_the_way_of_the_real_thing() -> None:
    world = World(policy=replace(ACTING, mode="dry-run"))
    world.closes("2", "breach")
    world.policy = ACTING
    world.state = replace(world.state, told=None)

    world.closes("2", "breach")

    assert len(world.acts) == 1


def test_the_same_window_told_again_opens_no_second_rollback() -> None:
    world = World()
    once = window("2", "breach", ends=world.now)

    for _ in range(5):
        world.tell(once)

    assert len(world.records) == 1
    assert len(world.acts) == 1


def test_a_breach_that_clears_while_the_registry_is_silent_is_not_acted_on() -> None:
    world = World(answering=False)
    world.closes("2", "breach")

    world.closes("2", "ok")
    world.answering = True
    world.later(1)

    assert world.acts == []
    assert world.last.outcome == "refused"


# Gates.


def _refusal(world: World) -> str | None:
    refusal = world.last.refusal
    return refusal.gate if refusal else None


def test_old_evidence_is_refused() -> None:
    world = World()

    world.tell(window("2", "breach", ends=world.now - ACTING.evidence_age_max_s - 1))

    assert _refusal(world) == "evidence"
    assert world.acts == []


def test_old_evidence_at_the_start_does_not_hold_up_fresh_evidence() -> None:
    world = World()
    world.tell(window("2", "breach", ends=world.now - 3600))

    world.closes("2", "breach")

    assert len(world.acts) == 1


def test_evidence_about_no_version_is_refused() -> None:
    world = World()

    world.closes("unknown", "breach")

    assert _refusal(world) == "evidence"


def test_an_alias_that_somebody_moved_already_is_refused() -> None:
    world = World(alias="3")

    world.closes("2", "breach")

    assert _refusal(world) == "alias"
    assert "points to version 3" in world.last.detail


def test_a_missing_alias_is_refused() -> None:
    world = World(alias=None)

    world.closes("2", "breach")

    assert _refusal(world) == "alias"


def test_a_model_without_a_ready_version_below_is_refused() -> None:
    world = World(versions=(*versions(2, 3), *versions(1, status="PENDING_REGISTRATION")))

    world.closes("2", "breach")

    assert _refusal(world) == "target"


def test_a_quarantined_target_is_refused() -> None:
    world = World()
    world.tell(VersionQuarantined("1", START + 1e6))

    world.closes("2", "breach")

    assert _refusal(world) == "quarantine"


def test_blessing_a_quarantined_version_opens_the_way() -> None:
    world = World()
    world.tell(VersionQuarantined("1", START + 1e6))
    world.closes("2", "breach")
    world.tell(VersionBlessed("1"))

    world.closes("2", "breach")

    assert [a.to_version for a in world.acts] == ["1"]


def test_a_hold_is_refused_and_shown() -> None:
    world = World()
    world.tell(HoldSet(START + 600, "black friday"))

    world.closes("2", "breach")

    assert _refusal(world) == "hold"
    assert "black friday" in world.last.detail
    assert world.state.phase == "HELD"


def test_a_hold_that_has_run_out_holds_nothing() -> None:
    world = World()
    world.tell(HoldSet(START + 600, "black friday"))

    world.later(600)
    world.closes("2", "breach")

    assert len(world.acts) == 1


def test_a_hold_stops_a_rollback_that_waits_for_the_registry() -> None:
    world = World(answering=False)
    world.closes("2", "breach")

    world.tell(HoldSet(START + 600, "wait"))
    world.answering = True
    world.later(5)

    assert _refusal(world) == "hold"
    assert world.acts == []


def test_a_second_breach_within_the_cooldown_is_refused() -> None:
    world = _resolved()
    world.alias = "3"
    world.closes("1", "ok")

    world.closes("3", "breach")

    assert _refusal(world) == "cooldown"
    assert len(world.acts) == 1


def test_more_than_the_budget_is_refused() -> None:
    world = World(policy=replace(ACTING, max_per_day=1))
    _resolve(world)
    world.alias = "3"
    world.now += ACTING.cooldown_s

    world.closes("3", "breach")

    assert _refusal(world) == "budget"


def test_there_is_no_second_automatic_move() -> None:
    world = World(alias="3")
    world.closes("3", "breach")
    world.now += 70
    world.closes("2", "ok")
    world.now += ACTING.cooldown_s

    world.closes("2", "breach")

    assert [a.to_version for a in world.acts] == ["2"]
    assert _refusal(world) == "budget"


def test_a_version_that_was_rolled_back_from_is_no_target_for_a_week() -> None:
    world = _resolved()
    world.alias = "3"
    world.now += ACTING.cooldown_s

    world.closes("3", "breach")

    assert [a.to_version for a in world.acts] == ["1", "1"]


def test_a_refusal_that_goes_on_is_counted_but_recorded_once() -> None:
    world = World(versions=versions(2))

    for _ in range(4):
        world.closes("2", "breach")
        world.now += 60

    assert len(world.records) == 1
    assert sum(t.repeated and t.gate == "target" for t in world.transitions) == 3


def test_a_step_that_would_not_work_is_refused_before_anything_is_done() -> None:
    world = World(answering=False)
    world.closes("2", "breach")
    world.tell(RegistryRead("2", versions(1, 2)))

    world.tell(Prechecked(world.last.id, ("version 1 has no artifacts",)))

    assert _refusal(world) == "target"
    assert world.acts == []


# Acting, and what goes wrong.


def _acting() -> World:
    """A world in which the act was commanded and nothing was answered."""
    world = World(answering=False)
    world.closes("2", "breach")
    world.tell(RegistryRead("2", versions(1, 2)))
    world.tell(Prechecked(world.last.id))
    assert world.state.phase == "ACTING"
    return world


def test_a_transient_failure_is_tried_again_until_it_works() -> None:
    world = _acting()
    world.tell(StepFailed(world.last.id, STEP, "transient", "503"))
    assert world.later(0.5) == []

    world.answering = True
    world.later(0.5)

    assert len(world.acts) == 2
    assert world.last.state == "VERIFYING"
    assert world.last.steps[0].attempts == 2


def test_too_many_failures_call_a_person_and_freeze() -> None:
    world = _acting()

    for _ in range(ACTING.attempts_max):
        world.tell(StepFailed(world.last.id, STEP, "transient", "503"))
        world.later(61)

    assert world.last.outcome == "escalated"
    assert len(world.acts) == ACTING.attempts_max
    assert world.state.phase == "ESCALATED"


def test_nothing_is_begun_after_the_intent_has_expired() -> None:
    world = _acting()
    world.tell(StepFailed(world.last.id, STEP, "transient", "503"))

    world.later(ACTING.intent_ttl_s)

    assert len(world.acts) == 1
    assert world.last.outcome == "escalated"
    assert "look where the alias points" in world.last.detail


def test_what_another_actor_moved_is_left_alone() -> None:
    world = _acting()

    world.tell(StepFailed(world.last.id, STEP, "contested", "points to 3", changed=False))

    assert world.last.outcome == "contested"
    assert len(world.acts) == 1


def test_an_alias_moved_during_the_verification_is_contested_and_freezes() -> None:
    world = World()
    world.closes("2", "breach")
    world.alias = "3"

    world.later(ACTING.verify_interval_s)
    world.now += ACTING.cooldown_s
    world.closes("3", "breach")

    assert world.records["id-0000"].outcome == "contested"
    assert _refusal(world) == "hold"
    assert world.alias == "3"


@pytest.mark.parametrize(
    ("alias", "outcome"), [("2", "resolved"), ("1", "resolved"), ("3", "contested")]
)
def test_an_alias_that_no_step_moves_may_stay_and_go_nowhere_else(alias: str, outcome: str) -> None:
    world = World(alias_stays=True)
    world.closes("2", "breach")
    world.alias = alias
    world.now += 70

    world.closes("1", "ok")
    world.later(ACTING.verify_interval_s)

    assert world.last.outcome == outcome


def test_a_person_ends_the_freeze() -> None:
    world = World()
    world.closes("2", "breach")
    world.alias = "3"
    world.later(ACTING.verify_interval_s)
    world.now += ACTING.cooldown_s

    world.tell(HoldCleared())
    world.closes("3", "breach")

    assert [a.to_version for a in world.acts] == ["1", "1"]


def test_an_answer_about_another_rollback_changes_nothing() -> None:
    world = _acting()
    before = world.state

    world.tell(StepDone("id-of-another", STEP))
    world.tell(StepFailed(world.last.id, "another step", "permanent", "no"))

    assert replace(world.state, next_id="") == replace(before, next_id="")


def test_a_registry_that_stays_away_calls_a_person_but_freezes_nothing() -> None:
    world = World(answering=False)
    world.closes("2", "breach")

    for _ in range(ACTING.attempts_max):
        world.tell(RegistryFailed("connection refused", transient=True))
    assert world.last.outcome == "escalated"
    world.answering = True
    world.closes("2", "breach")

    assert len(world.acts) == 1


def test_a_registry_that_refuses_is_a_refusal() -> None:
    world = World(answering=False)
    world.closes("2", "breach")

    world.tell(RegistryFailed("403 Invalid Host header", transient=False))

    assert _refusal(world) == "alias"
    assert "Invalid Host" in world.last.detail


# Verifying.


def _resolve(world: World) -> World:
    world.closes(world.alias or "", "breach")
    world.now += 70
    world.closes(world.alias or "", "ok")
    assert world.last.outcome == "resolved"
    return world


def _resolved() -> World:
    return _resolve(World())


@pytest.mark.parametrize(
    ("version", "states", "begins_after_s", "events", "missing"),
    [
        ("1", ["unknown"], 1, {"1": 100}, "not decided"),
        ("1", ["breach"], 1, {"1": 100}, "still in breach: r0"),
        ("1", ["ok"], 1, {"1": 9}, "9 of 10 events"),
        ("1", ["ok"], -1, {"1": 100}, "0 of 10 events"),
        ("2", ["ok"], 1, {"1": 100, "2": 100}, "0 of 10 events"),
        ("1", ["ok"], 1, {"1": 40, "2": 60}, "only 40%"),
    ],
    ids=[
        "a rule that says unknown",
        "a rule still in breach",
        "too few events",
        "a window that began before the act",
        "a window of the version that was left",
        "traffic that has not moved",
    ],
)
def test_success_is_not_claimed_on(
    version: str,
    states: list[RuleState],
    begins_after_s: float,
    events: dict[str, int],
    missing: str,
) -> None:
    world = World()
    world.closes("2", "breach")
    ends = world.now + begins_after_s + 60

    world.now = ends
    world.tell(window(version, states, ends=ends, events=events))
    world.later(ACTING.verify_timeout_s)

    assert world.last.outcome == "escalated"
    assert missing in world.last.detail
    assert len(world.acts) == 1


def test_overlapping_windows_count_their_events_once() -> None:
    world = World(policy=replace(ACTING, verify_events_min=250))
    world.closes("2", "breach")
    acted = world.now

    for slide in range(1, 5):
        world.now = acted + 60 + slide * 10
        world.closes("1", "ok")
    assert world.last.state == "VERIFYING"
    for slide in range(5, 20):
        world.now = acted + 60 + slide * 10
        world.closes("1", "ok")

    assert world.last.outcome == "resolved"
    assert world.last.evidence["verification"]["events"] == 300


def test_the_registry_has_the_last_word() -> None:
    world = World()
    world.closes("2", "breach")
    world.alias = "2"
    world.now += 70

    world.closes("1", "ok")

    assert world.last.outcome == "contested"


# Asked for by a person.


def test_a_request_by_hand_goes_to_the_version_named() -> None:
    world = World()

    world.tell(ManualRequested("by-hand", "3", "v2 was a mistake"))
    world.now += 70
    world.closes("3", "ok")

    assert world.records["by-hand"].outcome == "resolved"
    assert (world.last.from_version, world.last.to_version) == ("2", "3")
    assert world.last.manual


@pytest.mark.parametrize(
    ("to_version", "gate"),
    [("2", "target"), ("9", "target"), ("1", "quarantine")],
    ids=["already there", "does not exist", "quarantined"],
)
def test_a_request_by_hand_is_refused_where_it_could_not_work(to_version: str, gate: str) -> None:
    world = World()
    world.tell(VersionQuarantined("1", START + 1e6))

    world.tell(ManualRequested("by-hand", to_version, "please"))

    assert _refusal(world) == gate
    assert world.acts == []


def test_a_person_may_go_back_at_once_from_where_kedge_went() -> None:
    world = _resolved()

    world.tell(ManualRequested("by-hand", "2", "the alarm was false"))

    assert [a.to_version for a in world.acts] == ["1", "2"]


def test_a_fresh_configuration_does_not_act_by_hand_either() -> None:
    world = World(policy=Policy(target="previous"))

    world.tell(ManualRequested("by-hand", None, "please"))

    assert world.last.outcome == "would have acted"
    assert world.alias == "2"


def test_a_request_beside_an_open_rollback_is_refused_and_disturbs_nothing() -> None:
    world = _acting()
    before = world.state.record

    world.tell(ManualRequested("by-hand", "3", "please"))

    assert world.records["by-hand"].outcome == "refused"
    assert world.state.record == before


# Blindness, and starting.


def test_rules_that_cannot_decide_for_long_make_kedge_blind_and_ok_ends_it() -> None:
    world = World()
    world.closes("2", "ok")
    for _ in range(40):
        world.now += 60
        world.closes("2", "unknown")
    world.later(0)
    blind = world.state.phase

    world.closes("2", "ok")

    assert (blind, world.state.phase) == ("BLIND", "WATCHING")


def _open(state: str) -> RollbackRecord:
    return next(
        c.record
        for c in _acting().commands
        if isinstance(c, WriteTransition) and c.record.state == state
    )


@pytest.mark.parametrize("state", ["CONFIRMED", "GATED", "INTENDED", "ACTING"])
def test_an_open_rollback_is_carried_on_after_a_start(state: str) -> None:
    world = World()

    world.tell(Resumed((_open(state),)))

    assert world.last.state == "VERIFYING"
    assert world.alias == "1"


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        ("CONFIRMED", "refused"),
        ("GATED", "refused"),
        ("INTENDED", "refused"),
        ("ACTING", "escalated"),
    ],
)
def test_an_expired_intent_is_never_resumed(state: str, outcome: str) -> None:
    world = World(now=START + ACTING.intent_ttl_s)

    world.tell(Resumed((_open(state),)))

    assert world.acts == []
    assert world.last.outcome == outcome


def test_an_open_intent_is_not_begun_when_the_mode_has_changed() -> None:
    world = World(policy=replace(ACTING, mode="dry-run"))

    world.tell(Resumed((_open("INTENDED"),)))

    assert world.acts == []
    assert _refusal(world) == "mode"


def test_the_journal_carries_cooldown_and_freeze_over_a_restart() -> None:
    world = World()
    world.closes("2", "breach")
    world.later(ACTING.verify_timeout_s)
    assert world.last.outcome == "escalated"

    again = World(alias="3", now=world.now + ACTING.cooldown_s)
    again.tell(Resumed((), (world.last,)))
    again.closes("3", "breach")

    assert again.state.phase == "ESCALATED"
    assert _refusal(again) == "hold"


def test_a_record_survives_being_written_and_read() -> None:
    record = _resolved().last

    assert RollbackRecord.from_json(record.to_json()) == record


def test_a_tick_in_an_empty_state_does_nothing() -> None:
    world = World(state=State(MODEL, (STEP,)))

    assert world.tell(Tick()) == []


def test_an_open_intent_is_not_begun_under_a_hold() -> None:
    world = World()
    world.tell(HoldSet(START + 600, "wait"))

    world.tell(Resumed((_open("INTENDED"),)))

    assert world.acts == []
    assert _refusal(world) == "hold"


def test_of_two_open_rollbacks_the_one_that_got_further_goes_on() -> None:
    world = World()
    waiting = replace(_open("CONFIRMED"), id="id-other")

    world.tell(Resumed((waiting, _open("ACTING"))))

    assert world.records["id-other"].outcome == "refused"
    assert world.last.state == "VERIFYING"
    assert len(world.acts) == 1


def test_a_read_that_fails_while_verifying_is_tried_again() -> None:
    world = World()
    world.closes("2", "breach")
    world.tell(RegistryFailed("503", transient=True))

    world.now += 70
    world.closes("1", "ok")

    assert world.last.outcome == "resolved"
