"""The stage actuator on a real MLflow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from collectors.registry.client import MlflowRegistry
from rollback.actuator import Done, Failed
from rollback.actuators.mlflow_stage import MlflowStage, MlflowStageSettings
from tests.collectors.registered import register
from tests.rollback.faulty_proxy import Fate, FaultyProxy

pytestmark = pytest.mark.real


@pytest.fixture
async def proxy(mlflow_uri: str) -> AsyncIterator[FaultyProxy]:
    async with FaultyProxy(mlflow_uri) as proxy:
        yield proxy


@pytest.fixture
async def registry(proxy: FaultyProxy) -> AsyncIterator[MlflowRegistry]:
    async with MlflowRegistry(proxy.uri, timeout_s=3.0) as registry:
        yield registry


@pytest.fixture
async def model(mlflow_uri: str, registry: MlflowRegistry, proxy: FaultyProxy) -> str:
    """Three versions, of which the second is in Production."""
    name = f"flight-{uuid4().hex}"
    await register(mlflow_uri, name, 3)
    await registry.set_stage(name, "2", "Production")
    proxy.writes.clear()
    return name


def step(model: str, registry: MlflowRegistry) -> MlflowStage:
    return MlflowStageSettings().build(model=model, registry=registry)


async def stages(model: str, registry: MlflowRegistry) -> dict[str, str]:
    return {v.version: v.stage for v in await registry.versions(model)}


async def test_the_target_goes_to_the_stage_and_the_other_is_archived(
    model: str, registry: MlflowRegistry
) -> None:
    result = await step(model, registry).act("2", "1")

    assert result == Done("version 1 is in Production")
    assert await stages(model, registry) == {"1": "Production", "2": "Archived", "3": "None"}


async def test_acting_twice_writes_once(
    model: str, registry: MlflowRegistry, proxy: FaultyProxy
) -> None:
    await step(model, registry).act("2", "1")

    result = await step(model, registry).act("2", "1")

    assert result == Done("version 1 was in Production already", changed=False)
    assert len(proxy.writes) == 1


async def test_a_stage_that_somebody_moved_is_left(model: str, registry: MlflowRegistry) -> None:
    await registry.set_stage(model, "3", "Production")

    result = await step(model, registry).act("2", "1")

    assert isinstance(result, Failed)
    assert (result.kind, result.changed) == ("contested", False)
    assert await step(model, registry).undone("2", "3") is None
    assert "version 3 is in Production" in (await step(model, registry).undone("2", "1") or "")


@pytest.mark.parametrize(("fate", "done"), [("mute", True), ("done503", True), ("503", False)])
async def test_a_write_whose_answer_was_lost_is_read_back(
    model: str, registry: MlflowRegistry, proxy: FaultyProxy, fate: Fate, *, done: bool
) -> None:
    proxy.fates = [fate]

    result = await step(model, registry).act("2", "1")

    assert isinstance(result, Done) is done
    if isinstance(result, Failed):
        assert (result.kind, result.changed) == ("transient", True)


@pytest.mark.parametrize(
    ("from_version", "to_version", "problem"),
    [("2", "9", "no version 9"), ("3", "1", "version 2 is in Production, not version 3")],
)
async def test_a_rehearsal_says_what_would_go_wrong(
    model: str, registry: MlflowRegistry, from_version: str, to_version: str, problem: str
) -> None:
    (found,) = await step(model, registry).check(from_version, to_version)

    assert problem in found
