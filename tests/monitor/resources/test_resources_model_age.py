"""The age of the version that serves, from a real registry and from one that is away."""

from __future__ import annotations

import math
import time
from uuid import uuid4

import pytest

from collectors.batch import UNKNOWN_VERSION
from collectors.registry.client import MlflowRegistry
from monitor.metrics.catalogue import Metrics
from monitor.resources.model_age import ASK_INTERVAL_S, ModelAge
from tests.collectors.registered import register

pytestmark = pytest.mark.real


@pytest.fixture
def name() -> str:
    return f"aging-{uuid4().hex}"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(columns_max=5, versions_max=5)


def shown(metrics: Metrics, name: str, version: str) -> float | None:
    labels = {"model": name, "version": version}
    return metrics.registry.get_sample_value("kedge_model_age_seconds", labels)


async def test_the_version_in_the_events_is_as_old_as_the_registry_says(
    mlflow_uri: str, name: str, metrics: Metrics
) -> None:
    began = time.time()
    await register(mlflow_uri, name, 2, champion="1")

    async with MlflowRegistry(mlflow_uri) as registry:
        # Of a clock that is an hour ahead, so that the age is told from 0.
        age = ModelAge(name, "champion", registry, metrics, wall=lambda: began + 3600)
        await age.tick("2")

    assert shown(metrics, name, "2") == pytest.approx(3600, abs=60)
    assert age.age_s("2", began + 7200) == pytest.approx(7200, abs=60)
    assert age.age_s("2", began - 600) is None
    assert age.age_s("1", began + 3600) is None


@pytest.mark.parametrize("live", [None, UNKNOWN_VERSION])
async def test_without_a_version_in_the_events_it_is_the_one_of_the_alias(
    mlflow_uri: str, name: str, metrics: Metrics, live: str | None
) -> None:
    await register(mlflow_uri, name, 2, champion="1")

    async with MlflowRegistry(mlflow_uri) as registry:
        age = ModelAge(name, "champion", registry, metrics)
        await age.tick(live)

    assert shown(metrics, name, "1") == pytest.approx(0, abs=60)
    assert age.age_s(UNKNOWN_VERSION, time.time() + 100) == pytest.approx(100, abs=60)


async def test_only_the_version_that_serves_stays_on_the_page(
    mlflow_uri: str, name: str, metrics: Metrics
) -> None:
    await register(mlflow_uri, name, 2)

    async with MlflowRegistry(mlflow_uri) as registry:
        age = ModelAge(name, "champion", registry, metrics)
        await age.tick("1")
        await age.tick("2")

    assert shown(metrics, name, "1") is None
    assert shown(metrics, name, "2") is not None


async def test_a_version_that_the_registry_does_not_have_is_of_no_known_age(
    mlflow_uri: str, name: str, metrics: Metrics
) -> None:
    await register(mlflow_uri, name, 1)

    async with MlflowRegistry(mlflow_uri) as registry:
        await ModelAge(name, "champion", registry, metrics).tick("9")

    assert math.isnan(shown(metrics, name, "9") or 0)
    missing = {"reason": "missing"}
    assert metrics.registry.get_sample_value("kedge_model_age_failures_total", missing) == 1


async def test_a_registry_that_is_away_is_asked_once_in_five_minutes(
    name: str, metrics: Metrics
) -> None:
    clock = [1000.0]
    async with MlflowRegistry("http://127.0.0.1:1", timeout_s=0.5) as registry:
        age = ModelAge(name, "champion", registry, metrics, monotonic=lambda: clock[0])
        for _ in range(5):
            await age.tick("7")
        clock[0] += ASK_INTERVAL_S
        await age.tick("7")

    away = {"reason": "connection"}
    assert metrics.registry.get_sample_value("kedge_model_age_failures_total", away) == 2
    assert math.isnan(shown(metrics, name, "7") or 0)
