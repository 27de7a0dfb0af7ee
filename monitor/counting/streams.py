"""The configured sources with the formats of their lines, and what formats keep between lines.

A format learns the columns of its lines, and may hold back half an event until the other half
comes. Both are stored beside the read positions, so that a restart forgets neither.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from collectors.batch import Decoded, Schema
from collectors.format import Format, Holding
from collectors.source import FilesSource, KeepingSource, Source
from monitor.metrics.catalogue import Metrics
from monitor.store.store import Snapshot

log = logging.getLogger("kedge.engine")

SCHEMA, FORMAT = "schema", "format"


@dataclass(frozen=True, slots=True)
class Stream:
    """A configured source with the format of its lines."""

    name: str
    source: Source
    format: Format


class Streams:
    """All configured sources, in order."""

    def __init__(self, streams: Sequence[Stream], metrics: Metrics) -> None:
        self._streams = tuple(streams)
        self._metrics = metrics
        self._schemas: dict[str, Schema] = {}
        self._held: dict[str, bytes | None] = {}
        self._unreadable: dict[str, Mapping[str, str]] = {}

    def __iter__(self) -> Iterator[Stream]:
        return iter(self._streams)

    def restore(self, snapshot: Snapshot, fixed: Schema | None) -> None:
        """Take up the stored positions and what formats knew; `fixed` columns come first."""
        for stream in self._streams:
            stream.source.restore(snapshot.positions.get(stream.name, {}))
            name = f"{SCHEMA}:{stream.name}"
            if fixed is not None:
                stream.format.fix(fixed)
            elif name in snapshot.states:
                stream.format.learn(msgspec.json.decode(snapshot.states[name], type=Schema))
            held = snapshot.states.get(f"{FORMAT}:{stream.name}")
            if held is not None and isinstance(stream.format, Holding):
                stream.format.restore(held)
                self._held[stream.name] = held

    def fix(self, schema: Schema) -> None:
        """Watch these columns from now on."""
        for stream in self._streams:
            stream.format.fix(schema)

    def expire(self, now: float, silent_s: float) -> Iterator[tuple[Stream, Decoded]]:
        """Yield what formats have held back for too long."""
        for stream in self._streams:
            if isinstance(stream.format, Holding):
                yield stream, stream.format.expire(now, silent_s)

    def held_since(self) -> float:
        """Return the time of the earliest event that a format holds back; ``inf`` without any."""
        formats = (stream.format for stream in self._streams)
        times = (format_.held_since() for format_ in formats if isinstance(format_, Holding))
        return min(times, default=math.inf)

    def unread_bytes(self) -> Mapping[str, Mapping[str, int]]:
        """Return the bytes not read yet, by source and by stream of it."""
        return {stream.name: stream.source.unread_bytes() for stream in self._streams}

    def tell_unreadable(self) -> None:
        """Log, once, what sources have found that they cannot read."""
        for stream in self._streams:
            if not isinstance(stream.source, FilesSource):
                continue
            known, found = self._unreadable.get(stream.name), stream.source.unreadable
            if found == known:
                continue
            for what in found.keys() - (known or {}).keys():
                log.warning("%s: %s cannot be read: %s", stream.name, what, found[what])
            self._unreadable[stream.name] = found
            self._metrics.unreadable.labels(stream.name).set(len(found))

    def changed(self) -> Mapping[str, bytes | None]:
        """Return what formats know and hold back, as far as it has changed since the last call."""
        states: dict[str, bytes | None] = {}
        for stream in self._streams:
            schema = stream.format.schema
            if self._schemas.get(stream.name) != schema:
                self._schemas[stream.name] = schema
                states[f"{SCHEMA}:{stream.name}"] = msgspec.json.encode(schema)
            held = stream.format.encode() if isinstance(stream.format, Holding) else None
            if self._held.get(stream.name) != held:
                self._held[stream.name] = held
                states[f"{FORMAT}:{stream.name}"] = held
        return states

    def committed(self) -> None:
        """Tell sources that all they handed out is in the store."""
        for stream in self._streams:
            if isinstance(stream.source, KeepingSource):
                stream.source.committed()

    def costs(self) -> Mapping[str, int]:
        """Return what limits and faults of sources and formats have cost by now, by name."""
        costs: Counter[str] = Counter()
        for stream in self._streams:
            costs["overflowing_columns"] += stream.format.columns_overflow
            if isinstance(stream.source, KeepingSource):
                costs.update(stream.source.costs())
        return costs

    def close(self) -> None:
        """Let go of the sources."""
        for stream in self._streams:
            stream.source.close()
