"""Follows an alias: fetches, loads, checks and warms its next version, then swaps it in.

The version that answers goes on answering until the next one is ready, and for good when the
next one is no good. Whatever the registry does, this task does not end before it is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

from collectors.registry import MlflowRegistry, RegistryError
from scoring.artifact import ArtifactCache, ArtifactError
from scoring.live import Live, Served, load_served
from scoring.metrics import ScoringMetrics, SwapOutcome
from scoring.model import ModelLoadError
from scoring.warm import ModelCheckError

logger = logging.getLogger("kedge.scoring.swap")

#: A version that failed is tried again after this, then after twice this, and so on.
RETRY_S: Final = 5.0
RETRY_S_MAX: Final = 300.0


class SwapError(Exception):
    """A version that was not swapped in; `outcome` says at which step it failed."""

    def __init__(self, outcome: SwapOutcome, cause: Exception) -> None:
        super().__init__(str(cause))
        self.outcome: SwapOutcome = outcome


@dataclass(frozen=True, slots=True)
class Refused:
    """A version that failed, and when to look at it again (the event loop's clock)."""

    version: str
    failures: int
    retry_at: float


class AliasFollower:
    """Keeps the live version where an alias points to.

    Parameters
    ----------
    loader
        Where models are loaded: a thread of its own, so that the event loop goes on.
    poll_s
        Between two looks at the registry.
    """

    def __init__(
        self,
        live: Live,
        *,
        alias: str,
        registry: MlflowRegistry,
        artifacts: ArtifactCache,
        loader: Executor,
        metrics: ScoringMetrics,
        poll_s: float,
        accidents: bool = False,
    ) -> None:
        self._live = live
        self._alias = alias
        self._registry = registry
        self._artifacts = artifacts
        self._loader = loader
        self._metrics = metrics
        self._poll_s = poll_s
        self._accidents = accidents
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
        current = self._live.current
        try:
            version = await self._registry.version_by_alias(current.name, self._alias)
        except RegistryError as error:
            self._metrics.registry_failures.labels(current.name, error.reason).inc()
            self._trouble(f"cannot ask the registry; version {current.version} goes on: {error}")
            return None
        if version is None:
            self._trouble(
                f"{current.name} has no alias {self._alias} any more; "
                f"version {current.version} goes on"
            )
            return None
        self._trouble("")
        if version == current.version:
            self._refused = None
            return None
        refused = self._refused
        now = asyncio.get_running_loop().time()
        if refused is not None and refused.version == version and now < refused.retry_at:
            return None
        return version

    async def _move_to(self, version: str) -> None:
        before = self._live.current
        try:
            served = await self._prepared(before.name, version)
        except SwapError as error:
            self._metrics.swaps.labels(before.name, error.outcome).inc()
            logger.warning(
                "version %s of %s was not swapped in (%s); version %s goes on: %s",
                *(version, before.name, error.outcome, before.version, error),
            )
            self._refuse(version)
            return
        self._live.replace(served)
        self._refused = None
        self._metrics.swaps.labels(before.name, "swapped").inc()
        logger.info("swapped %s from version %s to %s", before.name, before.version, version)

    async def _prepared(self, name: str, version: str) -> Served:
        try:
            folder = await self._artifacts.fetch(await self._registry.download_uri(name, version))
        except (RegistryError, ArtifactError) as error:
            raise SwapError("fetch_failed", error) from error
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(
                self._loader,
                lambda: load_served(folder, name, version, checked=True, accidents=self._accidents),
            )
        except ModelLoadError as error:
            raise SwapError("load_failed", error) from error
        except ModelCheckError as error:
            raise SwapError("check_failed", error) from error

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
