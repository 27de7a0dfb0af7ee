"""Pictures of a report, each with its legend and its table. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from monitor.pictures.charts import Line, bars, over_time, shares_of
from monitor.pictures.picture_words import missing_of, said_of
from monitor.reports.facts import POINTS_OF_COLUMN, SHADOW, VersionFacts
from monitor.reports.series import Point, Series
from monitor.reports.standing import Standing
from monitor.reports.words import moment

#: Versions whose lines a picture has, the latest of those that the column drifted in first.
LINES_MAX: Final = 3


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


def beside(one: Standing, facts: VersionFacts) -> Figure:
    """Set the reference beside the window in which the column drifted most, or the last one."""
    at_worst = one.column in facts.worst
    picture = facts.worst[one.column] if at_worst else facts.last[one.column]
    shown = "at its worst" if at_worst else "last"
    shares = shares_of(picture.column)
    title = f"Version {one.version} beside its reference"
    said = f"{one.column}, {title}, shares of the rows in {len(shares)} bars; the table has them"
    svg = bars(picture.column, said)
    return Figure(
        title,
        [("reference", "reference"), ("current", f"{shown}, window to {moment(picture.ends)}")],
        svg,
        _capital(said_of(picture.column)) if svg else "No rows had a value.",
        ("values", "reference", "current"),
        [
            *((bar.label, f"{bar.reference:.2%}", f"{bar.current:.2%}") for bar in shares),
            (
                "missing or of a wrong type",
                *(f"{share:.2%}" for share in missing_of(picture.column)),
            ),
        ],
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def lines_of(
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
                *(_stamp(point.ends), version, _short(point.value), _short(point.low)),
                *(_short(point.high), _verdict(point)),
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
        yield f"{windows:,} windows in {shown} points, each the worst of up to {many}."
    if left_out > 0:
        yield f"{left_out} more versions are not drawn."


def _verdict(point: Point) -> str:
    if point.threshold is None:
        return "not judged"
    if point.windows == 1 or not point.breaches:
        return point.verdict
    return f"{point.verdict} ({point.breaches} of {point.windows} in breach)"


def whole_of(latest: Sequence[VersionFacts]) -> Iterator[Figure]:
    """Draw what was measured of whole windows: performance first, then traffic, then the rest."""
    metrics: dict[tuple[str, str], dict[str, Series]] = {}
    for one in latest:
        for (column, metric), series in one.series.items():
            if not column or metric.startswith(SHADOW):
                metrics.setdefault((metric, column), {})[one.version] = series
    for metric, live in sorted(metrics, key=_interest):
        by_version = metrics[metric, live]
        if any(_valued(series) for series in by_version.values()):
            title = f"{metric}, beside live version {live}" if live else metric
            yield lines_of(title, by_version, POINTS_OF_COLUMN, heading=title)


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


def cell(value: float | None) -> Cell | str:
    """Return a figure for a table; nothing where there is none."""
    return "" if value is None else Cell(value)


def _short(value: float | None) -> str:
    """Write a figure for people only: there are thousands of these."""
    return "" if value is None else figure(value)


def _stamp(at: float) -> str:
    return moment(at).removesuffix(" UTC")


def _percent(value: float) -> str:
    return f"{100 * value:.3g}%"


def figure(value: float) -> str:
    """Write a figure in four digits.

    Examples
    --------
    >>> figure(0.123456), figure(1234567.0)
    ('0.1235', '1,234,567')
    """
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"  # noqa: PLR2004 - 4 digits
