"""From settings to the parts of a running daemon: the one place where everything meets."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from collectors.kinds import FORMATS, METERS, options_of
from collectors.labels import JoinsLabels
from collectors.quarantine import Quarantine
from collectors.registry.client import MlflowRegistry
from collectors.segments import ReadsSegments
from collectors.source import Source
from collectors.spool.source import SpoolSettings, SpoolSource
from collectors.taps.settings import CloudEventsSettings, MirrorSettings, ProxySettings
from detectors.performance.performance import Reading
from detectors.rules.rule import RuleSpec
from detectors.windows.labelled import PerformanceWindows
from detectors.windows.window import Windows, WindowSpec
from monitor.counting.engine import Engine
from monitor.counting.keeping import Keeper, Rejected
from monitor.counting.streams import Stream
from monitor.deciding.alerts import Alerts
from monitor.deciding.deciding import Deciding
from monitor.deciding.leadership import Office
from monitor.deciding.parts import comparisons_of, deciding_of, registry_of
from monitor.judging.changes import ChangeWatch
from monitor.judging.circumstances import no_shadow
from monitor.judging.judging import Judge
from monitor.labels.labels import LabelJoin
from monitor.labels.settling import JoinSpec
from monitor.metrics.catalogue import Metrics
from monitor.notifications.queues import Notifier
from monitor.page.view import DaemonView
from monitor.references.fetching import ReferenceFetching
from monitor.references.kinds import fetching_of, references_of
from monitor.references.references import References
from monitor.resources.model_age import ModelAge
from monitor.resources.sampling import Sampling, Target
from monitor.settings.changes import change_spec, measured_metric
from monitor.settings.drift_budget import drift_spec
from monitor.settings.rules import DRIFT
from monitor.settings.segments import looked_at, segment_of, segments_max_of
from monitor.settings.settings import EventSpan, RuleSettings, Settings, SourceSettings, TimeSpan
from monitor.shadow.judging import other_rules
from monitor.store.queries import Queries
from monitor.store.remembering import remembered
from monitor.store.store import Store, sqlite_path
from monitor.store.writer import Writer
from monitor.traffic.segments import segments_of
from monitor.version import VERSION
from monitor.web.web import Web

if TYPE_CHECKING:
    from monitor.shadow.composition import ShadowParts
    from monitor.shadow.target_comparison import TargetComparisons


@dataclass(frozen=True, slots=True)
class Past:
    """What takes the place of the daemon's parts where old logs are replayed.

    Parameters
    ----------
    stream
        What is read, instead of the configured sources.
    judge, windows
        Make the judge, and the windows.
    rejected
        Takes the lines that could not be used.
    monotonic
        Clock of intervals, seconds.
    """

    stream: Stream
    judge: Callable[..., Judge]
    windows: Callable[..., Windows]
    rejected: Rejected
    monotonic: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Parts:
    """What a running daemon is made of."""

    writer: Writer
    store: Store
    queries: Queries
    engine: Engine
    deciding: Deciding
    sampling: Sampling
    fetching: ReferenceFetching | None
    alerts: Alerts
    notifier: Notifier
    web: Web
    metrics: Metrics
    registry: MlflowRegistry | None
    changes_allowed: bool
    shadow: ShadowParts | None = None
    office: Office | None = None
    comparisons: TargetComparisons | None = None

    async def close(self) -> None:
        """Let everything go, the store last."""
        if self.comparisons is not None:
            await self.comparisons.close()
        self.web.close()
        if self.registry is not None:
            await self.registry.close()
        self.writer.close()
        self.queries.close()
        self.store.close()


async def compose(
    settings: Settings, office: Office | None = None, store: Store | None = None
) -> Parts:
    """Open the store, restore what it holds, and put the parts together.

    Parameters
    ----------
    office, store
        The place among several, and the store that was opened with it.

    Raises
    ------
    monitor.store.store.StoreError
        The store cannot be used.
    """
    writer = Writer() if office is None else office.writer
    if store is None:
        config = "FILE" if settings.path is None else str(settings.path)
        store = await writer.run(lambda: Store.open(settings.store.url, config=config))
    snapshot = await writer.run(store.load)
    queries = Queries(settings.store.url)
    limits = settings.limits
    metrics = Metrics(columns_max=limits.columns_max, versions_max=limits.versions_max)
    metrics.build.labels(VERSION).set(1)
    metrics.lease.follow(settings.model.name, office)
    registry = registry_of(settings, None if office is None else office.permit)
    sampling = _sampling(settings, metrics, registry)
    references = references_of(settings)
    shadow = _shadow(settings)
    comparisons = comparisons_of(settings, shadow, metrics)
    engine = engine_of(
        *(settings, store, metrics, sampling),
        references=references,
        shadow=shadow,
        comparisons=comparisons,
    )
    await writer.run(lambda: engine.restore(snapshot))
    notifier = Notifier(settings.notify, metrics)
    deciding = deciding_of(
        settings,
        store,
        writer,
        metrics=metrics,
        registry=registry,
        references=references,
        memory=remembered(snapshot.states),
        notifier=notifier,
        permit=None if office is None else office.permit,
        comparisons=comparisons,
    )
    view = DaemonView(settings, engine, deciding)
    alerts = Alerts(settings.model.name, settings.alerts, metrics, deciding.alerted)
    web = Web(
        model=settings.model.name,
        view=view,
        queries=queries,
        metrics=metrics,
        token=(lambda: None) if settings.http.token is None else settings.http.token.reveal,
        max_body_bytes=settings.http.max_body_bytes,
        alerts=alerts,
        sources=[s.source for s in engine.streams if isinstance(s.source, SpoolSource)],
        ingest_apart=settings.http.ingest_address is not None,
    )
    return Parts(
        writer,
        store,
        queries,
        engine,
        deciding,
        sampling,
        fetching_of(settings, references, registry, metrics),
        alerts,
        notifier,
        web,
        metrics,
        registry,
        changes_allowed=settings.http.token is not None,
        shadow=shadow,
        office=office,
        comparisons=comparisons,
    )


def _shadow(settings: Settings) -> ShadowParts | None:
    if not settings.shadow.scores:
        return None
    from monitor.shadow.composition import shadow_of  # noqa: PLC0415 - the scoring server's modules

    return shadow_of(settings, window_spec(settings), rule_specs(settings))


def rule_specs(settings: Settings) -> tuple[RuleSpec, ...]:
    """Return the configured rules as the detectors take them."""
    return tuple(_rule_spec(rule, settings) for rule in settings.rules)


def _rule_spec(rule: RuleSettings, settings: Settings) -> RuleSpec:
    drift = None
    if rule.metric == DRIFT:
        populations = looked_at(rule, settings.segments, settings.limits.segments_max)
        drift = drift_spec(rule, settings.windows, populations=populations)
    return RuleSpec(
        name=rule.name,
        metric=measured_metric(rule),
        columns=rule.columns,
        above=rule.above if drift is None else drift.tolerance,
        below=rule.below,
        clear=rule.clear,
        needed=rule.quorum.needed,
        of=rule.quorum.of,
        on_missing=rule.on_missing,
        min_events=settings.windows.min_events if rule.min_events is None else rule.min_events,
        action=rule.action,
        change=change_spec(rule),
        drift=drift,
        segment=segment_of(rule),
    )


def window_spec(settings: Settings) -> WindowSpec:
    """Return how windows are cut."""
    windows = settings.windows
    slide = windows.length if windows.slide is None else windows.slide
    match windows.length, slide:
        case TimeSpan(length), TimeSpan(step):
            return WindowSpec(
                "time",
                length,
                step,
                lateness_s=windows.lateness_s,
                ahead_max_s=windows.ahead_max_s,
            )
        case EventSpan(length), EventSpan(step):
            return WindowSpec("events", length, step, ahead_max_s=windows.ahead_max_s)
    raise ValueError("the settings let a window of events slide by time")


def _sampling(settings: Settings, metrics: Metrics, registry: MlflowRegistry | None) -> Sampling:
    model = settings.model
    return Sampling(
        [
            Target(source.name, source.settings.interval_s, source.settings.build(source.name))
            for source in settings.collect
            if source.type in METERS
        ],
        metrics,
        confidence=settings.detectors.confidence,
        age=None if registry is None else ModelAge(model.name, model.alias, registry, metrics),
    )


def engine_of(
    settings: Settings,
    store: Keeper,
    metrics: Metrics,
    sampling: Sampling | None = None,
    *,
    references: References | None = None,
    past: Past | None = None,
    shadow: ShadowParts | None = None,
    comparisons: TargetComparisons | None = None,
) -> Engine:
    """Return the counting, of the configured sources or of the past."""
    references = references_of(settings) if references is None else references
    limits = settings.limits
    monotonic = time.monotonic if past is None else past.monotonic
    streams = [past.stream] if past is not None else _streams(settings, references)
    labels = _labels(settings, monotonic)
    segments = shadow.watch.segments if shadow is not None else segments_of(settings)
    for stream in streams:
        # Requests that are asked for come with the labels that stand in their events.
        asked = comparisons is not None and settings.shadow.recent is not None
        joins = labels is not None or shadow is not None or asked
        if joins and isinstance(stream.format, JoinsLabels):
            stream.format.join_labels()
        if segments.event_keys and isinstance(stream.format, ReadsSegments):
            stream.format.read_segments(segments.event_keys)
    spec = window_spec(settings)
    judge, windows = (Judge, Windows) if past is None else (past.judge, past.windows)
    quarantine = Quarantine(_quarantine_path(settings), limits.quarantine_bytes)
    return Engine(
        model=settings.model.name,
        streams=streams,
        windows=windows(
            spec,
            settings.model.name,
            joint=settings.detectors.joint,
            versions_max=limits.versions_max,
            segments_max=segments_max_of(settings.segments, limits.segments_max),
        ),
        references=references,
        segments=segments,
        judge=judge(
            rules=other_rules(rule_specs(settings)),
            confidence=settings.detectors.confidence,
            psi_bins=settings.detectors.psi_bins,
            metrics=settings.detectors.metrics,
            shadow=no_shadow if comparisons is None else comparisons.judged,
        ),
        store=store,
        metrics=metrics,
        quarantine=quarantine if past is None else past.rejected,
        commit_interval_s=settings.store.commit_interval_s,
        idle_s=settings.windows.idle_s,
        sampler=sampling,
        labels=labels,
        shadow=None if shadow is None else shadow.watch,
        requests=None if comparisons is None else comparisons.recent,
        changes=ChangeWatch(
            rule_specs(settings),
            metrics,
            model=settings.model.name,
            versions_max=limits.versions_max,
            ahead_max_s=settings.windows.ahead_max_s,
            by_events=spec.kind == "events",
        ),
        monotonic=monotonic,
    )


def _streams(settings: Settings, references: References) -> list[Stream]:
    schema = references.schema()
    return [
        Stream(
            source.name,
            _source(source, settings),
            FORMATS[source.settings.format](
                settings.model.name,
                schema,
                columns_max=settings.limits.columns_max,
                options=options_of(source.settings),
            ),
        )
        for source in settings.collect
        if source.type not in METERS
    ]


def _labels(settings: Settings, monotonic: Callable[[], float]) -> LabelJoin | None:
    labels, windows = settings.labels, settings.windows
    if not labels.join:
        return None
    spec = JoinSpec(
        ttl_s=labels.ttl_s,
        pending_max=labels.pending_max,
        task=None if labels.task == "auto" else labels.task,
        min_pairs=windows.min_events,
        confidence=settings.detectors.confidence,
        ahead_max_s=windows.ahead_max_s,
        idle_s=windows.idle_s,
    )
    return LabelJoin(
        spec,
        PerformanceWindows(
            window_spec(settings),
            settings.model.name,
            Reading(labels.positive, labels.threshold),
            versions_max=settings.limits.versions_max,
        ),
        monotonic=monotonic,
    )


def _source(source: SourceSettings, settings: Settings) -> Source:
    own = source.settings
    spooled = SpoolSettings | ProxySettings | MirrorSettings | CloudEventsSettings
    if isinstance(own, spooled) and not own.path:
        beside = sqlite_path(settings.store.url) or settings.path
        folder = beside.parent if beside else Path()
        own = replace(own, path=str(folder / "spool" / source.name))
    built: Source = own.build(source.name)
    return built


def _quarantine_path(settings: Settings) -> Path:
    if settings.limits.quarantine_path:
        return Path(settings.limits.quarantine_path)
    beside = sqlite_path(settings.store.url)
    return (beside.parent if beside else Path()) / "quarantine.jsonl"
