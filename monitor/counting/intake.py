"""Taking in: from the bytes of a source to rows that are counted and lines that are not.

What is taken in is added to the pending change with the read position behind it, so that both are
committed together or not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from collectors.batch import Decoded, PredictionBatch, Rejection
from collectors.portions import portions
from collectors.source import Chunk
from monitor.counting.counting import Counting
from monitor.counting.keeping import Rejected
from monitor.counting.streams import Stream, Streams
from monitor.judging.turn import Pending
from monitor.labels.labels import LabelJoin
from monitor.metrics.catalogue import Metrics
from monitor.publishing.publishing import Publisher
from monitor.references.references import References
from monitor.shadow.recent import RecentRequests
from monitor.shadow.watch import ShadowWatch
from monitor.store.store import Totals
from monitor.traffic.event_time import EventTime
from monitor.traffic.versions import Versions


class Intake:
    """Reads the sources and counts what their lines hold.

    Parameters
    ----------
    counting
        Takes the live rows.
    labels, shadow, requests
        Take live rows, for labels to join, for a shadow to answer, and for a rollback to look at;
        None where nothing does.
    quarantine
        Keeps lines that cannot be used.
    wall
        Seconds since the epoch.

    Attributes
    ----------
    totals
        Of every source, since the store was made.
    """

    def __init__(
        self,
        streams: Streams,
        *,
        counting: Counting,
        references: References,
        versions: Versions,
        event_time: EventTime,
        labels: LabelJoin | None,
        shadow: ShadowWatch | None,
        requests: RecentRequests | None,
        quarantine: Rejected,
        publisher: Publisher,
        metrics: Metrics,
        wall: Callable[[], float],
    ) -> None:
        self._streams = streams
        self._counting = counting
        self._references = references
        self._versions = versions
        self._event_time = event_time
        self._labels = labels
        self._takers = [one for one in (labels, shadow, requests) if one is not None]
        self._quarantine = quarantine
        self._publisher = publisher
        self._metrics = metrics
        self._wall = wall
        self.totals: dict[str, Totals] = {stream.name: Totals() for stream in streams}
        self._since_window = Totals()

    def since_window(self) -> Totals:
        """Return what was taken in since the last call."""
        since, self._since_window = self._since_window, Totals()
        return since

    def poll(self, pending: Pending) -> bool:
        """Take in what has arrived; say whether anything had."""
        busy = False
        for stream in self._streams:
            for chunk in stream.source.poll():
                self._take(stream, chunk, pending)
                busy = True
            for gone in stream.source.retired():
                self._event_time.retire(stream.name, gone)
                pending.change.retired.append((stream.name, gone))
                pending.change.positions.pop((stream.name, gone), None)
                pending.dirty = True
        self._streams.tell_unreadable()
        return busy

    def give_up_halves(self, pending: Pending) -> None:
        """Count what formats have held back for too long, before its windows close."""
        silent_s = self._event_time.silent_s
        for stream, decoded in self._streams.expire(self._wall(), silent_s):
            self._count_all(stream, None, decoded, pending)
            if silent_s and decoded.batches:
                newest = max(float(batch.ts.max()) for batch in decoded.batches)
                self._event_time.note_held(newest)

    def fix_schema(self, pending: Pending) -> None:
        """Watch the columns of the reference that has just come or been completed."""
        pending.dirty = True
        schema = self._references.schema()
        if schema is not None:
            self._streams.fix(schema)

    def _take(self, stream: Stream, chunk: Chunk, pending: Pending) -> None:
        too_long = [Rejection("too_long", line) for line in chunk.skipped]
        self._count_all(stream, chunk.stream, Decoded((), too_long), pending)
        if chunk.shed:
            self._add(stream.name, Totals(shed=chunk.shed))
            self._metrics.shed.labels(stream.name).inc(chunk.shed)
        for lines in portions(chunk.lines, lambda: len(stream.format.schema.columns)):
            self._count_all(stream, chunk.stream, stream.format.decode(lines), pending)
        self._metrics.bytes.labels(stream.name).inc(len(chunk.lines))
        pending.change.positions[stream.name, chunk.stream] = chunk.position
        pending.dirty = True

    def _count_all(
        self, stream: Stream, part: str | None, decoded: Decoded, pending: Pending
    ) -> None:
        """Count what a format made of the lines of a part, or has held back until now (None)."""
        name = stream.name
        counted = Totals(rejected=len(decoded.rejections))
        for batch in decoded.batches:
            for taker in self._takers if batch.role == "live" else ():
                taker.take(batch)
            counted += self._count(
                stream, part, replace(batch, joins=None) if batch.joins else batch, pending
            )
        for labels in decoded.labels:
            if self._labels is not None:
                self._labels.take_labels(labels)
        if decoded.rejections:
            self._quarantine.write(name, decoded.rejections, self._wall())
        self._publisher.count_lines(name, decoded)
        self._add(name, counted)
        pending.dirty |= bool(decoded.batches or decoded.rejections)

    def _count(
        self, stream: Stream, part: str | None, batch: PredictionBatch, pending: Pending
    ) -> Totals:
        self._publisher.count_batch(stream.name, batch, self._wall())
        if batch.role != "live":
            return Totals(events=batch.rows)
        self._versions.see(batch)
        counted = self._counting.add(batch, self._wall())
        if counted.added is None:
            return Totals(events=batch.rows)
        if counted.completed:
            self.fix_schema(pending)
        added = counted.added
        if part is not None:
            self._event_time.note(stream.name, part, added.newest)
        self._publisher.count_untimely(stream.name, late=added.late, ahead=added.ahead)
        return Totals(events=batch.rows, late=added.late)

    def _add(self, source: str, more: Totals) -> None:
        self.totals[source] += more
        self._since_window += more
