"""How old the version is that serves: from the registry, now and then, and never waited for."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from typing import Final, Protocol

from collectors.batch import UNKNOWN_VERSION
from collectors.registry.client import ModelVersion, RegistryError
from monitor.metrics.catalogue import Metrics
from monitor.publishing.publishing import ResourcePublisher

log = logging.getLogger("kedge.model_age")

#: How often the version that serves is looked at, and its age shown.
TICK_S: Final = 5.0
#: The registry is asked about one version, and about the alias, at most this often.
ASK_INTERVAL_S: Final = 300.0
#: Versions whose creation is remembered.
VERSIONS_MAX: Final = 100


class Registry(Protocol):
    """What is asked of the registry."""

    async def version_by_alias(self, model: str, alias: str) -> str | None:
        """Return the version that an alias points to."""

    async def version(self, model: str, version: str) -> ModelVersion | None:
        """Return one version; None if there is none such."""


class ModelAge:
    """Ages of versions since they were registered.

    The version that serves is the one that the events name, or else the one that the alias
    points to. Its creation does not change, so it is asked for until it is known; a registry
    that is away costs a call in five minutes, and the age is unknown meanwhile.

    `run` belongs to the event loop; `age_s` may be called by any thread.

    Parameters
    ----------
    wall, monotonic
        Clocks, seconds.
    """

    def __init__(
        self,
        model: str,
        alias: str,
        registry: Registry,
        metrics: Metrics,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._alias = alias
        self._registry = registry
        self._metrics = metrics
        self._publisher = ResourcePublisher(metrics)
        self._wall = wall
        self._monotonic = monotonic
        self._created: dict[str, float] = {}
        self._asked: dict[str, float] = {}
        self._aliased: str | None = None
        self._trouble = ""

    def age_s(self, version: str, at: float) -> float | None:
        """Return the age of a version at a time, in seconds.

        None where it is not known (yet), and before the version was made, as in an old log.
        A version that the events do not name is the one of the alias.
        """
        name = self._aliased if version == UNKNOWN_VERSION else version
        created = self._created.get(name or "")
        return at - created if created is not None and at >= created else None

    async def run(self, live_version: Callable[[], str | None]) -> None:
        """Follow the version that serves, until cancelled."""
        while True:
            await self.tick(live_version())
            await asyncio.sleep(TICK_S)

    async def tick(self, live_version: str | None) -> None:
        """Look once: ask what is not known, at most so often, and show the age."""
        version = live_version
        if version in (None, UNKNOWN_VERSION):
            await self._look_at_alias()
            version = self._aliased
        if version is None:
            return
        if version not in self._created and self._may_ask(f"version {version}"):
            await self._look_at_version(version)
        self._publisher.set_age(self._model, version, self.age_s(version, self._wall()))

    async def _look_at_alias(self) -> None:
        if not self._may_ask("alias"):
            return
        try:
            self._aliased = await self._registry.version_by_alias(self._model, self._alias)
        except RegistryError as error:
            self._failed(error.reason, str(error))

    async def _look_at_version(self, version: str) -> None:
        try:
            found = await self._registry.version(self._model, version)
        except RegistryError as error:
            self._failed(error.reason, str(error))
            return
        if found is None or not found.created:
            what = f"the registry does not know when version {version} was made"
            self._failed("missing", what)
            return
        while len(self._created) >= VERSIONS_MAX:
            del self._created[next(iter(self._created))]
        self._created[version] = found.created
        self._trouble = ""

    def _may_ask(self, what: str) -> bool:
        now = self._monotonic()
        if now - self._asked.get(what, -math.inf) < ASK_INTERVAL_S:
            return False
        # Names come from events: the oldest question is forgotten, and may be asked again.
        self._asked.pop(what, None)
        while len(self._asked) >= VERSIONS_MAX:
            del self._asked[next(iter(self._asked))]
        self._asked[what] = now
        return True

    def _failed(self, reason: str, trouble: str) -> None:
        self._metrics.age_failures.labels(reason).inc()
        if trouble != self._trouble:
            log.warning("the age of the model is not known: %s", trouble)
        self._trouble = trouble
