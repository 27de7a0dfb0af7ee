"""References of segments, beside those of the whole traffic.

Where references come from a file or the registry, those of segments stand in the same file. Where
they are made of the traffic, each segment makes its own, just as the whole does: the same class,
once for each segment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import msgspec

from collectors.batch import PredictionBatch, Schema
from detectors.reference.reference import Reference
from detectors.windows.population import split
from monitor.references.references import Learning, References

#: Names of what segments keep in the store begin with this and the segment's number.
PREFIX: Final = "segment"
NUMBERS: Final = "segment-numbers"


class ReferencesBySegment:
    """Serves the whole by one kind of references, and segments by the same.

    Parameters
    ----------
    whole
        Of all traffic.
    make
        Makes those of a segment; None where they stand in the references of the whole.
    """

    def __init__(self, whole: References, make: Callable[[], References] | None) -> None:
        self.whole = whole
        self._make = make
        self._segments: dict[str, References] = {}  # in the order of their numbers
        self._changed = False

    @property
    def evicted_versions(self) -> int:
        """Versions that were let go of, of the whole and of segments."""
        those = (self.whole, *self._segments.values())
        return sum(one.evicted_versions for one in those if isinstance(one, Learning))

    def of(self, version: str) -> Reference | None:
        """Return the reference of a population; None when there is none (yet)."""
        name, segment = split(version)
        if not segment:
            return self.whole.of(name)
        if self._make is not None:
            return self._of_segment(segment, self._make).of(name)
        reference = self.whole.of(name)
        return reference.segments.get(segment) if reference is not None else None

    def trouble(self, version: str) -> str:
        """Say why a population has no reference."""
        name, segment = split(version)
        if not segment:
            return self.whole.trouble(name)
        if self._make is not None:
            return self._of_segment(segment, self._make).trouble(name)
        if self.whole.of(name) is None:
            return self.whole.trouble(name)
        return f"the reference of version {name} has none of {segment}"

    def progress(self, version: str) -> str:
        """How far a population's own reference is in the making."""
        name, segment = split(version)
        those = self.whole
        if segment and self._make is not None:
            those = self._of_segment(segment, self._make)
        return those.progress(name) if isinstance(those, Learning) else ""

    def collect(self, batch: PredictionBatch) -> PredictionBatch | None:
        """Take what a reference in the making needs; return the rows left for the windows.

        Of a segment all are: it has windows while it has no reference, or a small one would have
        none for long.
        """
        name, segment = split(batch.version)
        if not segment:
            return self.whole.collect(batch)
        if self._make is not None:
            self._of_segment(segment, self._make).collect(replace(batch, version=name))
        return batch

    def concluded(self, version: str, begins: float, ends: float, *, healthy: bool) -> None:
        """Take note of a window of a population."""
        name, segment = split(version)
        those = self.whole
        if segment:
            if self._make is None:
                return
            those = self._of_segment(segment, self._make)
        if isinstance(those, Learning):
            those.concluded(name, begins, ends, healthy=healthy)

    def renewed(self) -> bool:
        """Take up what came meanwhile; tell whether anything did."""
        return self.whole.renewed()

    def schema(self) -> Schema | None:
        """Columns to decode: those of the whole."""
        return self.whole.schema()

    def restore(self, states: Mapping[str, bytes]) -> None:
        """Take up what the store kept."""
        self.whole.restore(states)
        if self._make is None or NUMBERS not in states:
            return
        for number, segment in enumerate(msgspec.json.decode(states[NUMBERS], type=list[str])):
            prefix = _prefix(number)
            kept = {
                name.removeprefix(prefix): state
                for name, state in states.items()
                if name.startswith(prefix)
            }
            self._of_segment(segment, self._make).restore(kept)
        self._changed = False

    def changed(self) -> Mapping[str, bytes | None]:
        """Return what to write to the store since the last call."""
        changed = dict(self.whole.changed())
        for number, those in enumerate(self._segments.values()):
            changed |= {_prefix(number) + name: state for name, state in those.changed().items()}
        if self._changed:
            changed[NUMBERS] = msgspec.json.encode(list(self._segments))
            self._changed = False
        return changed

    def _of_segment(self, segment: str, make: Callable[[], References]) -> References:
        if segment not in self._segments:
            self._segments[segment] = make()
            self._changed = True
        return self._segments[segment]


def _prefix(number: int) -> str:
    return f"{PREFIX}-{number}:"
