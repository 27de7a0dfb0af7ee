"""Counting: what one turn of the daemon does with the lines that have arrived.

Synchronous, and owned by one thread. It reads sources, decodes, counts into panes, closes
windows, measures, moves the rules on, and commits all of it in one transaction. What it hands
back (:class:`Turn`) was committed.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import msgspec
import numpy as np

from collectors.batch import STATUS_UNKNOWN, Decoded, PredictionBatch, Rejection, Schema
from collectors.format import Format, Holding
from collectors.portions import portions
from collectors.quarantine import Quarantine
from collectors.source import Chunk, FilesSource, KeepingSource, Source
from detectors.measurement import Measurement
from detectors.pane import PaneError
from detectors.rule import RuleSpec
from detectors.window import ClosedWindow, Windows, WindowStateError
from monitor.forward_clock import ForwardClock
from monitor.judging import Judge, Judged, RuleStanding
from monitor.labels import LabelJoin
from monitor.metrics import Metrics
from monitor.references import Learning, References, standing_of
from monitor.store import Change, Snapshot, Store, StoreUnavailable, Totals
from monitor.versions import Versions, VersionSeen
from monitor.watermark import Watermark

log = logging.getLogger("kedge.engine")

#: Committing may take at most this share of the time.
COMMIT_SHARE = 0.1

#: After a commit that failed, the next try comes so much later.
RETRY_S = 1.0

#: Batches remembered to tell how versions share the traffic: enough for hours of small ones.
RECENT_BATCHES = 20_000

#: Versions, the latest seen, of which the status says what they are compared with.
REFERENCES_SHOWN_MAX = 20

WINDOWS, SCHEMA, FORMAT, LABELS = "windows", "schema", "format", "labels"


@dataclass(frozen=True, slots=True)
class Stream:
    """A configured source with the format of its lines."""

    name: str
    source: Source
    format: Format


class Sampler(Protocol):
    """Knows what was sampled while a window lasted."""

    def measurements(self, window: ClosedWindow, *, serving: bool) -> Sequence[Measurement]:
        """Measure a window; `serving` is whether most of its time's events were its version's."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn did.

    Parameters
    ----------
    busy
        Lines were read: there may be more, so the next turn should come at once.
    judged
        Windows that were closed, and are committed.
    """

    busy: bool
    judged: Sequence[Judged] = ()


@dataclass(slots=True)
class _Pending:
    """What was concluded since the last commit."""

    change: Change = field(default_factory=Change)
    judged: list[Judged] = field(default_factory=list)
    dirty: bool = False
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Committed:
    """What the last commit says, whole: replaced at once, so that any thread may read it."""

    totals: Mapping[str, Totals]
    versions: Sequence[VersionSeen]
    live_version: str | None
    rules: Sequence[RuleStanding]
    labels: Mapping[str, Any] | None = None
    references: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class Engine:
    """The data path from sources to the store.

    Parameters
    ----------
    commit_interval_s
        Longest time that counted lines stay uncommitted, unless committing is slow. A crash
        re-reads at most this much, and counts nothing twice.
    idle_s
        After so long without a line, event time goes on by the clock, and windows close.
    labels
        Joins labels to predictions; None where none are expected.
    sampler
        Measures windows by something else than their events; None without any.
    wall, monotonic
        Clocks, seconds: of event time, and of intervals.
    """

    def __init__(
        self,
        *,
        model: str,
        streams: Sequence[Stream],
        windows: Windows,
        references: References,
        judge: Judge,
        store: Store,
        metrics: Metrics,
        quarantine: Quarantine,
        commit_interval_s: float,
        idle_s: float,
        labels: LabelJoin | None = None,
        sampler: Sampler | None = None,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._streams = streams
        self._windows = windows
        self._references = references
        self._judge = judge
        self._store = store
        self._metrics = metrics
        self._quarantine = quarantine
        self._commit_interval_s = commit_interval_s
        self._idle_s = idle_s
        self._labels = labels
        self._sampler = sampler
        self._wall = ForwardClock(wall, monotonic)
        self._monotonic = monotonic
        self._event_time = Watermark()
        self._pending = _Pending()
        self._totals: dict[str, Totals] = {stream.name: Totals() for stream in streams}
        self._versions = Versions()
        self._schemas: dict[str, Schema] = {}
        self._unreadable: dict[str, Mapping[str, str]] = {}
        self._held: dict[str, bytes | None] = {}
        self._next_commit = monotonic()
        self._last_line, self._watermark = monotonic(), windows.watermark
        self._since_window = Totals()
        self._recent: deque[tuple[float, str, int]] = deque(maxlen=RECENT_BATCHES)
        self._trouble: str | None = None
        self._last_turn = monotonic()
        self._committed = self._standing()

    @property
    def streams(self) -> Sequence[Stream]:
        """The sources that are read."""
        return self._streams

    @property
    def committed(self) -> Committed:
        """What the store holds."""
        return self._committed

    @property
    def idle_for_s(self) -> float:
        """How long ago the last turn ended, in seconds: large when the counting hangs."""
        return self._monotonic() - self._last_turn

    @property
    def trouble(self) -> str | None:
        """Why commits fail at present; None while they succeed."""
        return self._trouble

    def restore(self, snapshot: Snapshot) -> None:
        """Take up where the last commit left off."""
        self._references.restore(snapshot.states)
        self._judge.restore(snapshot.rules)
        self._totals |= snapshot.totals
        self._versions.restore(row for row in snapshot.versions if row["model"] == self._model)
        fixed = self._references.schema()
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
        self._restore_windows(snapshot)
        if self._labels is not None:
            self._labels.restore(snapshot.states.get(LABELS), snapshot.performance_panes)
            self._metrics.follow_labels(self._model, self._labels.standing(), count=False)
        self._committed = self._standing()

    def _restore_windows(self, snapshot: Snapshot) -> None:
        if WINDOWS not in snapshot.states:
            return
        names = {*self._versions, *(version for version, _ in snapshot.panes)}
        try:
            self._windows = Windows.decode(
                self._windows.spec,
                self._model,
                snapshot.states[WINDOWS],
                panes=snapshot.panes,
                references={name: self._references.of(name) for name in names},
            )
            self._watermark = self._windows.watermark
        except (WindowStateError, PaneError) as error:
            # Windows are cut otherwise than before: what was open cannot be counted on.
            log.warning("open windows are dropped, closed ones stay: %s", error)
            self._pending.change.dropped_panes.extend(snapshot.panes)
            self._pending.dirty = True

    def turn(self) -> Turn:
        """Read what has arrived, count it, and commit when it is time.

        Raises
        ------
        StoreUnavailable
            The commit failed and will be tried again by a later turn; nothing more is read
            until it succeeds, so nothing is lost.
        """
        self._last_turn = self._monotonic()
        if self._trouble is not None:
            return Turn(busy=False, judged=self._commit())
        busy = False
        if self._references.renewed():
            self._fix_schema()
            self._pending.dirty = True
        self._give_up_halves()
        for stream in self._streams:
            for chunk in stream.source.poll():
                self._take(stream, chunk)
                busy = True
            self._tell_unreadable(stream)
            for gone in stream.source.retired():
                self._event_time.retire(stream.name, gone)
                self._pending.change.retired.append((stream.name, gone))
                self._pending.change.positions.pop((stream.name, gone), None)
                self._pending.dirty = True
        if busy:
            self._advance()
            self._last_line, self._watermark = self._monotonic(), self._windows.watermark
        else:
            self._let_time_pass()
        if self._labels is not None and self._labels.let_time_pass():
            self._pending.dirty = True
        closed = self._windows.close()
        for window in closed:
            self._conclude(window)
        full = self._labels is not None and self._labels.full
        due = self._pending.dirty and (full or self._monotonic() >= self._next_commit)
        return Turn(busy, self._commit() if closed or due else ())

    def _advance(self) -> None:
        """Move event time on, as far as every log that has a backlog has come."""
        lagging = frozenset(s.name for s in self._streams if s.source.lag_bytes())
        come = self._event_time.end_turn(lagging)
        # An event a little ahead of us belongs to a window that others have yet to fill.
        come = min(come, self._wall())
        self._advance_to(come - self._windows.spec.lateness_s)

    def _advance_to(self, watermark: float) -> None:
        """Advance the windows, but not past what a format keeps back: it would come late."""
        held = (s.format.held_since() for s in self._streams if isinstance(s.format, Holding))
        self._windows.advance(min(watermark, *held, math.inf))

    def _tell_unreadable(self, stream: Stream) -> None:
        """Log, once, what a source has found that it cannot read."""
        if not isinstance(stream.source, FilesSource):
            return
        known, found = self._unreadable.get(stream.name), stream.source.unreadable
        if found == known:
            return
        for what in found.keys() - (known or {}).keys():
            log.warning("%s: %s cannot be read: %s", stream.name, what, found[what])
        self._unreadable[stream.name] = found
        self._metrics.unreadable.labels(stream.name).set(len(found))

    def _give_up_halves(self) -> None:
        """Count what formats have held back for too long, before its windows close."""
        silent_s = self._monotonic() - self._last_line
        silent_s = silent_s if silent_s >= self._idle_s else 0.0
        for stream in self._streams:
            if not isinstance(stream.format, Holding):
                continue
            decoded = stream.format.expire(self._wall(), silent_s)
            self._count_all(stream, None, decoded)
            if silent_s and decoded.batches:
                # Silence goes on from what came last, though it was counted only now.
                newest = max(float(batch.ts.max()) for batch in decoded.batches)
                come = min(newest, self._wall()) - self._windows.spec.lateness_s
                self._watermark = max(self._watermark, come)

    def _let_time_pass(self) -> None:
        """Close windows although no line comes.

        Event time goes on from the last line at the pace of our clock, and not from what the
        wall clock says: a log of last year that pauses must not find its next lines late.
        """
        silent_s = self._monotonic() - self._last_line
        if silent_s >= self._idle_s:
            self._advance_to(self._watermark + silent_s)

    def stop(self) -> Sequence[Judged]:
        """Commit what was counted, and let go of the sources; closes no window early."""
        judged = self._commit() if self._pending.dirty else ()
        for stream in self._streams:
            stream.source.close()
        return judged

    def _take(self, stream: Stream, chunk: Chunk) -> None:
        too_long = [Rejection("too_long", line) for line in chunk.skipped]
        self._count_all(stream, chunk.stream, Decoded((), too_long))
        if chunk.shed:
            self._totals[stream.name] += Totals(shed=chunk.shed)
            self._since_window += Totals(shed=chunk.shed)
            self._metrics.shed.labels(stream.name).inc(chunk.shed)
        for lines in portions(chunk.lines, lambda: len(stream.format.schema.columns)):
            self._count_all(stream, chunk.stream, stream.format.decode(lines))
        self._metrics.bytes.labels(stream.name).inc(len(chunk.lines))
        self._pending.change.positions[stream.name, chunk.stream] = chunk.position
        self._pending.dirty = True

    def _count_all(self, stream: Stream, part: str | None, decoded: Decoded) -> None:
        """Count what a format made of the lines of a part, or has held back until now (None)."""
        name = stream.name
        counted = Totals(rejected=len(decoded.rejections))
        for batch in decoded.batches:
            if self._labels is not None and batch.role == "live":
                self._labels.take(batch)
            counted += self._count(
                stream, part, replace(batch, joins=None) if batch.joins else batch
            )
        for labels in decoded.labels:
            if self._labels is not None:
                self._labels.take_labels(labels)
        self._reject(name, decoded.rejections)
        for counter, count in (
            (self._metrics.unknown_keys, sum(decoded.unknown_keys.values())),
            (self._metrics.ignored, decoded.ignored),
            (self._metrics.joined, decoded.joined),
            (self._metrics.alone, decoded.alone),
        ):
            if count:
                counter.labels(name).inc(count)
        self._totals[name] += counted
        self._since_window += counted
        self._pending.dirty |= bool(decoded.batches or decoded.rejections)

    def _count(self, stream: Stream, part: str | None, batch: PredictionBatch) -> Totals:
        self._export(stream.name, batch)
        if batch.role != "live":
            return Totals(events=batch.rows)
        self._see(batch)
        rest = batch if batch.requests_only else self._references.collect(batch)
        late = 0
        if rest is not None:
            if rest is not batch:
                self._fix_schema()
            reference = self._references.of(batch.version)
            added = self._windows.add(rest, reference, self._wall(), advance=False)
            late = added.late
            if part is not None:
                self._event_time.note(stream.name, part, added.newest)
            if added.late:
                self._metrics.late.labels(stream.name).inc(added.late)
            if added.ahead:
                self._metrics.ahead.labels(stream.name).inc(added.ahead)
        return Totals(events=batch.rows, late=late)

    def _fix_schema(self) -> None:
        """Watch the columns of the reference that has just come or been completed."""
        schema = self._references.schema()
        if schema is not None:
            for stream in self._streams:
                stream.format.fix(schema)

    def _export(self, source: str, batch: PredictionBatch) -> None:
        version = self._metrics.version(batch.version)
        statuses, counts = np.unique(batch.status, return_counts=True)
        for status, count in zip(statuses.tolist(), counts.tolist(), strict=True):
            name = "unknown" if status == STATUS_UNKNOWN else str(status)
            self._metrics.predictions.labels(batch.model, version, name).inc(count)
        self._metrics.latency.observe((batch.model, version), batch.latency_ms / 1000)
        self._metrics.lag.labels(source).set(max(0.0, self._wall() - float(batch.ts.max())))

    def _reject(self, source: str, rejections: Sequence[Rejection]) -> None:
        for rejection in rejections:
            self._metrics.rejected.labels(source, rejection.reason).inc()
        if rejections:
            self._quarantine.write(source, rejections, self._wall())

    def _conclude(self, window: ClosedWindow) -> None:
        since, self._since_window = self._since_window, Totals()
        events = self._events_between(window.begins, window.ends)
        judged = self._judge.conclude(
            window,
            # What it was counted against: the version's reference may be another by now.
            window.pane.reference,
            rejected=since.rejected,
            late=since.late,
            events_by_version=events,
            sampled=self._sampled(window, events),
        )
        change = self._pending.change
        change.windows.append(judged.row)
        change.incidents.extend(judged.incidents)
        change.rules.update(judged.rule_states)
        self._pending.judged.append(judged)
        self._pending.dirty = True
        self._versions.conclude(window.version, window.ends)
        if isinstance(self._references, Learning):
            healthy = all(one.state not in ("suspect", "breach") for one in judged.reports)
            self._references.concluded(window.version, window.begins, window.ends, healthy=healthy)

    def _see(self, batch: PredictionBatch) -> None:
        self._versions.see(batch)
        self._recent.append((float(batch.ts.max()), batch.version, batch.rows))

    def _events_between(self, begins: float, ends: float) -> dict[str, int]:
        """Events by version, as far as they are remembered: who shares the traffic with whom."""
        events: dict[str, int] = {}
        for moment, version, rows in self._recent:
            if begins <= moment <= ends:
                events[version] = events.get(version, 0) + rows
        return events

    def _sampled(self, window: ClosedWindow, events: Mapping[str, int]) -> Sequence[Measurement]:
        if self._sampler is None:
            return ()
        # Resources are those of a process, which may serve two versions one after the other:
        # they are told of the version that most events between the window's ends were of.
        most = max(events.values(), default=0)
        serving = events.get(window.version, 0) == most
        return self._sampler.measurements(window, serving=serving)

    def _commit(self) -> Sequence[Judged]:
        pending = self._pending
        began = self._monotonic()
        try:
            if not pending.complete:
                # Only now, and once: a change that is tried again is committed as it was.
                if self._labels is not None:
                    self._settle(self._labels)
                self._complete(pending.change)
                pending.complete = True
            self._store.commit(pending.change)
        except StoreUnavailable as error:
            self._metrics.commits.labels("failed").inc()
            self._trouble = str(error)
            raise
        took = self._monotonic() - began
        self._trouble = None
        self._metrics.commits.labels("ok").inc()
        self._metrics.commit_duration.observe(took)
        self._next_commit = began + max(self._commit_interval_s, took / COMMIT_SHARE)
        self._pending = _Pending()
        self._committed = self._standing()
        for stream in self._streams:
            if isinstance(stream.source, KeepingSource):
                stream.source.committed()
        for judged in pending.judged:
            if judged.labelled:
                self._metrics.set_performance(judged.row.window, judged.row.measurements)
            else:
                self._metrics.set_window(judged.row.window, list(judged.row.measurements))
        for standing in self._committed.rules:
            self._metrics.set_rule(self._model, standing.rule.name, standing.state.state)
        for reference in self._committed.references.values():
            self._metrics.set_reference(self._model, reference)
        self._export_limits()
        return pending.judged

    def _export_limits(self) -> None:
        windows, follow = self._windows, self._metrics.follow_limit
        follow("skipped_windows", windows.skipped)
        follow("evicted_versions", windows.evicted_versions)
        follow("evicted_panes", windows.evicted_panes)
        follow("forgotten_versions", self._versions.forgotten)
        if isinstance(self._references, Learning):
            follow("evicted_references", self._references.evicted_versions)
        follow("unkept_rejections", self._quarantine.dropped)
        follow("overflowing_columns", sum(s.format.columns_overflow for s in self._streams))
        if self._labels is not None:
            follow("evicted_label_panes", self._labels.evicted_panes)
            self._metrics.follow_labels(self._model, self._labels.standing(), count=True)
        for limit, cost in self._source_costs().items():
            follow(limit, cost)
        for stream in self._streams:
            self._metrics.backlog.labels(stream.name).set(stream.source.lag_bytes())

    def _source_costs(self) -> Counter[str]:
        costs: Counter[str] = Counter()
        for stream in self._streams:
            if isinstance(stream.source, KeepingSource):
                costs.update(stream.source.costs())
        return costs

    def _settle(self, labels: LabelJoin) -> None:
        """Join what has come, and conclude from the windows of pairs that this closes.

        It reads the store and so may fail, but then it has changed nothing.
        """
        change = self._pending.change
        change.labels = labels.settle(self._store)
        remembered = set(self._versions)
        for window, found in labels.close():
            if window.version not in remembered:
                continue  # so that labels of long ago do not bring a forgotten version's rules back
            shares = self._events_between(window.begins, window.ends)
            judged = self._judge.conclude_labels(window, found, events_by_version=shares)
            change.windows.append(judged.row)
            change.incidents.extend(judged.incidents)
            change.rules.update(judged.rule_states)
            self._pending.judged.append(judged)
        change.states[LABELS] = labels.complete(change.labels)

    def _complete(self, change: Change) -> None:
        """Add what is written as a whole: panes, totals, versions, learned columns."""
        change.states[WINDOWS] = self._windows.encode()
        change.panes.update(self._windows.dirty_panes())
        change.dropped_panes.extend(self._windows.dropped_panes())
        change.states.update(self._references.changed())
        change.totals.update(self._totals)
        rows, gone = self._versions.changes(self._model)
        change.versions.extend(rows)
        change.forgotten.extend(gone)
        self._judge.forget(gone)
        for stream in self._streams:
            schema = stream.format.schema
            if self._schemas.get(stream.name) != schema:
                self._schemas[stream.name] = schema
                change.states[f"{SCHEMA}:{stream.name}"] = msgspec.json.encode(schema)
            held = stream.format.encode() if isinstance(stream.format, Holding) else None
            if self._held.get(stream.name) != held:
                self._held[stream.name] = held
                change.states[f"{FORMAT}:{stream.name}"] = held

    def _standing(self) -> Committed:
        name, seen = self._versions.live, self._versions.seen
        latest = [one.version for one in seen[-REFERENCES_SHOWN_MAX:]]
        return Committed(
            totals=dict(self._totals),
            versions=seen,
            live_version=name,
            rules=self._judge.standings(name),
            labels=self._labels.standing() if self._labels is not None else None,
            references={name: standing_of(self._references, name) for name in latest},
        )

    def replace_rules(self, rules: Sequence[RuleSpec]) -> None:
        """Judge by other rules from the next window on."""
        self._judge.replace_rules(rules)
        self._committed = self._standing()
