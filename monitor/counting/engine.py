"""Counting: what one turn of the daemon does with the lines that have arrived.

Synchronous, and owned by one thread. It reads sources, decodes, counts into panes, closes
windows, measures, moves the rules on, and commits all of it in one transaction. What it hands
back (:class:`Turn`) was committed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from detectors.rules.rule import RuleSpec
from detectors.windows.window import ClosedWindow, Windows
from monitor.counting.comparing import Comparing
from monitor.counting.costs import costs_of
from monitor.counting.counting import WINDOWS, Counting
from monitor.counting.intake import Intake
from monitor.counting.keeping import Keeper, Rejected
from monitor.counting.streams import Stream, Streams
from monitor.judging.changes import ChangeWatch
from monitor.judging.judging import Judge, Judged
from monitor.judging.turn import Committed, Pending, Turn
from monitor.labels.labels import LabelJoin
from monitor.metrics.catalogue import Metrics
from monitor.pictures.last_windows import LastWindows
from monitor.publishing.publishing import Publisher
from monitor.references.references import References
from monitor.resources.sampler import Sampler, sampled
from monitor.shadow.judging import other_rules
from monitor.shadow.recent import RecentRequests
from monitor.shadow.watch import ShadowWatch
from monitor.store.store import Change, Snapshot, StoreUnavailable, Totals
from monitor.traffic.event_time import EventTime
from monitor.traffic.forward_clock import ForwardClock
from monitor.traffic.recent_traffic import RecentTraffic
from monitor.traffic.segments import Segments
from monitor.traffic.versions import Versions

log = logging.getLogger("kedge.engine")

#: Committing may take at most this share of the time.
COMMIT_SHARE = 0.1

#: Measurements in one transaction, about: a backlog's windows are closed in steps of so many.
MEASUREMENTS_MAX = 5_000

#: After a commit that failed, the next try comes so much later.
RETRY_S = 1.0

LABELS, SHADOW = "labels", "shadow"


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
    shadow
        Has live requests scored by another version; None where none is.
    requests
        Keeps some live requests, for a rollback to look at; None where none does.
    sampler
        Measures windows by something else than their events; None without any.
    segments
        Cuts the traffic into parts that are watched by themselves; by default into none.
    changes
        Watches the rows one by one, for the rules that count changes; by default for none.
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
        store: Keeper,
        metrics: Metrics,
        quarantine: Rejected,
        commit_interval_s: float,
        idle_s: float,
        changes: ChangeWatch | None = None,
        labels: LabelJoin | None = None,
        sampler: Sampler | None = None,
        segments: Segments | None = None,
        shadow: ShadowWatch | None = None,
        requests: RecentRequests | None = None,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._streams = Streams(streams, metrics)
        self._references = references
        self._judge = judge
        self._store = store
        self._metrics = metrics
        self._publisher = Publisher(model, metrics)
        self._quarantine = quarantine
        self._commit_interval_s = commit_interval_s
        self._labels = labels
        self._sampler = sampler
        self._shadow = shadow
        self._changes = changes or ChangeWatch((), metrics, model=model)
        self._wall = ForwardClock(wall, monotonic)
        self._monotonic = monotonic
        self._event_time = EventTime(
            lateness_s=windows.spec.lateness_s,
            idle_s=idle_s,
            wall=self._wall,
            monotonic=monotonic,
            watermark=windows.watermark,
        )
        self._unread: Mapping[str, Mapping[str, int]] = {}
        self._pending = Pending()
        self._versions = Versions()
        self._next_commit = monotonic()
        self._recent = RecentTraffic()
        # Measured in the last window. Before any, it is taken for a large one.
        self._measurements = MEASUREMENTS_MAX
        self._segments = segments or Segments((), 0)
        self._counting = Counting(
            model,
            windows,
            references=references,
            changes=self._changes,
            segments=self._segments,
            recent=self._recent,
        )
        self._intake = Intake(
            self._streams,
            counting=self._counting,
            references=references,
            versions=self._versions,
            event_time=self._event_time,
            labels=labels,
            shadow=shadow,
            requests=requests,
            quarantine=quarantine,
            publisher=self._publisher,
            metrics=metrics,
            wall=self._wall,
        )
        self._comparing = Comparing(references, self._publisher, self._segments)
        self._last_windows = LastWindows()
        self._trouble: str | None = None
        self._last_turn = monotonic()
        self._committed = self._standing()

    @property
    def streams(self) -> Iterable[Stream]:
        """The sources that are read."""
        return self._streams

    @property
    def _windows(self) -> Windows:
        return self._counting.windows

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
        self._comparing.restore(snapshot.states)
        self._last_windows.restore(snapshot.last_windows.get(self._model, ()))
        self._judge.restore(snapshot.rules)
        self._changes.restore(snapshot.states)
        self._intake.totals |= snapshot.totals
        self._versions.restore(row for row in snapshot.versions if row["model"] == self._model)
        self._streams.restore(snapshot, self._references.schema())
        dropped = self._counting.restore(snapshot, self._versions)
        self._event_time.restart(self._windows.watermark)
        self._pending.change.dropped_panes.extend(dropped)
        self._pending.dirty |= bool(dropped)
        if self._labels is not None:
            self._labels.restore(snapshot.states.get(LABELS), snapshot.performance_panes)
        if self._shadow is not None:
            self._shadow.restore(snapshot.states.get(SHADOW), snapshot.rules)
        self._committed = self._standing()
        self._publisher.follow({}, self._committed, count=False)

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
        if self._windows.closable() and self._close_some():
            # What is left of a backlog's windows: rows that are read meanwhile would be in time
            # for them.
            return Turn(busy=True, judged=self._commit())
        if self._references.renewed():
            self._intake.fix_schema(self._pending)
        self._intake.give_up_halves(self._pending)
        busy = self._intake.poll(self._pending)
        if busy:
            self._unread = self._streams.unread_bytes()
            self._advance(self._event_time.by_events(self._unread))
            self._event_time.reach(self._windows.watermark)
        elif (watermark := self._event_time.by_clock()) is not None:
            self._advance(watermark)
        if self._labels is not None and self._labels.let_time_pass():
            self._pending.dirty = True
        closed = self._close_some()
        closed |= self._compare()
        full = self._labels is not None and self._labels.full
        due = self._pending.dirty and (full or self._monotonic() >= self._next_commit)
        judged = self._commit() if closed or due else ()
        return Turn(busy or self._windows.closable(), judged)

    def _close_some(self) -> bool:
        """Close as many windows as one transaction may hold; say whether there were any."""
        windows_max = max(1, MEASUREMENTS_MAX // self._measurements)
        closed = False
        for window in self._windows.close_some(windows_max):
            self._conclude(window)
            closed = True
        return closed

    def _compare(self) -> bool:
        """Conclude from what a shadow has answered; say whether it closed windows."""
        shadow = self._shadow
        return shadow is not None and shadow.settle(self._windows.watermark, self._pending)

    def _advance(self, watermark: float) -> None:
        """Advance the windows, but not past what a format keeps back: it would come late."""
        self._windows.advance(min(watermark, self._streams.held_since()))

    def stop(self) -> Sequence[Judged]:
        """Commit what was counted, and let go of the sources; closes no window early."""
        self._compare()
        judged = self._commit() if self._pending.dirty else ()
        self._streams.close()
        return judged

    def _conclude(self, window: ClosedWindow) -> None:
        events = self._recent.between(window.begins, window.ends)
        since, sampling = Totals(), []
        if not window.segment:
            since = self._intake.since_window()
            sampling = [*sampled(self._sampler, window, events), *self._changes.of_window(window)]
            self._versions.conclude(window.version, window.ends)
        judged = self._judge.conclude(
            window,
            # What it was counted against: the version's reference may be another by now.
            window.pane.reference,
            part=self._comparing.part(window),
            rejected=since.rejected,
            late=since.late,
            events_by_version=events,
            sampled=sampling,
        )
        self._pending.conclude(judged)
        self._measurements = max(1, len(judged.row.measurements))
        self._comparing.learn(window, judged)

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
        self._pending = Pending()
        for judged in pending.judged:
            self._last_windows.take(judged.row.window, judged.row.distribution)
        self._committed = self._standing()
        self._streams.committed()
        for judged in pending.judged:
            self._publisher.conclude(judged)
        self._publisher.stand(self._committed)
        self._export_limits()
        return pending.judged

    def _export_limits(self) -> None:
        costs = costs_of(
            windows=self._windows,
            changes=self._changes,
            versions=self._versions,
            comparing=self._comparing,
            segments=self._segments,
            streams=self._streams,
            quarantine=self._quarantine,
            labels=self._labels,
            shadow=self._shadow,
        )
        self._publisher.follow(costs, self._committed)
        self._publisher.set_backlogs(self._unread)

    def _settle(self, labels: LabelJoin) -> None:
        """Join what has come, and conclude from the windows of pairs that this closes.

        It reads the store and so may fail, but then it has changed nothing.
        """
        change = self._pending.change
        if self._shadow is not None:
            self._shadow.hand_over(labels)
        change.labels = labels.settle(self._store)
        if self._shadow is not None:
            self._shadow.settle_labels(labels, self._pending)
        remembered = set(self._versions)
        self._changes.take_pairs(labels.pairs, labels.task, remembered)
        for window, found in labels.close():
            if window.version not in remembered:
                continue  # so that labels of long ago do not bring a forgotten version's rules back
            shares = self._recent.between(window.begins, window.ends)
            measured = [*found, *self._changes.of_labels(window)]
            judged = self._judge.conclude_labels(window, measured, events_by_version=shares)
            self._pending.conclude(judged)
        change.states[LABELS] = labels.complete(change.labels)

    def _complete(self, change: Change) -> None:
        """Add what is written as a whole: panes, totals, versions, learned columns."""
        change.states[WINDOWS] = self._windows.encode()
        change.panes.update(self._windows.dirty_panes())
        change.dropped_panes.extend(self._windows.dropped_panes())
        change.states.update(self._comparing.changed())
        change.states.update(self._segments.changed())
        change.totals.update(self._intake.totals)
        rows, gone = self._versions.changes(self._model)
        change.versions.extend(rows)
        change.forgotten.extend(gone)
        self._judge.forget(gone)
        if self._shadow is not None:
            change.states[SHADOW] = self._shadow.complete(gone)
        change.states.update(self._changes.changed(gone))
        change.states.update(self._streams.changed())

    def _standing(self) -> Committed:
        name, seen, shadow = self._versions.live, self._versions.seen, self._shadow
        return Committed(
            totals=dict(self._intake.totals),
            versions=seen,
            live_version=name,
            rules=[*self._judge.standings(name), *(shadow.standings() if shadow else ())],
            labels=self._labels.standing() if self._labels is not None else None,
            references=self._comparing.standings(seen),
            shadow=shadow.standing() if shadow else None,
            last_windows=self._last_windows.held,
        )

    def replace_rules(self, rules: Sequence[RuleSpec]) -> None:
        """Judge by other rules from the next window on."""
        self._judge.replace_rules(other_rules(rules))
        if self._shadow is not None:
            self._shadow.replace_rules(rules)
        self._changes.replace_rules(rules)
        self._committed = self._standing()
