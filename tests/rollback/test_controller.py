"""The controller with a real MLflow: what is written, what moves, and what the weather does."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from collectors.registry.client import MlflowRegistry
from rollback.better import ShadowComparison
from rollback.controller import Compare, Controller, record_id
from rollback.observation import HoldCleared, HoldSet, VersionBlessed
from rollback.policy import BetterOnShadow, GatePolicy, Policy
from rollback.record import RollbackRecord, Transition
from tests.collectors.registered import point, register
from tests.rollback.faulty_proxy import FaultyProxy
from tests.rollback.memory_journal import MemoryJournal
from tests.rollback.real_model import RealModel
from tests.rollback.scenes import START

pytestmark = pytest.mark.real


@pytest.fixture
async def model(mlflow_uri: str) -> AsyncIterator[RealModel]:
    name = f"flight-{uuid4().hex}"
    await register(mlflow_uri, name, 3, champion="2")
    async with MlflowRegistry(mlflow_uri) as registry:
        yield RealModel(mlflow_uri, name, registry)


async def apart(_from_version: str, to_version: str) -> ShadowComparison:
    return ShadowComparison(to_version, 300, None, None, None, "apart")


@pytest.mark.parametrize("compare", [None, apart], ids=["not compared", "compared before"])
async def test_a_breach_moves_the_real_alias_within_two_seconds_and_is_verified(
    model: RealModel, compare: Compare | None
) -> None:
    controller = model.controller(compare=compare)
    await controller.resume()
    begun = time.monotonic()

    await model.breach(controller)
    moved = await model.alias()
    took_s = time.monotonic() - begun
    # What the registry takes on this machine, as busy as it is: it answers within 50 ms otherwise.
    begun = time.monotonic()
    for _ in range(40):
        await model.alias()
    forty_reads_s = time.monotonic() - begun
    await model.good(controller)

    assert moved == "1"
    assert took_s < max(2.0, forty_reads_s)
    assert model.journal.states == [
        *("CONFIRMED", "GATED", "INTENDED", "ACTING", "VERIFYING", "RESOLVED")
    ]
    assert model.journal.records[0].outcome == "resolved"


async def test_while_the_target_is_compared_a_hold_is_taken_and_no_step_is_rehearsed(
    model: RealModel,
) -> None:
    async def pending(_from_version: str, to_version: str) -> ShadowComparison:
        return ShadowComparison(to_version, 0, None, None, None, "pending")

    controller = model.controller(compare=pending)
    await model.breach(controller)
    status = controller.status()

    await controller.say(HoldSet(model.now + 60, "wait"))
    await model.later(controller, 5)

    assert status["rollback"]["evidence"]["shadow"]["verdict"] == "pending"
    assert model.journal.states == ["CONFIRMED", "REFUSED"]
    assert model.journal.records[0].refusal is not None
    assert model.journal.records[0].refusal.gate == "hold"
    assert await model.alias() == "2"


@pytest.mark.parametrize(("policy", "serving"), [("if-available", "1"), ("require", "2")])
async def test_a_comparison_that_takes_too_long_counts_as_none_unless_one_is_required(
    model: RealModel, policy: BetterOnShadow, serving: str
) -> None:
    async def pending(_from_version: str, to_version: str) -> ShadowComparison:
        return ShadowComparison(to_version, 0, None, None, None, "pending", "version 1 is asked")

    model.allow(gates=GatePolicy(better_on_shadow=policy, compare_wait_s=5.0))
    controller = model.controller(compare=pending)
    await model.breach(controller)
    before = await model.alias()

    await model.later(controller, 5)

    assert (before, await model.alias()) == ("2", serving)
    if policy == "if-available":
        record = model.journal.records[0]
        gate = next(one for one in record.gates if one.gate == "better_on_shadow")
        assert gate.detail == (
            "the target was not compared: version 1 is asked; that was not done within 5 s"
        )
        assert record.evidence["shadow"]["verdict"] == "unknown"


async def test_a_rehearsal_passes_every_gate_and_moves_nothing(model: RealModel) -> None:
    model.allow(mode="dry-run")
    controller = model.controller()

    await model.breach(controller)

    (record,) = model.journal.records
    assert (record.outcome, record.dry_run, record.to_version) == ("would have acted", True, "1")
    assert await model.alias() == "2"


async def test_the_last_version_seen_healthy_is_found_again_after_a_restart(
    model: RealModel,
) -> None:
    model.allow(target="last-good")
    await point(model.uri, model.name, "champion", "1")
    await model.good(model.controller(), "1")
    await point(model.uri, model.name, "champion", "3")

    controller = model.controller()
    await model.breach(controller, "3")

    # Version 2 is ready and nearer, but was never seen.
    assert await model.alias() == "1"


async def test_a_request_by_hand_is_written_first_and_done_by_the_next_tick(
    model: RealModel,
) -> None:
    controller = model.controller()

    request = await controller.request("3", "version 2 was a mistake")
    before = await model.alias()
    await controller.tick()

    written = await model.journal.get(request)
    assert written is not None
    assert before == "2"
    assert (written.state, written.manual) == ("VERIFYING", True)
    assert await model.alias() == "3"


async def test_a_person_who_moves_the_alias_meanwhile_is_not_fought(
    model: RealModel, mlflow_uri: str
) -> None:
    async with FaultyProxy(mlflow_uri) as proxy, MlflowRegistry(proxy.uri) as registry:
        controller = model.controller(registry=registry)

        async def a_person() -> None:
            proxy.before_write = None
            await point(model.uri, model.name, "champion", "3")

        proxy.before_write = a_person
        proxy.fates = ["503"]
        await model.breach(controller)
        await model.breach(controller)
        await model.later(controller, model.policy.cooldown_s)
        await model.breach(controller, "3")

    assert [r.outcome for r in model.journal.records] == ["contested", "refused"]
    assert await model.alias() == "3"
    assert controller.status()["state"] == "CONTESTED"


async def test_a_person_who_moves_the_alias_back_during_the_verification_is_not_fought(
    model: RealModel,
) -> None:
    controller = model.controller()
    await model.breach(controller)
    await point(model.uri, model.name, "champion", "2")

    await model.good(controller)
    await model.breach(controller)

    assert model.journal.records[0].outcome == "contested"
    assert await model.alias() == "2"


async def test_an_outage_of_the_registry_is_outlived(model: RealModel, mlflow_uri: str) -> None:
    async with FaultyProxy(mlflow_uri) as proxy, MlflowRegistry(proxy.uri) as registry:
        controller = model.controller(registry=registry)
        proxy.reads = ["503"] * 9
        proxy.fates = ["503", "503"]

        await model.breach(controller)
        for _ in range(20):
            await model.later(controller, 5)
        await model.good(controller)

    (record,) = model.journal.records
    assert record.outcome == "resolved"
    assert record.steps[0].attempts == 3
    assert len(proxy.writes) == 1


async def test_an_outage_that_lasts_calls_a_person(model: RealModel, mlflow_uri: str) -> None:
    async with FaultyProxy(mlflow_uri) as proxy, MlflowRegistry(proxy.uri) as registry:
        controller = model.controller(registry=registry)
        proxy.fates = ["503"] * 100

        await model.breach(controller)
        for _ in range(20):
            await model.later(controller, 61)

    (record,) = model.journal.records
    assert record.outcome == "escalated"
    assert proxy.writes == []
    assert len(proxy.fates) >= 100 - model.policy.attempts_max


class FailingJournal(MemoryJournal):
    """Cannot write while `broken` is true, like a full disk."""

    broken = False

    async def write(self, record: RollbackRecord, transition: Transition) -> None:
        if self.broken and record.state != "CONFIRMED":
            raise OSError(28, "No space left on device")
        await super().write(record, transition)


async def test_nothing_moves_that_cannot_be_written_and_it_goes_on_when_it_can(
    model: RealModel,
) -> None:
    model.journal = journal = FailingJournal()
    journal.broken = True
    controller = model.controller()

    with pytest.raises(OSError, match="No space left"):
        await model.breach(controller)
    before = await model.alias()
    journal.broken = False
    await controller.tick()
    await model.good(controller)

    assert before == "2"
    assert [r.outcome for r in journal.records] == ["resolved"]


async def test_a_hold_outlives_a_restart(model: RealModel) -> None:
    await model.controller().observe(HoldSet(START + 3600, "peak day"))

    controller = model.controller()
    await model.breach(controller)
    held = controller.status()
    await controller.observe(HoldCleared())
    await model.breach(controller)

    assert (held["state"], held["hold"]["reason"]) == ("HELD", "peak day")
    assert [r.outcome for r in model.journal.records] == ["refused", None]


async def test_the_status_is_json_and_says_what_is_open(model: RealModel) -> None:
    controller = model.controller()
    await controller.observe(VersionBlessed("1"))
    await model.breach(controller)

    status = json.loads(json.dumps(controller.status(), allow_nan=False))

    assert (status["state"], status["mode"], status["alias_version"]) == ("VERIFYING", "act", "2")
    assert (status["rollback"]["from"], status["rollback"]["to"]) == ("2", "1")
    assert status["versions"]["1"]["blessed_at"] == START


async def test_every_transition_is_told_after_it_was_written(model: RealModel) -> None:
    controller = model.controller()

    await model.breach(controller)
    await model.good(controller)
    await model.good(controller)

    told = [(t.before, t.after) for t, _ in model.told]
    assert [after for _, after in told] == [*model.journal.states, "WATCHING"]
    assert [before for before, _ in told[1:]] == [after for _, after in told[:-1]]


async def test_a_model_that_is_not_registered_is_a_refusal(model: RealModel) -> None:
    model.name += "-not"
    controller = model.controller()

    await model.breach(controller)

    (record,) = model.journal.records
    assert record.refusal is not None
    assert record.refusal.gate == "alias"
    assert "not found" in record.detail


def test_a_plan_without_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="one or more steps"):
        Controller(
            "m",
            "champion",
            Policy(),
            journal=MemoryJournal(),
            registry=MlflowRegistry("http://127.0.0.1:1"),
            actuators=[],
            now=lambda: START,
            new_id=lambda: "id",
        )


def test_ids_sort_by_time_and_differ() -> None:
    early, late = record_id(START), record_id(START + 0.002)

    assert early < late
    assert record_id(START) != record_id(START)
