"""Killed at every point between two effects, and started again: the end is always the same."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Literal
from uuid import uuid4

import pytest

from collectors.registry.client import MlflowRegistry, ModelVersion, RegisteredModel
from rollback.record import RollbackRecord, Transition
from tests.collectors.registered import point, register
from tests.rollback.memory_journal import MemoryJournal
from tests.rollback.real_model import RealModel

pytestmark = pytest.mark.real

#: More than there are effects in one rollback; the series ends at the first run without a crash.
POINTS_MAX = 200


class Crash(BaseException):
    """The process ends here. Not an Exception, so that nothing on the way can catch it."""


class Fuse:
    """Burns through at the n-th point."""

    def __init__(self, point: int) -> None:
        self._left = point
        self.burnt = False

    def pass_(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.burnt = True
            raise Crash


class FusedJournal(MemoryJournal):
    """Ends the process before or after a write."""

    def __init__(self, fuse: Fuse) -> None:
        super().__init__()
        self._fuse = fuse

    async def write(self, record: RollbackRecord, transition: Transition) -> None:
        self._fuse.pass_()
        await super().write(record, transition)
        self._fuse.pass_()


class FusedRegistry(MlflowRegistry):
    """Ends the process before or after a call; counts the alias changes."""

    def __init__(self, uri: str, fuse: Fuse) -> None:
        super().__init__(uri)
        self._fuse = fuse
        self.changes = 0

    async def model(self, model: str) -> RegisteredModel:
        self._fuse.pass_()
        found = await super().model(model)
        self._fuse.pass_()
        return found

    async def versions(self, model: str) -> tuple[ModelVersion, ...]:
        self._fuse.pass_()
        return await super().versions(model)

    async def version(self, model: str, version: str) -> ModelVersion | None:
        self._fuse.pass_()
        return await super().version(model, version)

    async def set_alias(self, model: str, alias: str, version: str) -> None:
        self._fuse.pass_()
        await super().set_alias(model, alias, version)
        self.changes += 1
        self._fuse.pass_()


@pytest.fixture
async def name(mlflow_uri: str) -> str:
    name = f"flight-{uuid4().hex}"
    await register(mlflow_uri, name, 3, champion="2")
    return name


async def _life(model: RealModel, how: Literal["breach", "by hand"]) -> None:
    """What one process sees until it ends: windows as they come, and time that passes."""
    controller = model.controller()
    await controller.resume()
    for _ in range(3):
        # Asked of a client that cannot crash: the traffic goes on whatever happens to Kedge.
        async with MlflowRegistry(model.uri) as direct:
            serving = await direct.version_by_alias(model.name, "champion")
        if how == "by hand" and not model.journal.records:
            await controller.request("1", "by hand")
        elif how == "breach" and serving == "2":
            await model.breach(controller)
        await model.later(controller, 1)
        if serving == "1":
            await model.good(controller)


@pytest.mark.parametrize("how", ["breach", "by hand"])
async def test_a_crash_at_any_point_leads_to_the_same_end_by_one_change(
    mlflow_uri: str, name: str, how: Literal["breach", "by hand"]
) -> None:
    ends: list[tuple[Sequence[str | None], str | None, int]] = []

    for k in range(1, POINTS_MAX):
        await point(mlflow_uri, name, "champion", "2")
        fuse = Fuse(k)
        async with FusedRegistry(mlflow_uri, fuse) as registry:
            model = RealModel(mlflow_uri, name, registry, journal=FusedJournal(fuse))
            for _ in range(3):
                with contextlib.suppress(Crash):
                    await _life(model, how)
            outcomes = [r.outcome for r in model.journal.records]
            ends.append((outcomes, await model.alias(), registry.changes))
        if not fuse.burnt:
            break

    assert len(ends) > 25
    assert ends == [(["resolved"], "1", 1)] * len(ends)


async def test_what_a_crash_left_open_is_not_begun_after_it_has_expired(
    mlflow_uri: str, name: str
) -> None:
    ends: list[tuple[int, str | None]] = []

    for k in range(1, POINTS_MAX):
        await point(mlflow_uri, name, "champion", "2")
        fuse = Fuse(k)
        async with FusedRegistry(mlflow_uri, fuse) as registry:
            model = RealModel(mlflow_uri, name, registry, journal=FusedJournal(fuse))
            with contextlib.suppress(Crash):
                await model.breach(model.controller())
            if not fuse.burnt:
                break
            changed = registry.changes
            model.now += model.policy.intent_ttl_s
            controller = model.controller()
            await controller.resume()
            await model.later(controller, model.policy.verify_timeout_s)
            ends.append((registry.changes - changed, await model.alias()))
            assert all(r.outcome in ("refused", "escalated") for r in model.journal.records)

    assert len(ends) > 20
    assert {changes for changes, _ in ends} == {0}
    assert {alias for _, alias in ends} == {"1", "2"}
