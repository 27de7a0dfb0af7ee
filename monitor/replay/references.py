"""References from the registry for a replay: fetched before the rows that are compared with them.

The daemon fetches in the background, and the first windows of a version that nobody expected may
be without. A replay has the time to wait: the alias's version is fetched before the first row, and
every other one when its first row comes. What the daemon keeps beside its store serves where the
registry does not answer, or is not to be asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

from collectors.batch import PredictionBatch
from collectors.registry.artifacts import RegistryArtifacts
from collectors.registry.client import MlflowRegistry
from detectors.columns.reference_error import ReferenceError as BadReference
from detectors.reference.reference import Reference
from detectors.reference.reference_file import load
from monitor.metrics.catalogue import Metrics
from monitor.references.cache import ALIAS, ReferenceCache
from monitor.references.fetching import FailureReason, ReferenceFetching
from monitor.references.registry import Arrival, RegistryReferences
from monitor.settings.settings import Settings

#: Failures that are an answer: there is no reference, and the daemon would be without it, too.
ABSENT: Final[tuple[FailureReason, ...]] = ("untagged", "address", "damaged", "missing")
#: Versions that are told of, at most: their names come out of a log.
NOTES_MAX: Final = 20


class ReferencesUnavailableError(RuntimeError):
    """The registry does not answer, and there is no copy. The message says what to do."""


class PastReferences(RegistryReferences):
    """References by version, fetched when a version is seen first. One thread, no event loop in it.

    Parameters
    ----------
    offline
        Use the copies that are kept, and ask nobody.
    stack
        Closes the connections.

    Attributes
    ----------
    notes
        What there is to tell: by version, why it has no reference or another than asked for.

    Raises
    ------
    ReferencesUnavailableError
        The registry does not tell the alias's version, and no copy is kept.
    """

    def __init__(
        self,
        settings: Settings,
        registry: MlflowRegistry | None,
        cache: ReferenceCache,
        *,
        metrics: Metrics,
        offline: bool,
        stack: ExitStack,
    ) -> None:
        super().__init__(cache, versions_max=settings.limits.versions_max)
        self.notes: dict[str, str] = {}
        self._model, self._alias = settings.model.name, settings.model.alias
        self._copies = cache
        self._kept = dict(cache.noted(self._model))
        self._fresh = False
        self._asking: _Asking | None = None
        if registry is not None and not offline:
            runner = stack.enter_context(asyncio.Runner())
            stack.callback(lambda: runner.run(registry.close()))
            self._asking = _Asking(self, registry, settings, cache, metrics=metrics, runner=runner)
            self._look()
        if self._asking is None:
            self._point_as_kept()
        super().renewed()
        self._fresh = False

    def of(self, version: str) -> Reference | None:
        """Return the reference of a version, and fetch it if it was never asked for."""
        found = super().of(version)
        if found is not None or not self._look():
            return found
        return super().of(version)

    def collect(self, batch: PredictionBatch) -> PredictionBatch:
        """Return the batch: another object where its reference came just now."""
        self.of(batch.version)
        if not self._fresh:
            return batch
        self._fresh = False
        return replace(batch)

    def renewed(self) -> bool:
        """Tell whether a reference came."""
        fresh, self._fresh = self._fresh, False
        return super().renewed() or fresh

    def _look(self) -> bool:
        """Fetch what is wanted and not here; say whether anything came."""
        asking = self._asking
        if asking is not None and asking.is_due():
            troubles = asking.ask()
            for version, (trouble, reason) in troubles.items():
                if reason in ABSENT:
                    self._leave_out(version, trouble)
                else:
                    self._asking = None
                    self._do_without(trouble)
                    break
        if self._asking is None:
            for version in self.wanted():
                if not self.held(version):
                    self._take_copy(version)
        came = super().renewed()
        self._fresh |= came
        return came

    def _do_without(self, trouble: str) -> None:
        """Go on with the copies that are kept, if there are any."""
        if all(version.startswith(ALIAS) for version in self._kept):
            raise ReferencesUnavailableError(
                f"cannot fetch references: {trouble}; with --offline drift is unknown, and with "
                "[reference] path = … a file takes their place"
            )
        self.notes["registry"] = f"{trouble}; the copies of references that are kept are used"
        self._point_as_kept()

    def _point_as_kept(self) -> None:
        pointed = self._kept.get(ALIAS + self._alias)
        if pointed is not None and self._pointed is None:
            self.point(pointed)
            self._take_copy(pointed)

    def _take_copy(self, version: str) -> None:
        sha256 = self._kept.get(version)
        data = None if sha256 is None else self._copies.get(sha256)
        if sha256 is None or data is None:
            self._leave_out(version, f"no copy of the reference of version {version} is kept")
            return
        try:
            self.arrive(Arrival(version, sha256, load(data)))
        except BadReference as error:
            del self._kept[version]
            self._leave_out(version, f"the kept reference of version {version}: {error}")

    def _leave_out(self, version: str, trouble: str) -> None:
        if len(self.notes) < NOTES_MAX:
            self.notes.setdefault(version, f"{trouble}; its drift is unknown")


class _Asking(ReferenceFetching):
    """The daemon's fetching, a question at a time, with failures that are handed over."""

    def __init__(
        self,
        references: RegistryReferences,
        registry: MlflowRegistry,
        settings: Settings,
        cache: ReferenceCache,
        *,
        metrics: Metrics,
        runner: asyncio.Runner,
    ) -> None:
        # Its clock stands still: what failed, or was answered, is not asked for again.
        super().__init__(
            settings.model.name,
            settings.model.alias,
            registry,
            RegistryArtifacts(registry),
            references=references,
            cache=cache,
            metrics=metrics,
            clock=lambda: 0.0,
        )
        self._runner = runner
        self._begun = False
        self._failures: dict[str, tuple[str, FailureReason]] = {}

    def is_due(self) -> bool:
        """Say whether there is anything to ask."""
        return not self._begun or any(map(self._due, self._references.wanted()))

    def ask(self) -> Mapping[str, tuple[str, FailureReason]]:
        """Fetch what is wanted; return what failed and why."""
        self._begun = True
        self._failures = {}
        self._runner.run(self.tick())
        return self._failures

    def _failed(self, version: str, trouble: str, reason: FailureReason) -> None:
        self._failures[version] = trouble, reason
