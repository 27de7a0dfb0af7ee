"""What went wrong in other tools, as their users told it, and must not go wrong here.

Those about one kind of step stand with that step; here is what the decision has to get right.
"""

from __future__ import annotations

from dataclasses import replace

from rollback.observation import (
    HoldCleared,
    ManualRequested,
    Prechecked,
    RegistryFailed,
    RegistryRead,
    StepFailed,
)
from rollback.policy import DAY_S
from tests.rollback.scenes import ACTING, STEP, World, versions, window


def breach(world: World, version: str = "2") -> None:
    world.closes(version, "breach")


def verified(world: World, version: str = "1") -> None:
    world.now += 61
    world.closes(version, "ok")


def ask(world: World, to_version: str | None, reason: str) -> None:
    world.tell(ManualRequested(f"by-hand-{world.now}", to_version, reason))


def test_argo_rollouts_1466_no_data_is_no_breach() -> None:
    world = World()

    for _ in range(50):
        world.now += 60
        world.closes("2", "unknown")
    world.later(1)

    assert (world.acts, world.written) == ([], [])
    assert world.state.phase == "BLIND"


def test_argo_rollouts_180_no_data_does_not_clear_a_suspicion_either() -> None:
    world = World()
    world.closes("2", "suspect")

    world.closes("2", "unknown")

    assert world.state.phase == "SUSPECT"


def test_argo_rollouts_4479_a_verification_in_which_nothing_could_be_measured_is_no_success() -> (
    None
):
    world = World()
    breach(world)

    for _ in range(20):
        world.now += 61
        world.closes("1", "unknown")
    world.later(1)

    assert world.last.outcome == "escalated"
    assert "not decided" in world.last.detail


def test_argo_rollouts_1411_a_breach_that_is_confirmed_does_not_go_by() -> None:
    world = World()

    breach(world)

    assert world.alias == "1"


def test_argo_rollouts_1329_a_verification_that_is_cut_short_is_no_success() -> None:
    world = World()
    breach(world)

    world.later(ACTING.verify_timeout_s + 1)

    assert world.last.outcome == "escalated"


def test_flagger_1035_little_traffic_is_no_failure() -> None:
    world = World()

    for _ in range(10):
        world.now += 60
        world.tell(window("2", "unknown", ends=world.now, events={"2": 3}))

    assert world.acts == []


def test_flagger_1011_values_from_before_the_traffic_stopped_are_not_acted_on() -> None:
    world = World()
    stale = window("2", "breach", ends=world.now)

    world.now += ACTING.evidence_age_max_s + 1
    world.tell(stale)

    assert world.acts == []
    assert world.last.refusal is not None
    assert world.last.refusal.gate == "evidence"


def test_argo_rollouts_1416_a_bad_target_is_not_left_for_another_bad_one() -> None:
    world = World(alias="3")
    breach(world, "3")
    world.now += 61
    world.closes("2", "breach")
    world.later(ACTING.verify_timeout_s + 1)

    world.tell(HoldCleared())
    world.now += ACTING.cooldown_s + 1
    breach(world, "2")

    assert [act.to_version for act in world.acts] == ["2"]
    assert world.last.refusal is not None
    assert world.last.refusal.gate == "budget"


def test_flagger_639_a_person_may_still_leave_a_version_that_is_not_well() -> None:
    world = World(alias="3")
    breach(world, "3")
    world.later(ACTING.verify_timeout_s + 1)

    ask(world, "1", "2 is broken, too")

    assert world.alias == "1"


def test_kserve_1968_the_version_before_10_is_9_and_not_8() -> None:
    world = World(alias="10", versions=versions(8, 9, 10))

    breach(world, "10")

    assert world.alias == "9"


def test_kubernetes_website_6921_going_back_twice_does_not_return_to_the_bad_version() -> None:
    world = World(alias="3")
    breach(world, "3")
    verified(world, "2")

    world.now += ACTING.cooldown_s + 1
    ask(world, None, "once more")

    assert [act.to_version for act in world.acts] == ["2", "1"]


def test_flux_2285_a_pipeline_that_puts_the_bad_version_back_is_not_fought_for_ever() -> None:
    world = World()
    for _ in range(10):
        breach(world)
        verified(world)
        world.now += ACTING.cooldown_s + 1
        world.alias = "2"

    assert len(world.acts) <= ACTING.max_per_day


def test_helm_controller_268_one_failure_does_not_stop_it_for_ever() -> None:
    world = World()
    world.answering = False
    breach(world)
    world.tell(RegistryRead("2", world.versions))
    world.tell(Prechecked(world.last.id))
    world.tell(StepFailed(world.last.id, STEP, "permanent", "403", changed=False))
    world.answering = True
    stopped = world.last.outcome

    world.tell(HoldCleared())
    world.now += ACTING.cooldown_s + 1
    breach(world)

    assert stopped == "escalated"
    assert world.alias == "1"


def test_flux2_5916_tries_have_an_end_and_it_is_told() -> None:
    world = World()
    world.answering = False
    breach(world)

    for _ in range(ACTING.attempts_max + 1):
        world.tell(RegistryFailed("503", transient=True))

    assert world.last.outcome in ("refused", "escalated")


def test_temporal_609_a_version_that_simply_serves_is_no_rollback() -> None:
    world = World(alias="1")

    for _ in range(10):
        world.now += 60
        world.closes("1", "ok")

    assert (world.written, world.acts) == ([], [])


def test_temporal_126_a_version_that_was_never_seen_to_serve_is_no_target() -> None:
    world = World(policy=replace(ACTING, target="last-good"), alias="3")

    breach(world, "3")

    assert world.acts == []
    assert world.last.refusal is not None
    assert world.last.refusal.gate == "target"


def test_argo_rollouts_4347_an_alias_that_reads_back_is_no_traffic_that_moved() -> None:
    world = World()
    breach(world)

    for _ in range(20):
        world.now += 61
        both = {"1": 10, "2": 990}
        world.tell(window("1", "ok", ends=world.now, events=both))
    world.later(1)

    assert world.last.outcome == "escalated"
    assert "of the traffic is the target's" in world.last.detail


def test_mlflow_2169_which_version_was_in_production_and_why_it_left_is_on_record() -> None:
    world = World()
    breach(world)
    verified(world)

    record = world.last.to_json()
    assert (record["from"], record["to"], record["outcome"]) == ("2", "1", "resolved")
    assert record["evidence"]["breached"] == ["r0"]
    assert set(record["timings"]) >= {"confirmed", "intended", "acting", "verifying", "resolved"}


def test_mlflow_22095_a_registry_that_refuses_our_host_header_is_a_refusal_that_says_so() -> None:
    world = World()
    world.answering = False
    breach(world)

    world.tell(RegistryFailed("403 Invalid Host header", transient=False))

    assert world.last.refusal is not None
    assert "Invalid Host header" in world.last.detail


def test_sample_citadel_76_what_a_person_has_moved_is_not_moved_back() -> None:
    world = World(alias="3")
    breach(world, "2")

    assert world.acts == []
    assert world.last.refusal is not None
    assert world.last.refusal.gate == "alias"
    assert world.alias == "3"


def test_kargo_6542_a_rollback_is_not_rolled_back() -> None:
    world = World(alias="3")
    breach(world, "3")
    verified(world, "2")

    world.now += ACTING.cooldown_s + 1
    breach(world, "2")

    assert [act.to_version for act in world.acts] == ["2"]
    assert world.last.outcome == "refused"


def test_flagger_616_a_version_that_turns_bad_long_after_its_promotion_is_left() -> None:
    world = World()
    for _ in range(60):
        world.now += DAY_S
        world.closes("2", "ok")

    world.now += DAY_S
    breach(world)

    assert world.alias == "1"
