"""Pictures as static SVG, of the page and of reports: pygal places, a style sheet colours.

Of what pygal writes only form, place and text are kept: no script, no style, no ids. So a picture
can stand within a page whose policy forbids both, follows that page's light and dark, and prints.
What is drawn is told apart by its form in :file:`monitor/page/templates/charts.css` (hollow or
filled, dashed or whole), not by colour alone. To a screen reader a picture is one thing, with the
sentence that it is given; the figures stand in a table beside it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final, NamedTuple, Protocol

from detectors.columns.side_by_side import Bin, SideBySide
from monitor.pictures.drawing import pygal, spare, written

#: Units of a picture's own coordinates, as wide as it is shown at most; a page scales it.
WIDTH, HEIGHT = 440, 220
_FONT: Final = 12
_DAY_S: Final = 86_400.0
#: Steps of time between the moments below a picture, in seconds, and how many there are at most.
_STEPS_S: Final = (
    *(1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_200.0, 1_800.0, 3_600.0),
    *(7_200.0, 10_800.0, 21_600.0, 43_200.0, _DAY_S, 2 * _DAY_S),
)
_TICKS_MAX: Final = 4.5
#: Room of one label below bars, in units; more labels than there is room for are left out.
_LABEL_WIDTH: Final = 66
#: Height of a bar that lies, and what axis and margins take besides.
_BAR, _AROUND = 24, 40
_NAME_CHARACTERS: Final = 18
_LEFT_OUT_CLASSES: Final = frozenset(
    {"background", "overlay", "text-overlay", "tooltip-overlay", "titles"}
)
#: What the style sheet knows; pygal has more, on every bar.
_KEPT_CLASSES: Final = frozenset(
    {"axis", "x", "y", "line", "guide", "guides", "series", "horizontalbar-graph"}
)
_KEPT_ATTRIBUTES: Final = frozenset(
    {"class", "viewBox", "transform", "x", "y", "width", "height", "d", "r", "cx", "cy"}
)
_DECIMALS: Final = re.compile(r"-?\d+\.\d+")


class Share(NamedTuple):
    """A bar of a column: the share of the rows with a value that it holds, on both sides."""

    label: str
    reference: float
    current: float
    new: bool = False


def shares_of(column: SideBySide) -> list[Share]:
    """Return the bars that are worth showing: not those at the ends that both sides lack.

    Examples
    --------
    >>> from detectors.columns.side_by_side import Bars, Counted, beside
    >>> bars = Bars("categories", ("a", "b"), (1, 3, 0), 0)
    >>> [tuple(one) for one in shares_of(beside(bars, Counted((3, 0, 0), 0, 1, {"c": 1})))]
    [('a', 0.25, 0.75, False), ('b', 0.75, 0.0, False), ('c', 0.0, 0.25, True)]
    """
    before, now = max(1, column.reference_rows), max(1, column.current_rows)
    return [
        Share(one.label, one.reference / before, one.current / now, one.new)
        for one in _shown(column)
    ]


def _shown(column: SideBySide) -> list[Bin]:
    bins = list(column.bins)
    if column.kind == "category":
        # The bars for all others are there whether or not anything falls in them.
        bins = [one for one in bins if one.value is not None or one.reference or one.current]
    for end in (-1, 0):
        while bins and not bins[end].reference and not bins[end].current:
            bins.pop(end)
    return bins


def bars(column: SideBySide, said: str, *, width: int = WIDTH, height: int = HEIGHT) -> str:
    """Draw a column of a window beside its reference; empty where no row has a value.

    Bars of categories lie, a row each, as names need; those of numbers stand, and those of ranges
    have the numbers between them.

    Parameters
    ----------
    said
        What a screen reader says of the picture.
    """
    shares = shares_of(column)
    if not shares:
        return ""
    edges = _edges(_shown(column))
    if edges:
        chart = pygal().Histogram(**_options(width, height), xrange=(0, len(shares)))
        labels = _thinned([f"{edge:g}" for _, edge in edges], width)
        chart.x_labels = [
            {"label": label, "value": at}
            for label, (at, _) in zip(labels, edges, strict=True)
            if label
        ]
        chart.add(None, [(one.reference, at + 0.1, at + 0.5) for at, one in enumerate(shares)])
        chart.add(None, [(one.current, at + 0.5, at + 0.9) for at, one in enumerate(shares)])
    else:
        if column.kind == "category":
            shares = shares[::-1]  # pygal begins below
            chart = pygal().HorizontalBar(**_options(width, _BAR * len(shares) + _AROUND))
            chart.x_labels = [_cut(one.label) for one in shares]
        else:
            chart = pygal().Bar(**_options(width, height))
            chart.x_labels = _thinned([one.label for one in shares], width)
        chart.add(None, [one.reference for one in shares])
        chart.add(None, [one.current for one in shares])
    chart.value_formatter = _percent
    most = max(max(one.reference, one.current) for one in shares)
    chart.range = (0, max(most, 0.01) * 1.06)
    return _drawn(chart, said, ("reference", "current"))


class Point(Protocol):
    """A value at a moment, seconds since the epoch, with bounds where it has any."""

    @property
    def ends(self) -> float: ...  # noqa: D102 - see above

    @property
    def value(self) -> float | None: ...  # noqa: D102

    @property
    def low(self) -> float | None: ...  # noqa: D102

    @property
    def high(self) -> float | None: ...  # noqa: D102


class Bare(NamedTuple):
    """A value without bounds."""

    ends: float
    value: float | None
    low: None = None
    high: None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A line over time.

    Parameters
    ----------
    name
        Class of the line in the style sheet, as ``v0``.
    points
        In the order of time; the line is broken where there is no value, and its bounds are a
        band where there are two.
    """

    name: str
    points: Sequence[Point]


def over_time(
    lines: Sequence[Line],
    said: str,
    *,
    threshold: float | None = None,
    figure: Callable[[float], str] = "{:.3g}".format,
    width: int = WIDTH,
    height: int = HEIGHT,
) -> str:
    """Draw lines with their bounds, and a threshold across; empty where there is no point.

    Parameters
    ----------
    said
        What a screen reader says of the picture.
    figure
        Writes a figure of the vertical axis.
    """
    every = [point for line in lines for point in line.points]
    if not every:
        return ""
    first, last = min(one.ends for one in every), max(one.ends for one in every)
    chart = pygal().XY(
        **_options(width, height),
        show_dots=False,
        include_x_axis=False,
        value_formatter=figure,
        x_value_formatter=lambda at: clock(at, last - first),
        allow_interruptions=True,
        range=(min(0.0, *(one.value or 0.0 for one in every)), _highest(every, threshold)),
        xrange=(first, last) if last > first else (first - 60, last + 60),
    )
    chart.x_labels = _ticks(first, last)
    roles = []
    for line in lines:
        for band in _bands(line):
            chart.add(None, band, fill=True)
            roles.append(f"band {line.name}")
        alone = len(line.points) == 1
        chart.add(None, [(one.ends, one.value) for one in line.points], show_dots=alone)
        roles.append(f"line {line.name}")
    if threshold is not None:
        chart.add(None, [(first, threshold), (last, threshold)])
        roles.append("threshold")
    return _drawn(chart, said, roles)


def clock(at: float, span_s: float = 0.0) -> str:
    """Write a moment below a picture of so many seconds: a time of the day, or a day; UTC.

    Examples
    --------
    >>> clock(1772618400.0, 3_600.0), clock(1772618405.0, 60.0), clock(1772618400.0, 1e6)
    ('10:00', '10:00:05', '4 Mar')
    """
    moment = datetime.fromtimestamp(at, UTC)
    if span_s > 2 * _DAY_S:
        return f"{moment.day} {moment:%b}"
    # Nothing is that short but a demonstration.
    return f"{moment:%H:%M:%S}" if 0 < span_s < 60 * _TICKS_MAX else f"{moment:%H:%M}"


def _ticks(first: float, last: float) -> list[float]:
    """Moments to write below a picture: full minutes, hours or days, at most about five.

    Examples
    --------
    >>> _ticks(1772618395.0, 1772619300.0)  # 09:59:55 to 10:15
    [1772618400.0, 1772618700.0, 1772619000.0, 1772619300.0]
    """
    step = next((one for one in _STEPS_S if (last - first) / one <= _TICKS_MAX), 0.0)
    step = step or _DAY_S * math.ceil((last - first) / _DAY_S / _TICKS_MAX)
    begins = math.ceil(first / step)
    return [number * step for number in range(begins, math.floor(last / step) + 1)] or [first]


def _highest(points: Sequence[Point], threshold: float | None) -> float:
    figures = [threshold or 0.0]
    for one in points:
        figures += [one.value or 0.0, one.high or 0.0]
    return max(figures) * 1.08 or 1.0


def _bands(line: Line) -> Iterator[list[tuple[float, float]]]:
    """Yield outlines: there along the upper bounds, back along the lower ones."""
    runs = groupby(line.points, lambda one: one.low is not None and one.high is not None)
    for bounded, run in runs:
        points = list(run)
        if bounded and len(points) > 1:
            there = [(one.ends, one.high or 0.0) for one in points]
            yield [*there, *((one.ends, one.low or 0.0) for one in points[::-1])]


def _edges(bins: Sequence[Bin]) -> list[tuple[int, float]]:
    """Return the numbers between bars of ranges and where they stand; none of other bars."""
    lows = [(at, one.low) for at, one in enumerate(bins) if one.low is not None]
    highs = [(at, one.high) for at, one in enumerate(bins, start=1) if one.high is not None]
    return sorted({*lows, *highs})


def _thinned(labels: Sequence[str], width: int) -> list[str]:
    """Leave labels out until the others have room."""
    characters = max(len(label) for label in labels)
    room = max(_LABEL_WIDTH / 2, characters * _FONT * 0.62 + 6)
    every = max(1, math.ceil(len(labels) * room / (width - 60)))
    return [label if index % every == 0 else "" for index, label in enumerate(labels)]


def _cut(label: str) -> str:
    return label if len(label) <= _NAME_CHARACTERS else f"{label[: _NAME_CHARACTERS - 1]}…"


def _percent(share: float) -> str:
    return f"{share:.0%}"


def _options(width: int, height: int) -> dict[str, Any]:
    # Sizes only: pygal leaves room for labels by them.
    style = pygal().style.Style(label_font_size=_FONT, major_label_font_size=_FONT)
    return {
        "width": width,
        "height": height,
        "margin": 4,
        "margin_right": 14,
        "style": style,
        "js": (),
        "css": (),
        "show_legend": False,
        "show_x_guides": False,
        "max_scale": 5,
        "spacing": 6,
        "truncate_label": -1,
        "no_data_text": "",
    }


def _drawn(chart: Any, said: str, roles: Sequence[str]) -> str:  # noqa: ANN401 - pygal has no types
    root = chart.render_tree()
    spare(root, _LEFT_OUT_CLASSES, _KEPT_ATTRIBUTES)
    by_class = {f"serie-{at}": role for at, role in enumerate(roles)}
    for element in root.iter():
        _shorten(element, by_class)
    return written(root, said)


def _shorten(element: Any, roles: dict[str, str]) -> None:  # noqa: ANN401 - pygal has no types
    classes = element.get("class", "").split()
    kept = [roles.get(one, one) for one in classes if one in _KEPT_CLASSES or one in roles]
    if kept:
        element.set("class", " ".join(kept))
    else:
        element.attrib.pop("class", None)
    for name, value in element.attrib.items():
        if name not in ("class", "viewBox"):
            element.set(name, _short(value))


def _short(value: str) -> str:
    """Write coordinates to a tenth of a unit.

    Examples
    --------
    >>> _short("M7.307692 184.384615 L-7.000000 12")
    'M7.3 184.4 L-7 12'
    """
    return _DECIMALS.sub(lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), value)
