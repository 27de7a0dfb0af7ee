"""The arrays of tables whose elements name their kind: sources, and steps of a rollback.

The kinds stand in tables of their packages; they are imported when a configuration is read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from monitor.settings.keys import Kinds


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """One ``[[collect]]`` table.

    Parameters
    ----------
    type
        Which kind of source it is.
    name
        What labels, totals and stored positions call it; empty until numbered.
    settings
        The settings of that kind: an instance of its dataclass in `collectors.kinds.SOURCES`.
    """

    type: str
    name: str
    settings: Any


@dataclass(frozen=True, slots=True)
class StepSettings:
    """One ``[[rollback.steps]]`` table: its type, and an instance of that kind's dataclass."""

    type: str
    settings: Any


def source_kinds() -> Mapping[str, type]:
    """Return the kinds of sources and meters: type name to the dataclass of its settings."""
    from collectors.kinds import METERS, SOURCES  # noqa: PLC0415 - they may bring in heavy modules

    return {**SOURCES, **METERS}


def meters() -> Collection[str]:
    """Return the types of which come samples, and no lines in any format."""
    from collectors.kinds import METERS  # noqa: PLC0415 - they may bring in heavy modules

    return METERS


def step_kinds() -> Mapping[str, type]:
    """Return the kinds of steps: type name to the dataclass of its settings."""
    from rollback.kinds import STEP_KINDS  # noqa: PLC0415 - an actuator brings in aiohttp

    return STEP_KINDS


def label_metrics() -> Collection[str]:
    """Return the names of what can be measured of predictions and their labels."""
    from detectors.performance.performance import PERFORMANCE_METRICS  # noqa: PLC0415 - it brings in numpy

    return PERFORMANCE_METRICS


def shadow_metrics() -> Collection[str]:
    """Return the names of what is measured of a shadow beside the live version."""
    from detectors.paired.comparison import SHADOW_METRICS  # noqa: PLC0415 - it brings in numpy

    return SHADOW_METRICS


def metrics() -> Collection[str]:
    """Return the names of what can be measured."""
    from detectors.kinds import METRICS  # noqa: PLC0415 - it brings in numpy
    from monitor.settings.installed_detectors import installed  # noqa: PLC0415 - as above

    return sorted({*METRICS, *change_metrics(), *installed()})


def change_metrics() -> Collection[str]:
    """Return the names of the detectors whose changes a rule may count."""
    from detectors.change.change_kinds import CHANGE_KINDS  # noqa: PLC0415 - it brings in numpy

    return CHANGE_KINDS


def column_metrics() -> Collection[str]:
    """Return the names of what is measured of a column; the rest is of the window."""
    from detectors.kinds import COLUMN_METRICS, DRIFT  # noqa: PLC0415 - it brings in numpy
    from monitor.settings.installed_detectors import installed  # noqa: PLC0415 - as above

    return {DRIFT, *COLUMN_METRICS, *installed()}


def comparing_metrics() -> Collection[str]:
    """Return the names of what compares a column with the reference, and cannot be told without."""
    from detectors.kinds import (  # noqa: PLC0415 - it brings in numpy
        ABSOLUTE_METRICS,
        COLUMN_METRICS,
    )
    from monitor.settings.installed_detectors import installed  # noqa: PLC0415 - as above

    return {*COLUMN_METRICS, *installed()} - ABSOLUTE_METRICS


def sampled_metrics() -> Collection[str]:
    """Return the names of what is sampled while a window lasts, and not counted in its events."""
    from detectors.kinds import SAMPLED_METRICS  # noqa: PLC0415 - it brings in numpy

    return SAMPLED_METRICS


def formats() -> Collection[str]:
    """Return the names of the log formats."""
    from collectors.kinds import FORMATS  # noqa: PLC0415 - a format may bring in heavy modules

    return FORMATS


def format_trouble(name: str) -> str | None:
    """Return why a format that is known cannot be used; None if it can."""
    from collectors.kinds import FORMATS, FormatLoadError  # noqa: PLC0415 - as above

    try:
        FORMATS[name]
    except FormatLoadError as error:
        return str(error)
    return None


def metric_trouble(name: str) -> str | None:
    """Return why a metric that is known cannot be measured; None if it can, from now on."""
    from monitor.settings.installed_detectors import (  # noqa: PLC0415 - it brings in numpy
        DetectorLoadError,
        adopt,
    )

    try:
        adopt(name)
    except DetectorLoadError as error:
        return str(error)
    return None


SOURCES = Kinds(
    "source",
    source_kinds,
    ("name",),
    lambda kind, settings, own: SourceSettings(kind, own.get("name", ""), settings),
)
STEPS = Kinds("step", step_kinds, (), lambda kind, settings, _: StepSettings(kind, settings))
