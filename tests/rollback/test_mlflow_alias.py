"""The alias actuator on a real MLflow, through a network that loses what it is told to lose."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

import pytest

from collectors.registry.client import MlflowRegistry, RegistryTransientError
from rollback.actuator import Done, Failed
from rollback.actuators.mlflow_alias import MlflowAlias, MlflowAliasSettings
from rollback.kinds import STEP_KINDS
from tests.collectors.registered import point, register
from tests.rollback.faulty_proxy import Fate, FaultyProxy

pytestmark = pytest.mark.real


@dataclass
class Scene:
    uri: str
    model: str
    proxy: FaultyProxy
    registry: MlflowRegistry
    step: MlflowAlias

    async def alias(self) -> str | None:
        async with MlflowRegistry(self.uri) as direct:
            return await direct.version_by_alias(self.model, "champion")


@pytest.fixture
async def scene(mlflow_uri: str) -> AsyncIterator[Scene]:
    model = f"flight-{uuid4().hex}"
    await register(mlflow_uri, model, 3, champion="2")
    async with (
        FaultyProxy(mlflow_uri) as proxy,
        MlflowRegistry(proxy.uri, timeout_s=3.0) as registry,
    ):
        step = MlflowAliasSettings().build(model=model, alias="champion", registry=registry)
        yield Scene(mlflow_uri, model, proxy, registry, step)


async def test_the_alias_is_moved_and_read_back(scene: Scene) -> None:
    result = await scene.step.act("2", "1")

    assert result == Done("champion points to version 1")
    assert await scene.alias() == "1"


async def test_acting_twice_writes_once(scene: Scene) -> None:
    await scene.step.act("2", "1")

    result = await scene.step.act("2", "1")

    assert result == Done("champion pointed to version 1 already", changed=False)
    assert len(scene.proxy.writes) == 1


async def test_an_alias_that_somebody_moved_is_left_where_it_is(scene: Scene) -> None:
    await point(scene.uri, scene.model, "champion", "3")

    result = await scene.step.act("2", "1")

    assert isinstance(result, Failed)
    assert (result.kind, result.changed) == ("contested", False)
    assert await scene.alias() == "3"


async def test_an_alias_that_is_gone_is_contested(scene: Scene) -> None:
    step = MlflowAliasSettings(alias="never-set").build(
        model=scene.model, alias="champion", registry=scene.registry
    )

    result = await step.act("2", "1")

    assert isinstance(result, Failed)
    assert (result.kind, result.changed) == ("contested", False)


@pytest.mark.parametrize("fate", ["mute", "done503"])
async def test_a_write_whose_answer_was_lost_is_found_by_reading_back(
    scene: Scene, fate: Fate
) -> None:
    scene.proxy.fates = [fate]

    result = await scene.step.act("2", "1")

    assert isinstance(result, Done)
    assert len(scene.proxy.writes) == 1


@pytest.mark.parametrize("fate", ["lose", "503"])
async def test_a_write_that_did_not_arrive_is_transient(scene: Scene, fate: Fate) -> None:
    scene.proxy.fates = [fate]

    first = await scene.step.act("2", "1")
    second = await scene.step.act("2", "1")

    assert isinstance(first, Failed)
    assert (first.kind, first.changed) == ("transient", True)
    assert isinstance(second, Done)
    assert len(scene.proxy.writes) == 1


async def test_a_write_that_cannot_be_read_back_is_of_unknown_outcome(scene: Scene) -> None:
    scene.proxy.reads = ["pass", "503", "503", "503"]

    result = await scene.step.act("2", "1")

    assert isinstance(result, Failed)
    assert (result.kind, result.changed) == ("transient", True)
    assert await scene.alias() == "1"


async def test_a_registry_that_cannot_be_read_changes_nothing(scene: Scene) -> None:
    scene.proxy.reads = ["503"] * 3

    result = await scene.step.act("2", "1")

    assert isinstance(result, Failed)
    assert (result.kind, result.changed) == ("transient", False)
    assert scene.proxy.writes == []


async def test_somebody_who_moves_the_alias_right_after_us_is_not_fought(scene: Scene) -> None:
    scene.proxy.fates = ["503"]

    async def a_person() -> None:
        scene.proxy.before_write = None
        await point(scene.uri, scene.model, "champion", "3")

    scene.proxy.before_write = a_person
    result = await scene.step.act("2", "1")

    assert isinstance(result, Failed)
    assert (result.kind, result.changed) == ("contested", True)
    assert await scene.alias() == "3"


async def test_a_version_that_was_deleted_is_refused_for_good(scene: Scene) -> None:
    result = await scene.step.act("2", "9")

    assert isinstance(result, Failed)
    assert (result.kind, result.changed) == ("permanent", False)
    assert await scene.alias() == "2"


async def test_a_rehearsal_finds_nothing_wrong_and_changes_nothing(scene: Scene) -> None:
    assert await scene.step.check("2", "1") == ()
    assert scene.proxy.writes == []


@pytest.mark.parametrize(
    ("from_version", "to_version", "problem"),
    [("2", "9", "no version 9"), ("3", "1", "points to version 2")],
)
async def test_a_rehearsal_says_what_would_go_wrong(
    scene: Scene, from_version: str, to_version: str, problem: str
) -> None:
    problems = await scene.step.check(from_version, to_version)

    assert len(problems) == 1
    assert problem in problems[0]


async def test_a_rehearsal_in_bad_weather_tells_nothing(scene: Scene) -> None:
    scene.proxy.reads = ["503"] * 3

    with pytest.raises(RegistryTransientError):
        await scene.step.check("2", "1")


async def test_another_model_and_alias_may_be_named(scene: Scene) -> None:
    other = f"{scene.model}-other"
    await register(scene.uri, other, 2, prod="2")
    settings = STEP_KINDS["mlflow-alias"](alias="prod", model=other)

    step = settings.build(model=scene.model, alias="champion", registry=scene.registry)
    result = await step.act("2", "1")

    assert step.name == f"mlflow-alias {other}@prod"
    assert isinstance(result, Done)
    assert await scene.alias() == "2"
