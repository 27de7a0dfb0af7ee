"""From settings to the parts of a shadow. Imported only where there is one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from detectors.paired.comparison import LABELLED_METRICS, SHADOW_METRICS
from detectors.rules.rule import RuleSpec
from detectors.windows.paired import PairedWindows
from detectors.windows.window_spec import WindowSpec
from monitor.settings.segments import segments_max_of
from monitor.settings.settings import Settings
from monitor.shadow.judging import ShadowJudging
from monitor.shadow.labelled import LabelledShadow
from monitor.shadow.queues import ShadowQueue
from monitor.shadow.recent import RecentRequests
from monitor.shadow.rescoring import Rescoring
from monitor.shadow.running import ShadowRunning
from monitor.shadow.target_comparison import TargetComparisons, no_configured
from monitor.shadow.watch import ShadowStanding, ShadowWatch
from monitor.traffic.segments import segments_of
from scoring.artifacts.tracking import Tracking
from scoring.settings import ServeSettings
from scoring.shadow.process import ShadowProcess

#: How often a shadow looks where its alias points.
POLL_S = 2.0
#: Nobody waits for a shadow's answers when it is to end.
DRAIN_S = 0.5


@dataclass(frozen=True, slots=True)
class ShadowParts:
    """What a shadow is made of.

    Parameters
    ----------
    watch
        For the counting.
    running
        Keeps the process.
    """

    watch: ShadowWatch
    running: ShadowRunning


def process_of(settings: Settings, uri: str, *, awaited: bool = False) -> ShadowProcess:
    """Return a process of a model of the configured registry, not started yet.

    Parameters
    ----------
    awaited
        As of :class:`scoring.shadow.process.ShadowProcess`.
    """
    model, shadow = settings.model, settings.shadow
    tracking = Tracking(
        model.tracking_uri,
        model.token.reveal() if model.token else None,
        model.username or None,
        model.password.reveal() if model.password else None,
    )
    return ShadowProcess(
        ServeSettings(
            uri,
            port=0,
            tracking_uri=model.tracking_uri or None,
            poll_s=POLL_S,
            drain_s=DRAIN_S,
            request_timeout_s=shadow.timeout_s,
            allowed_sources=shadow.allow_sources,
        ),
        tracking.environment() if model.tracking_uri else {},
        start_timeout_s=shadow.start_timeout_s,
        awaited=awaited,
    )


def version_uri(settings: Settings, version: str) -> str:
    """Return where a version of the model is."""
    return f"models:/{settings.model.name}/{version}"


def shadow_of(settings: Settings, spec: WindowSpec, rules: tuple[RuleSpec, ...]) -> ShadowParts:
    """Return the shadow that the settings ask for."""
    own, detectors = settings.shadow, settings.detectors
    standing, queue = ShadowStanding(version=own.version), ShadowQueue(own.queue_max)
    labelled, metrics = None, SHADOW_METRICS
    if settings.labels.join:
        metrics -= LABELLED_METRICS
        labelled = LabelledShadow(
            _windows(settings, spec),
            _judging(settings, rules, LABELLED_METRICS),
            confidence=detectors.confidence,
            psi_bins=detectors.psi_bins,
        )
    watch = ShadowWatch(
        _windows(settings, spec),
        queue,
        standing,
        _judging(settings, rules, metrics),
        sampling=own.sampling,
        queue_max=own.queue_max,
        confidence=detectors.confidence,
        psi_bins=detectors.psi_bins,
        segments=segments_of(settings),
        labelled=labelled,
    )
    name = settings.model.name
    uri = f"models:/{name}@{own.alias}" if own.alias else version_uri(settings, own.version)
    running = ShadowRunning(
        lambda: process_of(settings, uri),
        queue,
        standing,
        concurrency=own.concurrency,
        cpu=own.cpu,
        timeout_s=own.timeout_s,
    )
    return ShadowParts(watch, running)


def _windows(settings: Settings, spec: WindowSpec) -> PairedWindows:
    return PairedWindows(
        spec,
        settings.model.name,
        tolerance=settings.shadow.tolerance,
        segments_max=segments_max_of(settings.segments, settings.limits.segments_max),
    )


def _judging(
    settings: Settings, rules: Sequence[RuleSpec], metrics: Collection[str]
) -> ShadowJudging:
    detectors = settings.detectors
    return ShadowJudging(
        rules, confidence=detectors.confidence, psi_bins=detectors.psi_bins, metrics=metrics
    )


def target_comparisons(
    settings: Settings, shadow: ShadowParts | None, told: Callable[[str], None]
) -> TargetComparisons:
    """Return what compares a rollback's target with the version that serves.

    Parameters
    ----------
    told
        Told the verdict of each comparison.
    """
    recent = RecentRequests(settings.shadow.recent_max)
    return TargetComparisons(
        recent,
        rescoring_of(settings, recent),
        kept_s=settings.rollback.policy.evidence_age_max_s,
        configured=no_configured if shadow is None else shadow.watch.compared,
        told=told,
    )


def rescoring_of(
    settings: Settings, recent: RecentRequests, live: Callable[[], str | None] = lambda: None
) -> Rescoring:
    """Return what scores the last requests with a version of choice: for a rollback's gate."""
    return Rescoring(
        recent,
        lambda version: process_of(settings, version_uri(settings, version), awaited=True),
        live,
        confidence=settings.detectors.confidence,
        tolerance=settings.shadow.tolerance,
        timeout_s=settings.shadow.timeout_s,
    )
