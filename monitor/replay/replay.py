"""Replaying old logs: what the daemon would have measured and said, and nothing done about it.

It is the daemon's own engine, over a source of old logs, with a clock that stands still while
there is something to read, and with a store that keeps nothing. At the end of the logs silence
follows, until the last windows have closed.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final

from collectors.batch import Rejection
from detectors.rules.rule import Judgement, RuleSpec, Verdict
from detectors.windows.pane_store import PaneKey
from detectors.windows.population import population
from detectors.windows.window import Windows
from monitor.composition import Past, engine_of, window_spec
from monitor.counting.engine import Engine
from monitor.counting.streams import Stream
from monitor.deciding.parts import registry_of
from monitor.judging.judging import Judge, Judged
from monitor.metrics.catalogue import Metrics
from monitor.pictures.distributions import Distribution
from monitor.references.by_segment import ReferencesBySegment
from monitor.references.kinds import cache_of, references_of
from monitor.references.references import References
from monitor.replay.decoding_ahead import FormatAhead, Pool
from monitor.replay.old_logs import OldLog, Reading
from monitor.replay.old_source import OldSource, Progress
from monitor.replay.references import PastReferences
from monitor.settings.settings import Settings
from monitor.store.pending import Held
from monitor.store.store import Change, Snapshot, Store

#: Logs of less than this are read before other processes are there to help.
ALONE_BYTES: Final = 8 << 20
#: What the one source of a replay is called, in labels that nobody reads.
SOURCE: Final = "replay"
_EMPTY: Final = Snapshot({}, {}, {}, {}, {}, ())


@dataclass(frozen=True, slots=True)
class Replayed:
    """A closed window, as the daemon would have committed it.

    Parameters
    ----------
    window, measurements
        As rows of the store.
    verdicts
        What each rule that looks at such windows made of it.
    incidents
        Breaches that opened, were confirmed or cleared, as rows of the store.
    distribution
        How the columns were distributed; None without a reference, and of a segment.
    """

    window: Mapping[str, Any]
    measurements: Sequence[Mapping[str, Any]]
    verdicts: Mapping[str, Verdict]
    incidents: Sequence[Mapping[str, Any]]
    distribution: Distribution | None = None


@dataclass(slots=True)
class Tally:
    """What was read, and what could not be used.

    Parameters
    ----------
    newest
        Largest event time, seconds since the epoch.
    rejected
        Lines by reason.
    faults
        Why logs could not be read to their end.
    references
        By version, why it has no reference from the registry.
    """

    events: int = 0
    late: int = 0
    newest: float = -math.inf
    rejected: Counter[str] = field(default_factory=Counter)
    faults: Sequence[str] = ()
    references: Mapping[str, str] = field(default_factory=dict)
    dropped: int = 0

    def write(self, source: str, rejections: Sequence[Rejection], now: float) -> None:  # noqa: ARG002 - as a quarantine
        """Count lines that could not be used."""
        self.rejected.update(one.reason for one in rejections)


class Replay:
    """Old logs on their way through windows, detectors and rules.

    Parameters
    ----------
    settings
        The daemon's. Its sources, its store and its steps are left alone; its registry is asked for
        references, where they are there.
    logs
        What to read, as :func:`monitor.replay.old_logs.old_logs` gives it.
    reading
        How their lines are read.
    processes
        Processes that decode; by default one for every core, and none of their own for logs so
        small that they would come too late.
    offline
        Use the copies of references that are kept, and ask no registry.
    progress
        Told how far each log was read.

    Attributes
    ----------
    tally
        What was read so far.
    """

    def __init__(
        self,
        settings: Settings,
        logs: Sequence[OldLog],
        *,
        reading: Reading,
        processes: int | None = None,
        offline: bool = False,
        progress: Progress = lambda _log, _share: None,
    ) -> None:
        self.tally = Tally()
        self._settings = settings
        self._logs = logs
        self._reading = reading
        self._processes = _processes(logs) if processes is None else processes
        self._progress = progress
        self._offline = offline
        self._silent_s = 0.0

    def windows(self) -> Iterator[Replayed]:
        """Read the logs, once, and return windows as they close."""
        with ExitStack() as stack:
            engine, source = self._composed(stack)
            while True:
                turn = engine.turn()
                yield from self._recorded(turn.judged)
                if not turn.busy and not source.unread_bytes():
                    break
            self._fall_silent()
            while (turn := engine.turn()).busy:
                yield from self._of_logs(turn.judged, source)
            yield from self._of_logs((*turn.judged, *engine.stop()), source)
            totals = engine.committed.totals[SOURCE]
            self.tally.events, self.tally.late = totals.events, totals.late
            self.tally.faults, self.tally.newest = source.faults, source.newest

    def _composed(self, stack: ExitStack) -> tuple[Engine, OldSource]:
        settings, now = self._settings, time.time()
        metrics = Metrics(
            columns_max=settings.limits.columns_max, versions_max=settings.limits.versions_max
        )
        references = self._references(metrics, stack)
        format_ = FormatAhead(self._reading.make)
        pool = None
        if self._processes > 1:
            pool = Pool(self._reading, self._processes, joins_labels=settings.labels.join)
            stack.callback(pool.close)
        source = OldSource(
            self._logs,
            format_,
            pool=pool,
            lateness_s=window_spec(settings).lateness_s,
            now=now,
            progress=self._progress,
        )
        judges: list[RecordingJudge] = []

        def judge(**how: Any) -> Judge:  # noqa: ANN401 - whatever a judge is made with
            judges.append(RecordingJudge(**how))
            return judges[0]

        engine = engine_of(
            settings,
            _NoStore(settings, stack),
            metrics,
            references=references,
            past=Past(
                Stream(SOURCE, source, format_),
                judge,
                _UnkeptWindows,
                self.tally,
                monotonic=lambda: self._silent_s,
            ),
        )
        self._judge = judges[0]
        engine.restore(_EMPTY)
        return engine, source

    def _references(self, metrics: Metrics, stack: ExitStack) -> References:
        settings = self._settings
        if settings.reference.path or settings.reference.origin != "registry":
            return references_of(settings)
        past = PastReferences(
            settings,
            registry_of(settings),
            cache_of(settings),
            metrics=metrics,
            offline=self._offline,
            stack=stack,
        )
        self.tally.references = past.notes
        return ReferencesBySegment(past, None) if settings.segments.keys else past

    def _recorded(self, judged: Sequence[Judged]) -> Iterator[Replayed]:
        for one in judged:
            yield Replayed(
                one.row.window,
                one.row.measurements,
                self._judge.verdicts.popleft(),
                one.incidents,
                one.row.distribution,
            )

    def _of_logs(self, judged: Sequence[Judged], source: OldSource) -> Iterator[Replayed]:
        """Record windows, but those of the silence behind the logs: it has no end."""
        spec, until = window_spec(self._settings), math.inf
        if spec.kind == "time" and math.isfinite(source.newest):
            until = (math.floor(source.newest / spec.slide) + spec.panes) * spec.slide
        for one in judged:
            if one.labelled or one.row.window["ends"] <= until:
                yield from self._recorded([one])
            else:
                self._judge.verdicts.popleft()

    def _fall_silent(self) -> None:
        """Let so much time pass that all that was read is in closed windows."""
        spec, windows = window_spec(self._settings), self._settings.windows
        self._silent_s = windows.idle_s + self._reading.options.join_s
        if spec.kind == "time":
            # Silence counts from the watermark, which stands before the newest event.
            self._silent_s += (spec.panes + 1) * spec.slide + spec.lateness_s


class RecordingJudge(Judge):
    """A judge who writes down what each rule made of each window.

    Attributes
    ----------
    verdicts
        By rule, a mapping a window, in the order in which windows were judged.
    """

    def __init__(self, *, rules: Sequence[RuleSpec], **how: Any) -> None:  # noqa: ANN401 - as a judge
        super().__init__(rules=rules, **how)
        self.verdicts: deque[Mapping[str, Verdict]] = deque()
        self._before: dict[tuple[str, str], Judgement] = {}

    def conclude(self, *args: Any, **how: Any) -> Judged:  # noqa: ANN401 - as a judge
        """Judge a window of traffic."""
        judged = super().conclude(*args, **how)
        self._write_down(judged)
        return judged

    def conclude_labels(self, *args: Any, **how: Any) -> Judged:  # noqa: ANN401 - as a judge
        """Judge a window of labels."""
        judged = super().conclude_labels(*args, **how)
        self._write_down(judged)
        return judged

    def _write_down(self, judged: Judged) -> None:
        of = population(judged.row.window["version"], judged.row.window["segment"])
        verdicts: dict[str, Verdict] = {}
        for rule, last in self.judgements(of).items():
            # A rule that passes over this window stands where it stood.
            if last is not self._before.get((rule, of)):
                self._before[rule, of] = last
                verdicts[rule] = last.verdict
        self.verdicts.append(verdicts)


class _UnkeptWindows(Windows):
    """Windows of which nothing is stored: encoding their panes would be for nothing."""

    def dirty_panes(self) -> dict[PaneKey, bytes]:
        """Return nothing."""
        return {}


class _NoStore:
    """Keeps nothing but what waits for labels, in a folder that is gone with the replay."""

    def __init__(self, settings: Settings, stack: ExitStack) -> None:
        self._store: Store | None = None
        if settings.labels.join:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="kedge-replay-"))
            self._store = Store.open(f"sqlite:///{folder}/labels.db")
            stack.callback(self._store.close)

    def commit(self, change: Change) -> None:
        """Keep what waits for labels."""
        if self._store is not None and change.labels is not None:
            self._store.commit(Change(labels=change.labels))

    def held(self, ids: Collection[str]) -> Mapping[str, Held]:
        """Rows of those ids that have one."""
        return {} if self._store is None else self._store.held(ids)

    def oldest_held(
        self, *, joined: bool, limit: int, before: float | None = None
    ) -> Sequence[Held]:
        """Oldest rows, of pairs or of what waits."""
        if self._store is None:
            return ()
        return self._store.oldest_held(joined=joined, limit=limit, before=before)


def _processes(logs: Sequence[OldLog]) -> int:
    if sum(log.size for log in logs) < ALONE_BYTES:
        return 0
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
