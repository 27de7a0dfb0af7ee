"""Fetches references from the registry in the background, and keeps asking whether they changed.

A registry that is away costs nothing but patience: a version is asked about again after a pause
that doubles from 5 s to 10 min, and never given up, because an outage of a night must not end
in a week without drift.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias, get_args

from collectors.registry.artifacts import (
    ArtifactAddress,
    ArtifactAddressError,
    parse_artifact_address,
)
from collectors.registry.client import (
    ModelVersion,
    Reason,
    RegistryError,
    RegistryNotFoundError,
)
from detectors.columns.reference_error import ReferenceError as BadReference
from detectors.reference.reference_file import load
from monitor.metrics.catalogue import Metrics
from monitor.references.cache import ALIAS, ReferenceCache
from monitor.references.registry import Arrival, RegistryReferences

log = logging.getLogger("kedge.references")

#: The tag of a version that says where its reference is.
TAG: Final = "kedge.reference"
#: Largest file that is fetched.
FILE_BYTES_MAX: Final = 64 * 1024 * 1024
#: Between two looks at what is wanted.
TICK_S: Final = 1.0
#: Between two questions about the alias, and about a version whose reference is there.
ALIAS_INTERVAL_S: Final = 30.0
ASK_INTERVAL_S: Final = 300.0
#: After a question without a reference for an answer.
PAUSE_MIN_S, PAUSE_MAX_S = 5.0, 600.0
#: Versions of which it is remembered when they were asked about; their names come out of a log.
REMEMBERED_MAX: Final = 200

#: Why a reference is not there: a closed set, because it becomes a metric's label.
FailureReason: TypeAlias = Reason | Literal["untagged", "address", "damaged"]
FAILURE_REASONS: Final = (*get_args(Reason), "untagged", "address", "damaged")


class Registry(Protocol):
    """What is asked of the registry."""

    async def version_by_alias(self, model: str, alias: str) -> str | None:
        """Return the version that an alias points to."""

    async def version(self, model: str, version: str) -> ModelVersion | None:
        """Return one version; None if there is none such."""


class Artifacts(Protocol):
    """Where files are fetched from."""

    async def fetch(self, address: ArtifactAddress, *, bytes_max: int) -> bytes:
        """Return a file's bytes, checked."""


class _Absent(Exception):  # noqa: N818 - it is an answer, and never leaves this module
    """There is no reference to be had, for now."""

    def __init__(self, what: str, reason: FailureReason) -> None:
        super().__init__(what)
        self.reason = reason


@dataclass(slots=True)
class _Asked:
    """What is remembered of one version."""

    again_at: float
    pause_s: float = PAUSE_MIN_S
    fetched: bool = False


class ReferenceFetching:
    """Looks after the references of the versions that are seen, and of the alias's.

    The alias's version is fetched before its first event comes, so that its windows are compared
    from the first row on.

    Parameters
    ----------
    references
        Says what is wanted, and takes what was fetched.
    clock
        Seconds, for intervals.
    """

    def __init__(
        self,
        model: str,
        alias: str,
        registry: Registry,
        artifacts: Artifacts,
        *,
        references: RegistryReferences,
        cache: ReferenceCache,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._alias = alias
        self._registry = registry
        self._artifacts = artifacts
        self._references = references
        self._cache = cache
        self._metrics = metrics
        self._clock = clock
        self._asked: dict[str, _Asked] = {}
        self._aliased: str | None = None
        self._alias_at = clock()
        self._troubles: dict[str, str] = {}

    async def run(self) -> None:
        """Look after references until cancelled."""
        while True:
            await self.tick()
            await asyncio.sleep(TICK_S)

    async def tick(self) -> None:
        """Look once: ask about each version that is due."""
        await self._look_at_alias()
        aliased = () if self._aliased is None else (self._aliased,)
        for version in dict.fromkeys((*aliased, *self._references.wanted())):
            if self._due(version):
                await self._look_at(version)

    def _due(self, version: str) -> bool:
        asked = self._asked.get(version)
        if asked is None or self._clock() >= asked.again_at:
            return True
        # A reference that gave way to those of other versions is wanted again.
        return asked.fetched and not self._references.held(version)

    async def _look_at_alias(self) -> None:
        if self._clock() < self._alias_at:
            return
        self._alias_at = self._clock() + ALIAS_INTERVAL_S
        try:
            found = await self._registry.version_by_alias(self._model, self._alias)
        except RegistryError as error:
            self._failed(f"@{self._alias}", str(error), error.reason)
            return
        self._troubles.pop(f"@{self._alias}", None)
        if found is not None and found != self._aliased:
            self._aliased = found
            self._references.point(found)
            await asyncio.to_thread(self._cache.note, self._model, ALIAS + self._alias, found)

    async def _look_at(self, version: str) -> None:
        asked = self._remember(version)
        try:
            address = await self._address(version)
            held = self._references.held(version)
            if not held or held != address.sha256:
                self._references.arrive(await self._arrival(version, address))
            asked.fetched = True
            held = self._references.held(version)
            await asyncio.to_thread(self._cache.note, self._model, version, held)
        except (RegistryError, _Absent) as error:
            asked.again_at = self._clock() + asked.pause_s
            asked.pause_s = min(2 * asked.pause_s, PAUSE_MAX_S)
            self._failed(version, str(error), error.reason)
            return
        asked.again_at, asked.pause_s = self._clock() + ASK_INTERVAL_S, PAUSE_MIN_S
        if self._troubles.pop(version, None) is not None:
            self._references.tell(dict(self._troubles))

    async def _address(self, version: str) -> ArtifactAddress:
        known = version.isascii() and version.isdigit()
        try:
            found = await self._registry.version(self._model, version) if known else None
        except RegistryNotFoundError:
            found = None
        if found is None:
            raise _Absent(f"the registry has no version {version} of {self._model}", "missing")
        if TAG not in found.tags:
            raise _Absent(
                f"the registry has no reference of version {version}: `kedge reference build "
                f"--from FILE --model models:/{self._model}/{version}` stores one",
                "untagged",
            )
        try:
            return parse_artifact_address(found.tags[TAG])
        except ArtifactAddressError as error:
            raise _Absent(f"the tag {TAG} of version {version}: {error}", "address") from error

    async def _arrival(self, version: str, address: ArtifactAddress) -> Arrival:
        data = await asyncio.to_thread(self._cache.get, address.sha256) if address.sha256 else None
        fetched = data is None
        if data is None:
            data = await self._artifacts.fetch(address, bytes_max=FILE_BYTES_MAX)
        try:
            reference = await asyncio.to_thread(load, data)
        except BadReference as error:
            raise _Absent(f"the reference at {address}: {error}", "damaged") from error
        sha256 = hashlib.sha256(data).hexdigest()
        if fetched:
            await asyncio.to_thread(self._cache.put, data)
        return Arrival(version, sha256, reference)

    def _remember(self, version: str) -> _Asked:
        asked = self._asked.pop(version, None) or _Asked(self._clock())
        while len(self._asked) >= REMEMBERED_MAX:
            oldest = next(iter(self._asked))
            del self._asked[oldest]
            self._troubles.pop(oldest, None)
        self._asked[version] = asked
        return asked

    def _failed(self, version: str, trouble: str, reason: FailureReason) -> None:
        self._metrics.reference_failures.labels(reason).inc()
        if self._troubles.get(version) != trouble:
            log.warning("%s; its drift is unknown until then", trouble)
            self._troubles[version] = trouble
            self._references.tell(dict(self._troubles))
