"""Nothing is changed by who has not enough time left to change it alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from collectors.registry.client import MlflowRegistry, RegistryTransientError
from monitor.deciding.parts import actuators_of, registry_of
from monitor.settings.settings import ConfigurationError, load
from rollback.actuator import Failed
from rollback.kubernetes.move import GuardedMove
from rollback.leased_step import LeasedStep

STEPS = """
[[rollback.steps]]
type = "mlflow-alias"

[[rollback.steps]]
type = "kubernetes-deployment"
name = "flight"
namespace = "ml"

[[rollback.steps]]
type = "webhook"
url = "https://example.com/x"
timeout = "4s"
secret = "s"

[[rollback.steps]]
type = "command"
argv = ["/bin/true"]
"""


@pytest.fixture
async def posts() -> AsyncIterator[tuple[str, list[str]]]:
    """The address of a server, and what was posted there."""
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        if request.method == "POST":
            seen.append(request.path)
        return web.json_response({"registered_model": {"name": "m", "aliases": []}})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/"), seen


def configured(folder: Path, uri: str, lease: str = "") -> Path:
    path = folder / "kedge.toml"
    path.write_text(f"""
[model]
name = "m"
tracking_uri = "{uri}"

[[collect]]
type = "tail"
path = "predictions.jsonl"

[rollback.lease]
kind = "store"
{lease}
{STEPS}
""")
    return path


async def test_no_step_begins_without_leave(tmp_path: Path, posts: tuple[str, list[str]]) -> None:
    uri, posted = posts
    settings = load(configured(tmp_path, uri))
    asked: list[float] = []

    def never(call_s: float) -> bool:
        asked.append(call_s)
        return False

    registry = registry_of(settings, never)
    assert registry is not None
    async with registry:
        steps = actuators_of(settings, registry, never)
        results = [await step.act("2", "1", intent="id") for step in steps]

    words = "not begun: the lease has too little time left"
    assert results == [Failed("transient", words, changed=False)] * 4
    assert asked == [0.0, 0.0, 4.0, 0.0]
    assert posted == []


async def test_a_registry_without_leave_sends_no_change_and_reads_on(
    posts: tuple[str, list[str]],
) -> None:
    uri, posted = posts

    async with MlflowRegistry(uri, timeout_s=2.0, permit=lambda _call_s: False) as registry:
        found = await registry.model("m")
        for change in (
            registry.set_alias("m", "champion", "1"),
            registry.set_stage("m", "1", "Production"),
            registry.set_version_tag("m", "1", "k", "v"),
        ):
            with pytest.raises(RegistryTransientError, match="not sent, the lease"):
                await change

    assert found.name == "m"
    assert posted == []


async def test_a_step_in_the_cluster_asks_before_every_patch(
    tmp_path: Path, posts: tuple[str, list[str]]
) -> None:
    settings = load(configured(tmp_path, posts[0]))
    registry = registry_of(settings)
    assert registry is not None
    async with registry:
        step = actuators_of(settings, registry, lambda _call_s: True)[1]

    assert isinstance(step, LeasedStep)
    assert isinstance(step.step, GuardedMove)
    assert step.step.connect is not None


def test_a_lease_that_no_call_would_fit_into_is_refused(tmp_path: Path) -> None:
    times = 'duration = "6s"\nrenew_deadline = "4s"\nretry = "1s"'

    with pytest.raises(ConfigurationError) as refused:
        load(configured(tmp_path, "http://localhost", times))

    said = "\n".join(refused.value.lines())
    assert "a call that takes up to 10 s would never begin" in said


def test_times_in_the_wrong_order_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(configured(tmp_path, "http://localhost", 'duration = "10s"'))

    assert "expected more than renew_deadline" in "\n".join(refused.value.lines())
