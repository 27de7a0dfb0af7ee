"""The first events of each version as its reference.

The first events of the log are the first reference, and enter no window. Any other version is
compared with them until it has a reference of its own: its own first events, gathered while they
are counted, and taken only when no rule objected to a window of theirs. So a version that is bad
from its start does not become its own measure of what is good.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from collectors.batch import ERROR_STATUS_MIN, PredictionBatch
from detectors.columns.reference_error import ReferenceError as BadReference
from detectors.reference.reference import Reference, ReferenceBuilder
from detectors.reference.reference_file import dump, load

log = logging.getLogger("kedge.references")

#: Names of what is kept in the store: who is followed, and by their places what was gathered of
#: each, and what became of it.
FIRST, COLLECTING, COLLECTED = (
    f"reference-{part}" for part in ("first", "collecting", "collected")
)
#: Versions that are followed at once.
VERSIONS_MAX: Final = 8


class _Kept(msgspec.Struct, array_like=True, frozen=True):
    version: str
    place: int
    last_ts: float
    restarts: int


@dataclass(slots=True)
class _Followed:
    """What is kept of a version; `place` is the number of its names in the store."""

    place: int
    builder: ReferenceBuilder
    reference: Reference | None = None
    last_ts: float = -math.inf
    restarts: int = 0


class FirstEvents:
    """References of the first events of each version.

    Parameters
    ----------
    events
        Rows to gather; the row that reaches the number is the last of the reference, wherever
        the log was cut into chunks.
    joint
        Whether correlations are learned.
    versions_max
        Versions that are followed at once. One past it takes the place of the one of which least
        was gathered, and never that of the first.

    Attributes
    ----------
    evicted_versions
        Versions that gave way.
    """

    def __init__(
        self,
        events: int,
        points_max: int,
        *,
        joint: bool = True,
        versions_max: int = VERSIONS_MAX,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._events = events
        self._points_max = points_max
        self._versions_max = versions_max
        self._clock = clock
        self._versions: dict[str, _Followed] = {}  # the one heard of last stands last
        self._eldest: str | None = None
        self._changed: dict[str, bytes | None] = {}
        self._gathered: set[str] = set()
        self._dirty = False
        self.evicted_versions = 0
        self._joint = joint

    def _new_builder(self) -> ReferenceBuilder:
        return ReferenceBuilder(self._points_max, joint=self._joint)

    def of(self, version: str) -> Reference | None:
        """Return a version's own reference, or the first of all while it has none."""
        followed = self._versions.get(version)
        if followed is not None and followed.reference is not None:
            return followed.reference
        return self._versions[self._eldest].reference if self._eldest is not None else None

    def trouble(self, version: str) -> str:
        """Say how many events are still to come."""
        return "" if self._eldest is not None else self.progress(version)

    def progress(self, version: str) -> str:
        """Say how many of a version's first events are gathered; empty once it has its own."""
        followed = self._versions.get(version)
        if followed is None or followed.reference is not None:
            return ""
        gathered = f"{followed.builder.rows:,} of the first {self._events:,} events"
        begun = f", begun anew {followed.restarts} times as a rule objected"
        return f"{gathered} of version {version}{begun if followed.restarts else ''}"

    def collect(self, batch: PredictionBatch) -> PredictionBatch | None:
        """Gather rows that are still wanted; return all, or those behind the first reference."""
        followed = self._follow(batch.version)
        wanted = self._events - followed.builder.rows
        if followed.reference is not None or (wanted <= 0 and self._eldest is not None):
            return batch
        # Rows of failed requests tell nothing of what is normal: they neither enter nor count.
        answered = np.cumsum(batch.status < ERROR_STATUS_MIN)
        end = int(np.searchsorted(answered, wanted)) + 1
        first = batch.take(slice(0, end))
        followed.builder.add(first.answered().columns)
        followed.last_ts = max(followed.last_ts, float(first.ts.max()))
        self._gathered.add(batch.version)
        if self._eldest is not None:
            return batch
        if followed.builder.rows < self._events:
            return None
        # Before it nothing was counted, so there is nothing that rules could object to.
        self._take(batch.version, followed)
        return batch.take(slice(end, None)) if end < batch.rows else None

    def concluded(self, version: str, begins: float, ends: float, *, healthy: bool) -> None:  # noqa: ARG002 - the protocol's
        """Take what was gathered when its windows are over, or begin anew if a rule objected."""
        followed = self._versions.get(version)
        if followed is None or followed.reference is not None:
            return
        if not healthy and followed.builder.rows:
            if not followed.restarts:
                log.warning(
                    "a rule objects to the first events of version %s: they are gathered anew",
                    version,
                )
            followed.builder = self._new_builder()
            followed.last_ts = -math.inf
            followed.restarts += 1
            self._gathered.add(version)
        elif followed.builder.rows >= self._events and ends >= followed.last_ts:
            self._take(version, followed)

    def renewed(self) -> bool:
        """Return False: a reference comes of the counting itself."""
        return False

    def schema(self) -> None:
        """Return None: columns are learned, so that a version may bring others."""
        return

    def restore(self, states: Mapping[str, bytes]) -> None:
        """Go on where the last commit left off."""
        if FIRST not in states:
            self._restore_single(states)
            return
        try:
            for kept in msgspec.msgpack.decode(states[FIRST], type=list[_Kept]):
                self._restore(kept, states)
        except (msgspec.DecodeError, BadReference, KeyError) as error:
            log.warning("the first events are gathered anew: what was kept is damaged: %s", error)
            self._versions.clear()
            self._eldest = None

    def changed(self) -> Mapping[str, bytes | None]:
        """Return what was gathered, and what became a reference, since the last call."""
        for version in self._gathered & self._versions.keys():
            followed = self._versions[version]
            if followed.reference is None:
                self._changed[f"{COLLECTING}-{followed.place}"] = followed.builder.encode()
        if self._gathered or self._dirty:
            # By age, so that the first one of a restart is the first one still.
            states = [
                _Kept(version, one.place, one.last_ts, one.restarts)
                for version, one in self._versions.items()
            ]
            states.sort(key=lambda kept: kept.version != self._eldest)
            self._changed[FIRST] = msgspec.msgpack.encode(states)
        changed = self._changed
        self._changed, self._gathered, self._dirty = {}, set(), False
        return changed

    def _take(self, version: str, followed: _Followed) -> None:
        origin = f"first {self._events} events of version {version}"
        followed.reference = followed.builder.build(self._clock(), origin)
        followed.builder = self._new_builder()
        if self._eldest is None:
            self._eldest = version
        self._changed[f"{COLLECTING}-{followed.place}"] = None
        self._changed[f"{COLLECTED}-{followed.place}"] = dump(followed.reference)
        self._dirty = True
        log.info("version %s is compared with the %s from here on", version, origin)

    def _follow(self, version: str) -> _Followed:
        followed = self._versions.pop(version, None)
        if followed is None:
            if len(self._versions) >= self._versions_max:
                self._evict()
            places = {one.place for one in self._versions.values()}
            place = next(place for place in range(self._versions_max) if place not in places)
            followed = _Followed(place, self._new_builder())
            self._dirty = True
        self._versions[version] = followed
        return followed

    def _evict(self) -> None:
        """Let go of the version with the fewest rows, so that a flood of names costs nothing."""
        others = (name for name in self._versions if name != self._eldest)
        gone = self._versions.pop(min(others, key=self._gathered_of))
        for name in (COLLECTING, COLLECTED):
            self._changed[f"{name}-{gone.place}"] = None
        self.evicted_versions += 1

    def _gathered_of(self, version: str) -> float:
        followed = self._versions[version]
        return followed.builder.rows if followed.reference is None else math.inf

    def _restore(self, kept: _Kept, states: Mapping[str, bytes]) -> None:
        built = states.get(f"{COLLECTED}-{kept.place}")
        gathered = states.get(f"{COLLECTING}-{kept.place}")
        builder = ReferenceBuilder.decode(gathered) if gathered else self._new_builder()
        followed = _Followed(kept.place, builder, None, kept.last_ts, kept.restarts)
        if built is not None:
            followed.reference = load(built)
            if self._eldest is None:
                self._eldest = kept.version
        self._versions[kept.version] = followed

    def _restore_single(self, states: Mapping[str, bytes]) -> None:
        """Take up the one reference of all versions that was kept before each had its own."""
        self._changed |= {name: None for name in (COLLECTING, COLLECTED) if name in states}
        if COLLECTED in states:
            place = _Followed(0, self._new_builder())
            place.reference = load(states[COLLECTED])
            self._versions[""] = place
            self._eldest = ""
            self._changed[f"{COLLECTED}-0"] = states[COLLECTED]
            self._dirty = True
