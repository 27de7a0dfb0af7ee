"""References that are stored with the model's versions in the registry.

The counting thread asks here and never waits: a version that was not asked for before is noted,
:mod:`monitor.references.fetching` fetches its reference in the background, and it is taken up at
the beginning of a later turn. Until then the version's drift is unknown.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from collectors.batch import UNKNOWN_VERSION, ColumnKind, PredictionBatch, Schema
from detectors.columns.reference_error import ReferenceError as BadReference
from detectors.reference.reference import Reference
from detectors.reference.reference_file import load
from monitor.references.cache import ReferenceCache

log = logging.getLogger("kedge.references")

#: Name of what is kept in the store: which file is whose.
REGISTERED: Final = "reference-registered"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A reference that was fetched, and the checksum of its file."""

    version: str
    sha256: str
    reference: Reference


class RegistryReferences:
    """References by version, as far as they have arrived.

    `arrive`, `point`, `tell` and `wanted` may be called by any thread; the rest belongs to the
    counting.

    Parameters
    ----------
    cache
        Has the files again after a restart, without a question to the registry.
    versions_max
        References that are held at once, of the versions asked for last.
    """

    def __init__(self, cache: ReferenceCache, *, versions_max: int) -> None:
        self._cache = cache
        self._versions_max = versions_max
        self._held: dict[str, Arrival] = {}
        self._aliased: str | None = None
        self._lock = threading.Lock()
        self._arrived: dict[str, Arrival] = {}
        self._pointed: str | None = None
        self._told = False
        # Replaced and never changed, so that another thread may read it.
        self._wanted: tuple[str, ...] = ()
        self._troubles: Mapping[str, str] = {}
        self._dirty = False

    def of(self, version: str) -> Reference | None:
        """Return the reference of a version if it has arrived, and note that it is wanted.

        Events that name no version are those of the version that the alias points to.
        """
        name = self._aliased if version == UNKNOWN_VERSION else version
        if name is None:
            return None
        if name not in self._wanted:
            self._wanted = (*self._wanted, name)[-self._versions_max :]
        held = self._held.get(name)
        return held.reference if held is not None else None

    def trouble(self, version: str) -> str:
        """Say why there is none."""
        name = self._aliased if version == UNKNOWN_VERSION else version
        if name is None:
            return "events name no version, and the registry has not told the alias's yet"
        return self._troubles.get(name, "it is being fetched from the registry")

    def collect(self, batch: PredictionBatch) -> PredictionBatch:
        """Return the batch: nothing is collected."""
        return batch

    def renewed(self) -> bool:
        """Take up what has arrived."""
        told, self._told = self._told, False
        if not self._arrived and self._pointed == self._aliased:
            return told
        with self._lock:
            for arrival in self._arrived.values():
                self._hold(arrival)
            self._arrived.clear()
        self._aliased, self._dirty = self._pointed, True
        return True

    def schema(self) -> Schema | None:
        """Columns of all references that are held, the newest one's kind where they differ."""
        columns: dict[str, ColumnKind] = {}
        dimensions: dict[str, int] = {}
        for held in self._held.values():
            schema = held.reference.schema()
            columns |= schema.columns
            dimensions |= schema.dimensions
        return Schema(columns, dimensions) if columns else None

    def restore(self, states: Mapping[str, bytes]) -> None:
        """Read the files that were in use from the cache; what is gone is fetched again."""
        if REGISTERED not in states:
            return
        kept = json.loads(states[REGISTERED])
        self._aliased = self._pointed = kept["alias"]
        for version, sha256 in kept["versions"].items():
            self._read(version, sha256)

    def changed(self) -> Mapping[str, bytes | None]:
        """Return which file is whose, when that has changed."""
        if not self._dirty:
            return {}
        self._dirty = False
        versions = {version: held.sha256 for version, held in self._held.items()}
        return {REGISTERED: json.dumps({"alias": self._aliased, "versions": versions}).encode()}

    def wanted(self) -> Sequence[str]:
        """Versions that were asked for, the newest last."""
        return self._wanted

    def held(self, version: str) -> str:
        """Return the checksum of the file that a version has or is about to; empty of none."""
        with self._lock:
            held = self._arrived.get(version) or self._held.get(version)
        return held.sha256 if held is not None else ""

    def arrive(self, arrival: Arrival) -> None:
        """Hand over a reference that was fetched."""
        with self._lock:
            self._arrived[arrival.version] = arrival

    def point(self, version: str) -> None:
        """Hand over which version the alias points to."""
        self._pointed = version

    def tell(self, troubles: Mapping[str, str]) -> None:
        """Say what is wrong with the references of versions, as a whole and in words."""
        self._troubles, self._told = troubles, True

    def _hold(self, arrival: Arrival) -> None:
        before = self._held.pop(arrival.version, None)
        self._held[arrival.version] = arrival
        idle = [version for version in self._held if version not in self._wanted]
        for version in [*idle, *self._held][: max(0, len(self._held) - self._versions_max)]:
            del self._held[version]
        if before is not None and before.sha256 == arrival.sha256:
            return
        log.info(
            "version %s is compared with the reference of %s in the registry (%d rows, %s)",
            arrival.version,
            arrival.reference.origin,
            arrival.reference.rows,
            arrival.reference.digest[:12],
        )

    def _read(self, version: str, sha256: str) -> None:
        data = self._cache.get(sha256)
        if data is None:
            return
        try:
            self._held[version] = Arrival(version, sha256, load(data))
        except BadReference as error:
            log.warning("the kept reference of version %s cannot be used: %s", version, error)
