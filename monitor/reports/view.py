"""A report as words, tables and pictures, ready for the page: from facts alone. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from monitor.incidents import told_cause
from monitor.reports.charts import Line, bars, over_time
from monitor.reports.facts import (
    INVALID,
    MISSING,
    NEW,
    POINTS_OF_COLUMN,
    SHADOW,
    Facts,
    Picture,
    VersionFacts,
)
from monitor.reports.series import Point, Series
from monitor.reports.standing import NAMES, ORDER, Standing, standing
from monitor.reports.words import headline, moment, rollback, summary

#: Columns with a section of their own, the gravest; all have a row in the table of columns.
SECTIONS_MAX: Final = 150
#: Versions whose pictures a column shows: those in which it drifted, and the latest.
PICTURED_MAX: Final = 2
#: Versions whose lines a picture has, the latest of those that the column drifted in first.
LINES_MAX: Final = 3
#: Metrics of whole windows that are drawn.
WHOLE_MAX: Final = 30


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture with its heading and its numbers: every picture has a table.

    Parameters
    ----------
    legend
        Class and name of what is drawn.
    svg
        The picture; empty where there is nothing to draw.
    head, rows
        The table.
    """

    title: str
    legend: Sequence[tuple[str, str]]
    svg: str
    note: str
    head: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure of a table: exact for programs, short for people."""

    value: float

    def __str__(self) -> str:
        return figure(self.value)


@dataclass(frozen=True, slots=True)
class Row:
    """A column in the table of columns, and in the list of those that drifted."""

    name: str
    anchor: str
    version: str
    state: str
    label: str
    mark: str
    about: str
    metric: str
    worst: Point | None
    since: str
    breaches: int
    windows: int


@dataclass(frozen=True, slots=True)
class Column:
    """The section of a column."""

    name: str
    anchor: str
    rows: Sequence[Row]
    figures: Sequence[Figure]
    head: Sequence[str]
    metrics: Sequence[Sequence[object]]
    new: Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything on the page."""

    facts: Facts
    grave: str
    headline: str
    sentences: Sequence[str]
    drifted: Sequence[Row]
    rows: Sequence[Row]
    columns: Sequence[Column]
    whole: Sequence[Figure]
    fired: Sequence[Mapping[str, Any]]
    rollbacks: Sequence[Mapping[str, Any]]
    versions: Sequence[Sequence[object]]
    notes: Sequence[str]


def report(facts: Facts) -> Report:
    """Make a report of facts."""
    latest = list(facts.versions)[::-1]
    by_column: dict[str, list[Standing]] = {}
    for one in latest:
        for name in one.columns():
            by_column.setdefault(name, []).append(standing(one, name))
    order = sorted(by_column, key=lambda name: (*min(map(_gravity, by_column[name])), name))
    anchors = {name: f"column-{index}" for index, name in enumerate(order[:SECTIONS_MAX], 1)}
    standings = [one for name in order for one in sorted(by_column[name], key=_gravity)]
    rows = [_row(one, anchors) for one in standings]
    grave, words = headline(facts, standings)
    versions = {one.version: one for one in facts.versions}
    return Report(
        facts=facts,
        grave=grave,
        headline=words,
        sentences=summary(facts, standings),
        drifted=[row for row in rows if row.state == "drifted"],
        rows=rows,
        columns=[
            _column(sorted(by_column[name], key=_gravity), versions, anchors[name])
            for name in order[:SECTIONS_MAX]
        ],
        whole=list(_whole(latest))[:WHOLE_MAX],
        fired=list(_fired(facts.incidents)),
        rollbacks=[_rollback(one) for one in facts.rollbacks],
        versions=[
            (one.version, f"{one.windows:,}", moment(one.begins), moment(one.ends))
            for one in facts.versions
        ],
        notes=[*facts.notes, *_left_out(order)],
    )


def _gravity(one: Standing) -> tuple[int, float]:
    return ORDER[one.state], -one.severity


def _left_out(order: Sequence[str]) -> Iterator[str]:
    if len(order) > SECTIONS_MAX:
        yield (
            f"Only the {SECTIONS_MAX} gravest of {len(order):,} columns have a section; "
            "the table of columns has all."
        )


def _row(one: Standing, anchors: Mapping[str, str]) -> Row:
    label, mark = NAMES[one.state]
    series = one.series.get(one.drawn)
    return Row(
        *(one.column, anchors.get(one.column, ""), one.version, one.state, label, mark, one.about),
        one.drawn,
        series.worst if series else None,
        moment(one.since) if one.since is not None else "",
        max((one.series[metric].breaches for metric in one.breached), default=0),
        series.windows if series else 0,
    )


def _column(
    standings: Sequence[Standing], versions: Mapping[str, VersionFacts], anchor: str
) -> Column:
    name = standings[0].column
    figures = [
        _beside(one, versions[one.version])
        for one in standings[:PICTURED_MAX]
        if name in versions[one.version].last or name in versions[one.version].worst
    ]
    drawn = standings[0].drawn
    if drawn:
        title = f"{drawn} over time"
        figures.append(
            _lines(
                title, {one.version: one.series.get(drawn) for one in standings}, POINTS_OF_COLUMN
            )
        )
    for metric, title in (
        (MISSING, "Missing values"),
        (NEW, "New values"),
        (INVALID, "Values of a wrong type"),
    ):
        series = {one.version: one.series.get(metric) for one in standings}
        if metric != drawn and any(_seen(one) for one in series.values()):
            figures.append(
                _lines(f"{title} over time", series, POINTS_OF_COLUMN // 2, percent=True)
            )
    new: dict[str, int] = {}
    for one in standings:
        of = versions[one.version]
        for kept in (of.newest, of.worst, of.last):
            for value, rows in (kept[name].current.new if name in kept else {}).items():
                new[value] = max(rows, new.get(value, 0))
    return Column(
        name,
        anchor,
        [_row(one, {name: anchor}) for one in standings],
        figures,
        ("metric", "version", "last", "low", "high", "worst", "threshold", "in breach"),
        [row for one in standings for row in _metrics(one)],
        sorted(new.items(), key=lambda pair: (-pair[1], pair[0])),
    )


def _seen(series: Series | None) -> bool:
    worst = series.worst if series else None
    return worst is not None and bool(worst.value)


def _metrics(one: Standing) -> Iterator[Sequence[object]]:
    for metric, series in one.series.items():
        last, worst = series.last, series.worst
        if last is None or worst is None:
            continue
        yield (
            *(metric, one.version, _cell(last.value), _cell(last.low), _cell(last.high)),
            *(_cell(worst.value), _cell(last.threshold)),
            f"{series.breaches:,} of {series.windows:,}",
        )


def _beside(one: Standing, facts: VersionFacts) -> Figure:
    """Set the reference beside the window in which the column drifted most, or the last one."""
    at_worst = one.column in facts.worst
    picture = facts.worst[one.column] if at_worst else facts.last[one.column]
    shown = "at its worst" if at_worst else "last"
    labels, before, now = _shares(picture)
    title = f"Version {one.version} beside its reference"
    said = f"{one.column}, {title}, shares of the rows in {len(labels)} bins; the table has them"
    filled = bool(labels) and any((*before, *now))
    categories = picture.reference.kind == "categories"
    return Figure(
        title,
        [("reference", "reference"), ("current", f"{shown}, window to {moment(picture.ends)}")],
        bars(labels, before, now, said, lying=categories) if filled else "",
        "" if filled else "No rows had a value.",
        ("values", "reference", "current"),
        [
            *(
                (label, f"{a:.2%}", f"{b:.2%}")
                for label, a, b in zip(labels, before, now, strict=True)
            ),
            ("missing or of a wrong type", *_without(picture)),
        ],
    )


def _shares(picture: Picture) -> tuple[list[str], list[float], list[float]]:
    """Return bins and shares of the rows with a value; bins that both lack at the ends go."""
    before, now = max(1, sum(picture.reference.rows)), max(1, sum(picture.current.rows))
    rows = zip(picture.reference.labels, picture.reference.rows, picture.current.rows, strict=True)
    every = list(rows)
    # The bin for "all others" is there whether or not anything falls in it.
    while every and not every[-1][1] and not every[-1][2]:
        every.pop()
    while every and not every[0][1] and not every[0][2]:
        every.pop(0)
    return (
        [label for label, _, _ in every],
        [rows / before for _, rows, _ in every],
        [rows / now for _, _, rows in every],
    )


def _without(picture: Picture) -> Iterator[str]:
    for side in (picture.reference, picture.current):
        lacking = side.missing + side.invalid
        yield f"{lacking / max(1, lacking + sum(side.rows)):.2%}"


def _lines(
    title: str,
    by_version: Mapping[str, Series | None],
    points_max: int,
    *,
    percent: bool = False,
    heading: str = "",
) -> Figure:
    """Draw a metric over time, a line a version, with its bounds and threshold."""
    present = [(version, one) for version, one in by_version.items() if one and one.worst]
    left_out = len(present) - LINES_MAX
    present = present[:LINES_MAX]
    write: Callable[[float], str] = _percent if percent else figure
    drawn = [
        (version, one, one.points(points_max // len(present) if present else points_max))
        for version, one in present
    ]
    thresholds = [
        point.threshold for _, _, points in drawn for point in points if point.threshold is not None
    ]
    threshold = thresholds[-1] if thresholds else None
    lines = [Line(f"v{at}", points) for at, (_, _, points) in enumerate(drawn)]
    legend = [
        (line.name, f"version {version}")
        for line, (version, _, _) in zip(lines, drawn, strict=True)
    ]
    if any(
        point.low is not None and point.high is not None for line in lines for point in line.points
    ):
        legend.append(("band", "confidence bounds"))
    if threshold is not None:
        legend.append(("threshold", f"threshold {write(threshold)}"))
    said = f"{heading or title}: {len(lines)} lines over time; the table has the figures"
    valued = any(point.value is not None for line in lines for point in line.points)
    return Figure(
        title,
        legend,
        over_time(lines, said, threshold=threshold, figure=write) if valued else "",
        " ".join(_said_of(drawn, left_out)),
        ("window ended", "version", "value", "low", "high", "verdict"),
        [
            (
                *(_stamp(point.ends), version, _cell(point.value), _cell(point.low)),
                *(_cell(point.high), _verdict(point)),
            )
            for version, _, points in drawn
            for point in points
        ],
    )


def _said_of(drawn: Sequence[tuple[str, Series, Sequence[Point]]], left_out: int) -> Iterator[str]:
    many = max((point.windows for _, _, points in drawn for point in points), default=1)
    if many > 1:
        windows = sum(one.windows for _, one, _ in drawn)
        shown = sum(len(points) for _, _, points in drawn)
        yield f"{windows:,} windows in {shown} points: each is the worst of up to {many} windows."
    if left_out > 0:
        yield f"{left_out} more versions are not drawn."


def _verdict(point: Point) -> str:
    if point.windows == 1:
        return point.verdict
    return f"{point.verdict} ({point.breaches} of {point.windows} in breach)"


def _whole(latest: Sequence[VersionFacts]) -> Iterator[Figure]:
    """Draw what was measured of whole windows: performance first, then traffic, then the rest."""
    metrics: dict[tuple[str, str], dict[str, Series]] = {}
    for one in latest:
        for (column, metric), series in one.series.items():
            if not column or metric.startswith(SHADOW):
                metrics.setdefault((metric, column), {})[one.version] = series
    for metric, live in sorted(metrics, key=_interest):
        series = metrics[metric, live]
        if any(_valued(one) for one in series.values()):
            title = f"{metric}, beside live version {live}" if live else metric
            yield _lines(title, series, POINTS_OF_COLUMN, heading=title)


_TRAFFIC: Final = ("latency_p50", "latency_p99", "throughput", "error_ratio", "events")


def _interest(key: tuple[str, str]) -> tuple[int, str, str]:
    metric, live = key
    if metric.startswith(SHADOW):
        return 40, metric, live
    if metric in _TRAFFIC:
        return 10 + _TRAFFIC.index(metric), metric, live
    return (30 if metric.startswith(("latency_", "cpu_", "memory_", "gpu_")) else 0), metric, live


def _valued(series: Series) -> bool:
    return series.worst is not None and series.worst.value is not None


def _fired(incidents: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for one in incidents:
        evidence = one["evidence"]
        named = [each["column"] for each in evidence.get("columns") or ()]
        cause = evidence.get("cause")
        yield {
            "at": moment(one["at"]),
            "kind": one["kind"],
            "rule": one["rule"] or ("rollback" if one.get("rollback") else ""),
            "version": one["version"] or "",
            "segment": one.get("segment") or "",
            "columns": ", ".join(named) or evidence.get("column") or "",
            "metric": evidence.get("metric") or "",
            "value": _cell(evidence.get("value")),
            "low": _cell(evidence.get("low")),
            "high": _cell(evidence.get("high")),
            "threshold": _cell(evidence.get("threshold")),
            "why": told_cause(cause) if cause else evidence.get("why") or "",
        }


def _rollback(record: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "id": record["id"],
        "at": moment(record["created"]),
        "ended": moment(record["updated"]) if record["outcome"] else "",
        "told": rollback(record),
        "state": record["state"],
        "outcome": record["outcome"] or "not over",
        "gates": [
            f"{gate['gate']}: {'passed' if gate['passed'] else 'refused'}; {gate['detail']}"
            for gate in record["gates"]
        ],
        "steps": [f"{step['step']}: {step['state']}. {step['detail']}" for step in record["steps"]],
    }


def _cell(value: float | None) -> Cell | str:
    return "" if value is None else Cell(value)


def _stamp(at: float) -> str:
    return moment(at).removesuffix(" UTC")


def _percent(value: float) -> str:
    return f"{value:.1%}"


def figure(value: float) -> str:
    """Write a figure in four digits.

    Examples
    --------
    >>> figure(0.123456), figure(1234567.0)
    ('0.1235', '1,234,567')
    """
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"  # noqa: PLR2004 - 4 digits
