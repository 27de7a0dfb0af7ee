"""What must hold between the tables of a configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from monitor.settings.faults import Fault, alternatives, nearest
from monitor.settings.kinds import (
    SourceSettings,
    change_metrics,
    column_metrics,
    format_trouble,
    formats,
    label_metrics,
    meters,
    metric_trouble,
    shadow_metrics,
)
from monitor.settings.loader import UNUSABLE
from monitor.settings.quantities import TimeSpan

if TYPE_CHECKING:
    from monitor.settings.rules import RuleSettings
    from monitor.settings.tables import WindowSettings

#: The label that stands for all sources together.
ALL_SOURCES = "all"
_HOUR_S = 3600


def cross_faults(given: Mapping[str, Any]) -> Iterator[Fault]:
    """Find what is wrong between tables.

    Parameters
    ----------
    given
        Tables by attribute name; those that are wrong in themselves are passed over.
    """
    if not given.get("collect", ()):
        yield Fault("collect", "is required: at least one [[collect]] table")
    yield from _source_faults(_usable(given, "collect"))
    yield from _rule_faults(_usable(given, "rules"))
    yield from _detector_faults(given.get("detectors"))
    yield from _drift_faults(_usable(given, "rules"), given.get("windows"))
    yield from _segment_faults(_usable(given, "rules"), given.get("segments"))
    yield from _change_faults(_usable(given, "rules"), given.get("labels"))
    yield from _label_faults(_usable(given, "rules"), given.get("labels"))
    yield from _reference_faults(given.get("reference", UNUSABLE), given["model"])
    yield from _season_faults(given.get("reference"), given.get("windows"))
    yield from _shadow_faults(_usable(given, "rules"), given.get("shadow"), given["model"])
    rollback, model = given.get("rollback", UNUSABLE), given["model"]
    if UNUSABLE in (rollback, model):
        return
    if rollback.mode == "act" and not model.tracking_uri:
        yield Fault("model.tracking_uri", 'is required for [rollback] mode = "act"')


def _reference_faults(reference: Any, model: Any) -> Iterator[Fault]:  # noqa: ANN401 - may be unusable
    if UNUSABLE in (reference, model) or reference is None:
        return
    if reference.origin == "registry" and not model.tracking_uri:
        yield Fault("model.tracking_uri", 'is required for [reference] from = "registry"')


def _season_faults(reference: Any, windows: Any) -> Iterator[Fault]:  # noqa: ANN401 - may be unusable
    if UNUSABLE in (reference, windows) or reference is None or windows is None:
        return
    length = windows.length
    if reference.season and isinstance(length, TimeSpan) and length.seconds > _HOUR_S:
        yield Fault("windows.length", f'"{length}" is longer than the hours of reference.season')


def _change_faults(rules: Mapping[int, RuleSettings], labels: Any) -> Iterator[Fault]:  # noqa: ANN401 - may be unusable
    from monitor.settings.changes import change_faults  # noqa: PLC0415 - it brings in numpy

    joined = labels is UNUSABLE or (labels is not None and labels.join)
    yield from change_faults(rules, labels_join=joined)


def _label_faults(rules: Mapping[int, RuleSettings], labels: Any) -> Iterator[Fault]:  # noqa: ANN401 - may be unusable
    if labels is UNUSABLE or (labels is not None and labels.join):
        return
    of_labels = label_metrics()
    for i, rule in rules.items():
        if rule.metric in of_labels:
            yield Fault(f"rules[{i}].metric", f'"{rule.metric}" needs [labels] join = true')


def _shadow_faults(
    rules: Mapping[int, RuleSettings],
    shadow: Any,  # noqa: ANN401 - may be unusable
    model: Any,  # noqa: ANN401 - may be unusable
) -> Iterator[Fault]:
    if UNUSABLE in (shadow, model):
        return
    if shadow is not None and (shadow.scores or shadow.recent) and not model.tracking_uri:
        yield Fault("model.tracking_uri", "is required for [shadow]: versions are loaded from it")
    of_shadows = shadow_metrics()
    for i, rule in rules.items():
        if rule.metric not in of_shadows:
            continue
        if shadow is None or not shadow.scores:
            yield Fault(f"rules[{i}].metric", f'"{rule.metric}" needs [shadow] version or alias')
        if rule.action != "alert":
            yield Fault(f"rules[{i}].action", 'expected "alert": a shadow does not serve')


def _drift_faults(
    rules: Mapping[int, RuleSettings],
    windows: WindowSettings | Any | None,  # noqa: ANN401 - may be unusable
) -> Iterator[Fault]:
    from monitor.settings.drift_budget import drift_spec  # noqa: PLC0415 - it imports the tables
    from monitor.settings.rules import DRIFT  # noqa: PLC0415 - as above
    from monitor.settings.tables import WindowSettings  # noqa: PLC0415 - as above

    if windows is UNUSABLE:
        return
    for i, rule in rules.items():
        if rule.metric == DRIFT:
            try:
                drift_spec(rule, WindowSettings() if windows is None else windows)
            except ValueError as error:
                yield Fault(f"rules[{i}].false_alarms", str(error))


def _segment_faults(rules: Mapping[int, RuleSettings], segments: Any) -> Iterator[Fault]:  # noqa: ANN401 - may be unusable
    from monitor.settings.segments import segment_faults  # noqa: PLC0415 - it imports the tables

    yield from segment_faults(rules, segments)


def _usable(given: Mapping[str, Any], name: str) -> dict[int, Any]:
    tables = given.get(name, ())
    if tables is UNUSABLE:
        return {}
    return {i: table for i, table in enumerate(tables) if table is not UNUSABLE}


def _source_faults(sources: Mapping[int, SourceSettings]) -> Iterator[Fault]:
    names: set[str] = set()
    for i, source in sources.items():
        if source.name == ALL_SOURCES:
            yield Fault(f"collect[{i}].name", f'"{ALL_SOURCES}" stands for all sources together')
        if source.name and source.name in names:
            yield Fault(f"collect[{i}].name", f'another source is called "{source.name}" already')
        names.add(source.name)
        if source.type in meters():
            continue
        known = formats()
        if source.settings.format not in known:
            wrong = source.settings.format
            hint = nearest(wrong, known) or f": expected {alternatives(known)}"
            yield Fault(f"collect[{i}].format", f'unknown format "{wrong}"{hint}')
        elif (trouble := format_trouble(source.settings.format)) is not None:
            yield Fault(f"collect[{i}].format", trouble)


def _detector_faults(detectors: Any) -> Iterator[Fault]:  # noqa: ANN401 - may be unusable
    if detectors is None or detectors is UNUSABLE:
        return
    for i, metric in enumerate(detectors.metrics):
        if (trouble := metric_trouble(metric)) is not None:
            yield Fault(f"detectors.metrics[{i}]", trouble)


def _rule_faults(rules: Mapping[int, RuleSettings]) -> Iterator[Fault]:
    of_columns = column_metrics()
    names: set[str] = set()
    for i, rule in rules.items():
        if rule.name in names:
            yield Fault(f"rules[{i}].name", f'another rule is called "{rule.name}" already')
        names.add(rule.name)
        if (trouble := metric_trouble(rule.metric)) is not None:
            yield Fault(f"rules[{i}].metric", trouble)
        if rule.metric in change_metrics():
            continue
        if rule.metric in of_columns and not rule.columns:
            yield Fault(f"rules[{i}].column", f'is required: "{rule.metric}" is of a column')
        if rule.metric not in of_columns and rule.columns:
            key = "column" if rule.column else "columns"
            yield Fault(f"rules[{i}].{key}", f'"{rule.metric}" is of the window, not of a column')
