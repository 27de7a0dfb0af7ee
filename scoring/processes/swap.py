"""Follows an alias: fetches its next version, and has it taken into service.

The version that answers goes on answering until the next one is ready, and for good when the
next one is no good. Whatever the registry does, this task does not end before it is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from collectors.registry.client import MlflowRegistry, RegistryError
from scoring.artifacts.artifact import ArtifactCache, ArtifactError
from scoring.processes.assignment import Pinned, SwapError

if TYPE_CHECKING:
    from scoring.answering.live import Live
    from scoring.log.metrics import ScoringMetrics

logger = logging.getLogger("kedge.scoring.swap")

#: A version that failed is tried again after this, then after twice this, and so on.
RETRY_S: Final = 5.0
RETRY_S_MAX: Final = 300.0


class Swaps(Protocol):
    """What serves a version, and can serve another."""

    @property
    def name(self) -> str:
        """The registered model's."""

    @property
    def versions(self) -> set[str]:
        """The versions that answer: more than one only if an alias moved during the start."""

    async def swap(self, target: Pinned) -> None:
        """Serve another version from now on.

        Raises
        ------
        SwapError
            It is no good; all is as before.
        """


class OwnSwaps:
    """Loads the next version in a thread of this process, and puts it before the callers.

    Quick and small, but a version that brings the interpreter down brings the server down: for a
    shadow, which nobody waits for. A server has `scoring.processes.workers`.

    Parameters
    ----------
    loader
        One thread, so that the event loop goes on.
    """

    def __init__(self, live: Live, loader: Executor, *, accidents: bool) -> None:
        self._live, self._loader, self._accidents = live, loader, accidents

    @property
    def name(self) -> str:
        """The registered model's."""
        return self._live.current.name

    @property
    def versions(self) -> set[str]:
        """The one that answers."""
        return {self._live.current.version}

    async def swap(self, target: Pinned) -> None:
        """Load it and serve it."""
        from scoring.answering.live import load_served  # noqa: PLC0415 - a parent of workers has no use for it
        from scoring.answering.warm import ModelCheckError  # noqa: PLC0415 - as above
        from scoring.flavours.model import ModelLoadError  # noqa: PLC0415 - as above

        try:
            served = await asyncio.get_running_loop().run_in_executor(
                self._loader,
                lambda: load_served(
                    *(target.folder, target.name, target.version),
                    checked=True,
                    accidents=self._accidents,
                ),
            )
        except ModelLoadError as error:
            raise SwapError("load_failed", error) from error
        except ModelCheckError as error:
            raise SwapError("check_failed", error) from error
        self._live.replace(served)


@dataclass(frozen=True, slots=True)
class Refused:
    """A version that failed, and when to look at it again (the event loop's clock)."""

    version: str
    failures: int
    retry_at: float


class AliasFollower:
    """Keeps what is served where an alias points to.

    Parameters
    ----------
    poll_s
        Between two looks at the registry.
    """

    def __init__(
        self,
        swaps: Swaps,
        *,
        alias: str,
        registry: MlflowRegistry,
        artifacts: ArtifactCache,
        metrics: ScoringMetrics,
        poll_s: float,
    ) -> None:
        self._swaps = swaps
        self._alias = alias
        self._registry = registry
        self._artifacts = artifacts
        self._metrics = metrics
        self._poll_s = poll_s
        self._refused: Refused | None = None
        self._last_trouble = ""

    async def follow(self) -> None:
        """Look at the alias again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._poll_s)
            version = await self._wanted()
            if version is not None:
                await self._move_to(version)

    async def _wanted(self) -> str | None:
        """Return the version to swap in; None when there is nothing to do."""
        name, current = self._swaps.name, " and ".join(sorted(self._swaps.versions))
        try:
            version = await self._registry.version_by_alias(name, self._alias)
        except RegistryError as error:
            self._metrics.registry_failures.labels(name, error.reason).inc()
            self._trouble(f"cannot ask the registry; version {current} goes on: {error}")
            return None
        if version is None:
            self._trouble(f"{name} has no alias {self._alias} any more; version {current} goes on")
            return None
        self._trouble("")
        if {version} == self._swaps.versions:
            self._refused = None
            return None
        refused = self._refused
        now = asyncio.get_running_loop().time()
        if refused is not None and refused.version == version and now < refused.retry_at:
            return None
        return version

    async def _move_to(self, version: str) -> None:
        name, before = self._swaps.name, " and ".join(sorted(self._swaps.versions))
        try:
            await self._swaps.swap(await self._fetched(name, version))
        except SwapError as error:
            self._metrics.swaps.labels(name, error.outcome).inc()
            logger.warning(
                "version %s of %s was not swapped in (%s); version %s goes on: %s",
                *(version, name, error.outcome, before, error),
            )
            self._refuse(version)
            return
        self._refused = None
        self._metrics.swaps.labels(name, "swapped").inc()
        logger.info("swapped %s from version %s to %s", name, before, version)

    async def _fetched(self, name: str, version: str) -> Pinned:
        try:
            folder = await self._artifacts.fetch(await self._registry.download_uri(name, version))
        except (RegistryError, ArtifactError) as error:
            raise SwapError("fetch_failed", error) from error
        return Pinned(name, version, folder)

    def _refuse(self, version: str) -> None:
        before = self._refused
        failures = 1 if before is None or before.version != version else before.failures + 1
        pause_s = min(RETRY_S * 2 ** (failures - 1), RETRY_S_MAX)
        retry_at = asyncio.get_running_loop().time() + pause_s
        self._refused = Refused(version, failures, retry_at)

    def _trouble(self, message: str) -> None:
        """Log a trouble with the registry when it begins or changes, and when it is over."""
        if message and message != self._last_trouble:
            logger.warning("%s", message)
        elif not message and self._last_trouble:
            logger.info("the registry answers again")
        self._last_trouble = message
