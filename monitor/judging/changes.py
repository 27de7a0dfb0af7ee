"""Change detectors while the daemon runs: which rows go to which, what is kept, what is told.

Rows are taken in the order in which they are read, each version's by itself, live ones only.
What the detectors remember is committed with the windows and the read positions, so that a crash
repeats no value and loses none.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version as version_of
from typing import Final

import msgspec
import numpy as np

from collectors.batch import (
    ERROR_STATUS_MIN,
    CategoryColumn,
    Column,
    Floats,
    NumberColumn,
    PredictionBatch,
    VectorColumn,
)
from detectors.change.change import DamagedMemory, OtherDetector, Scale
from detectors.change.change_kinds import COLUMN_SUBJECTS, LOSS_METRICS, ChangeSpec
from detectors.change.change_stream import Change, ChangeStream
from detectors.columns.profile import NumberProfile, Profile
from detectors.measurement import Measurement
from detectors.performance.performance import Pair, Task
from detectors.reference.reference import Reference
from detectors.rules.rule import RuleSpec
from detectors.windows.labelled import ClosedPerformance
from detectors.windows.window import VERSIONS_MAX, ClosedWindow
from monitor.metrics.catalogue import Metrics

log = logging.getLogger("kedge.changes")

#: Names of stored memory begin with this; one for each version.
CHANGES: Final = "changes:"

#: Streams of one version, over all detectors and columns; a commit writes some 2 KB of each.
STREAMS_MAX: Final = 200

#: Why a value was not looked at: a closed set, because it becomes a metric's label.
SKIPPED = (
    "limit",  # more values a second of event time than the detector may look at
    "streams",  # of a column beyond `STREAMS_MAX`
    "latency_kind",  # a latency of another kind than the version's first
    "not_finite",  # an infinite number
    "task",  # a pair whose loss cannot be told: the task is not known yet, or other than the pair
    "not_binary",  # a loss that is neither 0 nor 1, for a detector of errors
)
#: Why a detector began anew although there was memory of it: a closed set as well.
DROPPED = ("river_version", "parameters", "damaged")


class _Stored(msgspec.Struct):
    """What the store keeps of a version."""

    version: str
    river: str
    latency_kind: str | None
    streams: list[tuple[str, str | None, bytes]]


@dataclass(slots=True)
class _Watched:
    """A version: its streams by metric and column."""

    streams: dict[tuple[str, str | None], ChangeStream] = field(default_factory=dict)
    latency_kind: str | None = None
    changed: bool = False


class ChangeWatch:
    """The change detectors that rules ask for, of every version.

    Parameters
    ----------
    rules
        All rules; those with a `change` are watched for.
    versions_max
        Versions watched at once; the one without rows for longest gives way.
    ahead_max_s
        An event time further in the future is taken as now.
    by_events
        Whether windows are of events: their ends belong to them.

    Attributes
    ----------
    evicted
        Versions that gave way.
    """

    def __init__(
        self,
        rules: Sequence[RuleSpec],
        metrics: Metrics,
        *,
        model: str,
        versions_max: int = VERSIONS_MAX,
        ahead_max_s: float = 300.0,
        by_events: bool = False,
    ) -> None:
        self._metrics = metrics
        self._model = model
        self._versions_max = versions_max
        self._ahead_max_s = ahead_max_s
        self._by_events = by_events
        self._watched: dict[str, _Watched] = {}  # the one with the latest rows stands last
        self._gone: set[str] = set()
        self._specs = _specs(rules)
        self.evicted = 0
        self._import()

    def replace_rules(self, rules: Sequence[RuleSpec]) -> None:
        """Watch for what other rules ask for; what is the same goes on where it is."""
        before, self._specs = self._specs, _specs(rules)
        self._import()
        for watched in self._watched.values():
            for (metric, column), stream in list(watched.streams.items()):
                spec = self._specs.get(metric)
                if spec is not None and spec.continues(before[metric], column):
                    stream.spec = spec
                else:
                    del watched.streams[metric, column]
                    watched.changed = True

    def restore(self, states: Mapping[str, bytes]) -> None:
        """Take up where the last commit left off."""
        for name, state in states.items():
            if name.startswith(CHANGES) and not self._restore(state):
                self._drop("damaged", "the memory of change detectors cannot be read")

    def _import(self) -> None:
        """Have the detectors imported now: it takes a second, and rows should not wait for it."""
        for spec in self._specs.values():
            spec.parameters.build(two_sided=False)

    def _restore(self, state: bytes) -> bool:
        try:
            kept = msgspec.msgpack.decode(state, type=_Stored)
        except msgspec.DecodeError:
            return False
        if not self._specs:
            self._gone.add(kept.version)
            return True
        if kept.river != version_of("river"):
            self._drop(
                "river_version",
                f"change detectors of version {kept.version} begin anew: they were stored by river "
                f"{kept.river}, and this is {version_of('river')}",
            )
            return True
        watched = self._watched[kept.version] = _Watched(latency_kind=kept.latency_kind)
        for metric, column, memory in kept.streams:
            if metric not in self._specs:
                continue
            stream = ChangeStream(self._specs[metric], column)
            try:
                stream.recall(memory)
            except DamagedMemory as error:
                of = f" of {column}" if column else ""
                self._drop(
                    "parameters" if isinstance(error, OtherDetector) else "damaged",
                    f"{metric}{of} of version {kept.version} begins anew: {error}",
                )
            else:
                watched.streams[metric, column] = stream
        return True

    def _drop(self, reason: str, text: str) -> None:
        log.warning("%s", text)
        self._metrics.change_memory_dropped.labels(reason).inc()

    def take(self, batch: PredictionBatch, reference: Reference | None, now: float) -> None:
        """Look at the live rows of a batch of one version.

        Parameters
        ----------
        reference
            The version's, for the scale of its columns.
        now
            Seconds since the epoch, to tell event times that cannot be.
        """
        if not self._specs or not batch.rows:
            return
        ahead = batch.ts > now + self._ahead_max_s
        if ahead.any():
            batch = replace(batch, ts=np.where(ahead, now, batch.ts))
        watched = self._of(batch.version)
        answered = batch.answered()
        for spec in self._specs.values():
            if spec.subject == "latency":
                self._take_latency(watched, spec, batch)
            elif spec.subject == "errors":
                asked = batch.status > 0
                failed = (batch.status[asked] >= ERROR_STATUS_MIN).astype(np.float64)
                self._look(batch.version, watched, spec, (None, failed, batch.ts[asked]))
            elif spec.subject in COLUMN_SUBJECTS and answered.rows:
                for name, values, ts in _columns(answered, spec):
                    profile = reference.columns.get(name) if reference is not None else None
                    self._look(batch.version, watched, spec, (name, values, ts), profile)

    def take_pairs(
        self,
        pairs: Iterable[tuple[str, Pair, float]],
        task: Task | None,
        remembered: Collection[str],
    ) -> None:
        """Look at the losses of pairs in the order in which they were made.

        Parameters
        ----------
        pairs
            Version, pair, and when the label became known.
        task
            What the model predicts; None while that is not known.
        remembered
            Versions; pairs of others are passed over.
        """
        specs = [spec for spec in self._specs.values() if spec.subject == "loss"]
        if not specs:
            return
        by_version: dict[str, list[tuple[float, float]]] = {}
        for version, pair, known in pairs:
            loss = _loss(pair, task)
            if version in remembered:
                by_version.setdefault(version, []).append((loss, known))
        for version, rows in by_version.items():
            losses, ts = np.array(rows).T
            told = ~np.isnan(losses)
            for spec in specs:
                self._skip(spec, "task", int(np.count_nonzero(~told)))
                self._look(version, self._of(version), spec, (None, losses[told], ts[told]))

    def of_window(self, window: ClosedWindow) -> list[Measurement]:
        """Measure a closed window of traffic: how many changes of which stream it holds."""
        return self._measured(window, labelled=False)

    def of_labels(self, window: ClosedPerformance) -> list[Measurement]:
        """Measure a closed window of labelled predictions: how many changes of their losses."""
        return self._measured(window, labelled=True)

    def _measured(
        self, window: ClosedWindow | ClosedPerformance, *, labelled: bool
    ) -> list[Measurement]:
        watched = self._watched.get(window.version)
        if watched is None or not watched.streams:
            return []
        watched.changed = True
        return [
            stream.measurement(window.begins, window.ends, closed_end=self._by_events)
            for (metric, _), stream in watched.streams.items()
            if (metric in LOSS_METRICS) == labelled
        ]

    def changed(self, forgotten: Collection[str]) -> Mapping[str, bytes | None]:
        """Return what is to be stored since the last call, by name; None is to be deleted."""
        for version in forgotten:
            if self._watched.pop(version, None) is not None:
                self._gone.add(version)
        changed: dict[str, bytes | None] = {CHANGES + version: None for version in self._gone}
        for version, watched in self._watched.items():
            if watched.changed:
                changed[CHANGES + version] = _encoded(version, watched)
                watched.changed = False
        self._gone.clear()
        return changed

    def _take_latency(self, watched: _Watched, spec: ChangeSpec, batch: PredictionBatch) -> None:
        told = ~np.isnan(batch.latency_ms)
        if not told.any():
            return
        # What the model, the server and the caller measure are three things: a log that begins to
        # tell of another one has not become slower.
        watched.latency_kind = watched.latency_kind or batch.latency_kind
        if batch.latency_kind != watched.latency_kind:
            self._skip(spec, "latency_kind", int(np.count_nonzero(told)))
            return
        self._look(batch.version, watched, spec, (None, batch.latency_ms[told], batch.ts[told]))

    def _look(
        self,
        version: str,
        watched: _Watched,
        spec: ChangeSpec,
        rows: tuple[str | None, Floats, Floats],
        profile: Profile | None = None,
    ) -> None:
        column, values, ts = rows
        stream = watched.streams.get((spec.metric, column))
        if stream is None:
            if len(watched.streams) >= STREAMS_MAX:
                self._skip(spec, "streams", len(values))
                return
            scale = None
            if isinstance(profile, NumberProfile) and spec.subject == "values":
                scale = Scale.of_profile(profile)
            stream = watched.streams[spec.metric, column] = ChangeStream(spec, column, scale)
        usable = np.isfinite(values)
        self._skip(spec, "not_finite", len(values) - int(np.count_nonzero(usable)))
        if spec.of_binary:
            usable &= np.isin(values, (0.0, 1.0))
            self._skip(spec, "not_binary", int(np.count_nonzero(np.isfinite(values) & ~usable)))
        if not usable.all():
            values, ts = values[usable], ts[usable]
        taken = stream.take(values, ts)
        watched.changed = True
        self._skip(spec, "limit", taken.limited)
        if taken.changes:
            self._tell(version, spec, column, taken.changes)

    def _tell(
        self, version: str, spec: ChangeSpec, column: str | None, changes: Sequence[Change]
    ) -> None:
        shown, counter = self._metrics.version(version), self._metrics.changes
        label = self._metrics.column(column) if column is not None else ""
        for change in changes:
            direction = "up" if change.upward else "down"
            counter.labels(self._model, shown, label, spec.metric, direction).inc()
        last = changes[-1]
        log.info(
            "%s found %d change(s) of %s of version %s; the last one %s, from %s to %s, at %.3f",
            *(spec.kind, len(changes), column or spec.subject, version),
            *("up" if last.upward else "down", _shown(last.before), _shown(last.after), last.at),
        )

    def _skip(self, spec: ChangeSpec, reason: str, values: int) -> None:
        if values:
            self._metrics.change_values_skipped.labels(spec.metric, reason).inc(values)

    def _of(self, version: str) -> _Watched:
        watched = self._watched.pop(version, None) or _Watched()
        self._watched[version] = watched
        self._gone.discard(version)
        while len(self._watched) > self._versions_max:
            name = next(iter(self._watched))
            del self._watched[name]
            self._gone.add(name)
            self.evicted += 1
        return watched


def _specs(rules: Sequence[RuleSpec]) -> dict[str, ChangeSpec]:
    """Return what rules watch for, by metric: of one they differ in their columns only."""
    specs: dict[str, ChangeSpec] = {}
    for spec in (rule.change for rule in rules if rule.change is not None):
        known = specs.get(spec.metric, spec)
        columns = tuple(dict.fromkeys((*known.columns, *spec.columns)))
        specs[spec.metric] = replace(known, columns=columns)
    return specs


def _columns(batch: PredictionBatch, spec: ChangeSpec) -> Iterator[tuple[str, Floats, Floats]]:
    """Columns that a detector watches, with their values and event times."""
    for name, column in batch.columns.items():
        if not spec.watches(name):
            continue
        if spec.subject == "missing":
            yield name, _missing(column), batch.ts
        elif isinstance(column, NumberColumn):
            there = ~np.isnan(column.values)
            yield name, column.values[there], batch.ts[there]


def _missing(column: Column) -> Floats:
    if isinstance(column, CategoryColumn):
        return np.array([value is None for value in column.values], np.float64)
    if isinstance(column, VectorColumn):
        return np.asarray(~column.there(), np.float64)
    return np.isnan(column.values).astype(np.float64)


def _loss(pair: Pair, task: Task | None) -> float:
    """Loss of a prediction: 0 or 1 of a class, else the absolute error; NaN if it has none."""
    texts = isinstance(pair.prediction, str), isinstance(pair.label, str)
    if task == "classes" or (task is None and all(texts)):
        return float(pair.prediction != pair.label)
    if task is None or any(texts):
        return math.nan
    return abs(float(pair.prediction) - float(pair.label))


def _encoded(version: str, watched: _Watched) -> bytes:
    streams = [(*key, stream.encode()) for key, stream in watched.streams.items()]
    river = version_of("river")
    return msgspec.msgpack.encode(_Stored(version, river, watched.latency_kind, streams))


def _shown(level: float | None) -> str:
    return "?" if level is None else f"{level:g}"
