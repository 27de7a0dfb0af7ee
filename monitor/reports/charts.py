"""Pictures as static SVG: pygal places lines, bars, axes and labels, a style sheet colours them.

Of what pygal writes only form, place and text are kept: no script, no style, no ids. So a picture
follows the page's light and dark, prints, and stands under a policy that forbids both. To a screen
reader it is one thing, with the sentence it is given; the figures stand in a table beside it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from monitor.charts import clock
from monitor.drawing import pygal, spare, written
from monitor.reports.series import Point

#: Units of a picture's own coordinates; the page scales it to its width.
WIDTH, HEIGHT = 440, 220
_FONT: Final = 12
_DAY_S: Final = 86_400.0
#: Steps of time between the moments below a picture, in seconds, and how many there are at most.
_STEPS_S: Final = (
    *(60.0, 120.0, 300.0, 600.0, 1_200.0, 1_800.0, 3_600.0, 7_200.0, 10_800.0, 21_600.0),
    *(43_200.0, _DAY_S, 2 * _DAY_S),
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


@dataclass(frozen=True, slots=True)
class Line:
    """A line over time.

    Parameters
    ----------
    name
        Class of the line in the style sheet, as ``v0``.
    points
        In the order of time; the line is broken where there is no value.
    band
        Whether to draw the bounds, where there are two, as a band.
    """

    name: str
    points: Sequence[Point]
    band: bool = True


def over_time(
    lines: Sequence[Line],
    said: str,
    *,
    threshold: float | None = None,
    figure: Callable[[float], str] = "{:.3g}".format,
) -> str:
    """Draw lines with their bounds, and a threshold across.

    Parameters
    ----------
    said
        What a screen reader says of the picture.
    figure
        Writes a figure of the vertical axis.
    """
    every = [point for line in lines for point in line.points]
    first, last = min(one.ends for one in every), max(one.ends for one in every)
    top = _highest(every, threshold)
    chart = pygal().XY(
        **_options(HEIGHT),
        show_dots=False,
        include_x_axis=False,
        value_formatter=figure,
        x_value_formatter=lambda at: clock(at, days=last - first > 2 * _DAY_S),
        allow_interruptions=True,
        range=(min(0.0, *(one.value or 0.0 for one in every)), top),
        xrange=(first, last) if last > first else (first - 60, last + 60),
    )
    chart.x_labels = _ticks(first, last)
    roles = []
    for line in lines:
        for band in _bands(line) if line.band else ():
            chart.add(None, band, fill=True)
            roles.append(f"band {line.name}")
        alone = len(line.points) == 1
        chart.add(None, [(one.ends, one.value) for one in line.points], show_dots=alone)
        roles.append(f"line {line.name}")
    if threshold is not None:
        chart.add(None, [(first, threshold), (last, threshold)])
        roles.append("threshold")
    return _drawn(chart, said, roles)


def bars(
    labels: Sequence[str],
    reference: Sequence[float],
    current: Sequence[float],
    said: str,
    *,
    lying: bool,
) -> str:
    """Draw shares of the reference beside the current ones.

    Parameters
    ----------
    lying
        Whether bars lie, a row each, as names need; else they stand, as numbers do.
    """
    if lying:
        chart = pygal().HorizontalBar(**_options(_BAR * len(labels) + _AROUND))
        # pygal begins below.
        chart.x_labels = [_cut(label) for label in labels[::-1]]
        reference, current = reference[::-1], current[::-1]
    else:
        chart = pygal().Bar(**_options(HEIGHT))
        chart.x_labels = _thinned(labels)
    chart.add(None, list(reference))
    chart.add(None, list(current))
    chart.value_formatter = _percent
    chart.range = (0, max(*reference, *current, 0.01) * 1.06)
    return _drawn(chart, said, ("reference", "current"))


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


def _thinned(labels: Sequence[str]) -> list[str]:
    """Leave labels out until the others have room; those of ranges say where they begin."""
    shown = [label.partition(" to ")[0] for label in labels]
    characters = max(len(label) for label in shown)
    width = max(_LABEL_WIDTH / 2, characters * _FONT * 0.62 + 6)
    every = max(1, -(-len(shown) * width // (WIDTH - 60)))
    return [label if index % every == 0 else "" for index, label in enumerate(shown)]


def _cut(label: str) -> str:
    return label if len(label) <= _NAME_CHARACTERS else f"{label[: _NAME_CHARACTERS - 1]}…"


def _percent(share: float) -> str:
    return f"{share:.0%}"


def _options(height: int) -> dict[str, Any]:
    # Sizes only: pygal leaves room for labels by them.
    style = pygal().style.Style(label_font_size=_FONT, major_label_font_size=_FONT)
    return {
        "width": WIDTH,
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
    for element in root.iter():
        _shorten(element)
    by_class: Mapping[str, str] = {f"serie-{at}": role for at, role in enumerate(roles)}
    for group in root.iter():
        classes = group.get("class", "").split()
        if "series" in classes:
            group.set("class", f"series {by_class.get(classes[1], '')}")
    return written(root, said)


def _shorten(element: Any) -> None:  # noqa: ANN401 - pygal has no types
    classes = " ".join(one for one in element.get("class", "").split() if _is_kept(one))
    if classes:
        element.set("class", classes)
    else:
        element.attrib.pop("class", None)
    for name, value in element.attrib.items():
        if name not in ("class", "viewBox"):
            element.set(name, _short(value))


def _is_kept(name: str) -> bool:
    return name in _KEPT_CLASSES or name.startswith("serie-")


def _short(value: str) -> str:
    """Write coordinates to a tenth of a unit.

    Examples
    --------
    >>> _short("M7.307692 184.384615 L-7.000000 12")
    'M7.3 184.4 L-7 12'
    """
    return _DECIMALS.sub(lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), value)
