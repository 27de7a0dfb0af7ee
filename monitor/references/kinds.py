"""From ``[reference]`` to what serves references: a line for each kind."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from collectors.registry.artifacts import RegistryArtifacts
from collectors.registry.client import MlflowRegistry
from monitor.metrics.catalogue import Metrics
from monitor.references.by_segment import ReferencesBySegment
from monitor.references.cache import ReferenceCache
from monitor.references.fetching import ReferenceFetching
from monitor.references.files import FileReferences
from monitor.references.first import FirstEvents
from monitor.references.references import NoReference, References
from monitor.references.registry import RegistryReferences
from monitor.references.trailing import TrailingReferences, TrailingSpec
from monitor.settings.settings import Settings
from monitor.store.store import sqlite_path

#: Folder of fetched references, beside the store.
CACHE: Final = "reference-cache"


def references_of(settings: Settings) -> References:
    """Make what serves the configured references, and those of segments where there are any."""
    reference = settings.reference
    whole = _references(settings, reference.events)
    if not settings.segments.keys:
        return whole
    if reference.origin not in ("first", "trailing"):
        return ReferencesBySegment(whole, None)
    return ReferencesBySegment(whole, lambda: _references(settings, settings.segments.events))


def _references(settings: Settings, events: int) -> References:
    reference, joint = settings.reference, settings.detectors.joint
    if reference.path:
        return FileReferences(reference.path)
    match reference.origin:
        case "first":
            return FirstEvents(events, reference.points_max, joint=joint)
        case "registry":
            return RegistryReferences(cache_of(settings), versions_max=settings.limits.versions_max)
        case "trailing":
            spec = TrailingSpec(
                *(reference.length_s, reference.gap_s, reference.refresh_s, events),
                season=reference.season or None,
                zone=reference.timezone,
            )
            return TrailingReferences(spec, reference.points_max, joint=joint)
        case _:
            return NoReference()


def fetching_of(
    settings: Settings, references: References, registry: MlflowRegistry | None, metrics: Metrics
) -> ReferenceFetching | None:
    """Make what fetches references in the background; None where nothing is to be fetched."""
    if isinstance(references, ReferencesBySegment):
        references = references.whole
    if registry is None or not isinstance(references, RegistryReferences):
        return None
    return ReferenceFetching(
        settings.model.name,
        settings.model.alias,
        registry,
        RegistryArtifacts(registry),
        references=references,
        cache=cache_of(settings),
        metrics=metrics,
    )


def cache_of(settings: Settings) -> ReferenceCache:
    """Return the folder of fetched references, beside the store or the configuration."""
    beside = sqlite_path(settings.store.url) or settings.path
    return ReferenceCache((beside.parent if beside else Path()) / CACHE)
