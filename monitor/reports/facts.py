"""What a report is made of, and how it is gathered from windows, whoever has them.

Windows come one by one and are not kept: of every column and metric of a version a bounded series
stays (:mod:`monitor.reports.series`), and which windows are worth a picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from detectors.columns.side_by_side import SideBySide
from monitor.reports.series import POINTS_MAX, Series, point_of

#: What a report is full of where it is bad when it falls.
FALLING: Final = frozenset(
    {
        *("accuracy", "precision", "recall", "f1", "roc_auc", "r2", "throughput", "events"),
        *("estimated_accuracy", "estimated_precision", "estimated_recall", "estimated_f1"),
        "estimated_roc_auc",
    }
)
#: Metrics that say how far a column is from its reference come first where they were measured.
MISSING, INVALID, NEW = "missing_ratio", "invalid_ratio", "new_category_ratio"
#: Shadows' metrics have a version in the place of a column.
SHADOW: Final = "shadow_"
#: Points that all series of a column have together, whatever the versions.
POINTS_OF_COLUMN: Final = POINTS_MAX // 3


@dataclass(frozen=True, slots=True)
class Picture:
    """A column of one window beside its reference.

    Parameters
    ----------
    begins, ends
        Of the window, seconds since the epoch.
    """

    begins: float
    ends: float
    column: SideBySide


@dataclass(slots=True)
class VersionFacts:
    """What was seen of one version.

    Parameters
    ----------
    windows, pairs
        Closed windows of its traffic, and of predictions with their labels.
    begins, ends
        Of these together, seconds since the epoch.
    series
        By column (empty for the whole window) and metric.
    last, worst, newest
        Pictures by column: of the last window, of the one that drifted most, and of the one with
        the most values that the reference does not know; those that differ from the ones before.
    """

    version: str
    windows: int = 0
    pairs: int = 0
    begins: float = math.inf
    ends: float = -math.inf
    series: dict[tuple[str, str], Series] = field(default_factory=dict)
    last: dict[str, Picture] = field(default_factory=dict)
    worst: dict[str, Picture] = field(default_factory=dict)
    newest: dict[str, Picture] = field(default_factory=dict)

    def columns(self) -> set[str]:
        """Columns of which something was measured."""
        return {
            column for column, metric in self.series if column and not metric.startswith(SHADOW)
        }

    def of(self, column: str) -> Mapping[str, Series]:
        """Series of a column by metric, the metrics in the order of their names."""
        return {
            metric: one
            for (name, metric), one in sorted(self.series.items())
            if name == column and not (column and metric.startswith(SHADOW))
        }


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a report says.

    Parameters
    ----------
    model
        Name of the model.
    source
        Where it comes from, in words: ``the store sqlite:///kedge.db``.
    made
        When, seconds since the epoch.
    versions
        In the order of their first windows.
    incidents
        Of rules, oldest first, as rows of the store.
    rollbacks
        Journal records, oldest first.
    replayed
        Whether these are old logs: then nothing could be done about them.
    notes
        What else a reader has to know, a sentence each.
    """

    model: str
    source: str
    made: float
    versions: Sequence[VersionFacts]
    incidents: Sequence[Mapping[str, Any]]
    rollbacks: Sequence[Mapping[str, Any]] = ()
    replayed: bool = False
    notes: Sequence[str] = ()

    @property
    def windows(self) -> int:
        """Closed windows of traffic."""
        return sum(one.windows for one in self.versions)


#: Gives the pictured columns of windows, by some of their keys.
Pictures = Callable[[Collection[Hashable]], Mapping[Hashable, Mapping[str, SideBySide]]]


class Gathering:
    """Takes windows in, and gives the facts about their versions."""

    def __init__(self) -> None:
        self._versions: dict[str, VersionFacts] = {}
        # By version and column, the key and ends of a window: see `VersionFacts`.
        self._last: dict[str, tuple[Hashable, float, float]] = {}
        self._worst: dict[tuple[str, str], tuple[tuple[bool, float], Hashable]] = {}
        self._newest: dict[tuple[str, str], tuple[float, Hashable]] = {}
        self._frames: dict[Hashable, tuple[float, float]] = {}

    def window(self, row: Mapping[str, Any], key: Hashable) -> None:
        """Take a window of all of a version's traffic, or of its labels, as a row of the store.

        Parameters
        ----------
        key
            What its picture is asked for by; None of a window that has none.
        """
        version = row["version"]
        facts = self._versions.setdefault(version, VersionFacts(version))
        facts.begins, facts.ends = min(facts.begins, row["begins"]), max(facts.ends, row["ends"])
        if row.get("kind", "traffic") == "traffic":
            facts.windows += 1
        elif row["kind"] == "labels":
            facts.pairs += 1
        if key is not None and row["ends"] >= self._last.get(version, (None, -math.inf, 0))[1]:
            self._last[version] = key, row["ends"], row["begins"]

    def measured(self, row: Mapping[str, Any], key: Hashable) -> None:
        """Take a measurement of such a window, as a row of the store with its window's frame."""
        version, column, metric = row["version"], row["column"] or "", row["metric"]
        facts = self._versions[version]
        series = facts.series.get((column, metric))
        if series is None:
            series = facts.series[column, metric] = Series(falling=metric in FALLING)
        point = point_of(row)
        series.add(point)
        if key is None or not column or point.value is None:
            return
        place = version, column
        if metric == NEW and point.value > self._newest.get(place, (0.0, None))[0]:
            self._newest[place] = point.value, key
            self._frames[key] = point.begins, point.ends
        if point.verdict == "breach":
            over = point.value / point.threshold if point.threshold else point.value
            rank = (metric not in {MISSING, INVALID, NEW}, over)
            if place not in self._worst or rank > self._worst[place][0]:
                self._worst[place] = rank, key
                self._frames[key] = point.begins, point.ends

    def versions(self, pictures: Pictures) -> list[VersionFacts]:
        """Return what was gathered, with the pictures that a report shows."""
        wanted = {key for key, _, _ in self._last.values()}
        wanted |= {key for _, key in self._worst.values()}
        wanted |= {key for _, key in self._newest.values()}
        found = pictures(wanted)
        for version, (key, ends, begins) in self._last.items():
            facts = self._versions[version]
            for column, one in found.get(key, {}).items():
                facts.last[column] = Picture(begins, ends, one)
        for chosen, kept in ((self._worst, "worst"), (self._newest, "newest")):
            for (version, column), (_, key) in chosen.items():
                shown = found.get(key, {})
                if column in shown:
                    picture = Picture(*self._frames[key], shown[column])
                    getattr(self._versions[version], kept)[column] = picture
        return sorted(self._versions.values(), key=lambda one: (one.begins, one.version))
