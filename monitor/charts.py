"""Pictures as static SVG, drawn by pygal and left to a style sheet.

pygal places bars, lines, axes and labels. What it would bring besides them (a script, style
elements, its own colours, ids) is taken out, so a picture can stand within a page whose policy
allows no inline style and no inline script, follows that page's light and dark, and prints. Series
are told apart by their form in the style sheet (hollow or filled, dashed or whole), not by colour
alone: the first has the class ``serie-0``, and so on.

A picture is one thing to a screen reader, with the sentence that it is given. The figures belong
into a table beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from detectors.side_by_side import Bin, SideBySide
from monitor.drawing import pygal, spare, written

#: Units of a picture's own coordinates; a page scales it to its width.
WIDTH, HEIGHT = 360, 170
WIDTH_OVER_TIME: Final = 420
#: Bars of a picture that have their label written below, about: more would touch one another.
_LABELS_MAX: Final = 5
_NAME_CHARACTERS: Final = 14
_FONT: Final = 11
_DAY_S: Final = 86_400.0
#: Room above the highest point.
_HEADROOM: Final = 1.08
#: Layers for the pointer, which its script would fill.
_LEFT_OUT_CLASSES: Final = frozenset({"background", "overlay", "tooltip-overlay", "titles"})
_KEPT_ATTRIBUTES: Final = frozenset(
    {"class", "viewBox", "transform", "x", "y", "width", "height", "d", "r", "cx", "cy", "rx", "ry"}
)


def histogram(column: SideBySide, said: str) -> str:
    """Draw a column of a window (``serie-1``) beside its reference (``serie-0``), as shares.

    Parameters
    ----------
    said
        What a screen reader says of the picture.
    """
    shares = before, now = shares_of(column)
    labels = [bin_label(one) for one in column.bins]
    options = _options(value_formatter=_percent)
    if column.kind == "category":
        height = max(HEIGHT, 24 * len(labels) + 40)
        chart = pygal().HorizontalBar(**options | {"height": height})
        # The first value on top.
        labels, shares = [_cut(label) for label in labels[::-1]], (before[::-1], now[::-1])
    else:
        every = max(1, -(-len(labels) // _LABELS_MAX))
        chart = pygal().Bar(**options, x_labels_major=labels[::every], show_minor_x_labels=False)
    chart.x_labels = labels
    for name, values in zip(("reference", "current"), shares, strict=True):
        chart.add(name, values)
    return _drawn(chart, said)


def _cut(label: str) -> str:
    return label if len(label) <= _NAME_CHARACTERS else f"{label[: _NAME_CHARACTERS - 1]}…"


def shares_of(column: SideBySide) -> tuple[list[float], list[float]]:
    """Return the share of the rows in each bar: of the reference, and of the window.

    Examples
    --------
    >>> shares_of(SideBySide("category", (Bin(None, None, "a", 1, 3), Bin(None, None, None, 3, 0)),
    ...                      reference_missing=0, current_missing=0))
    ([0.25, 0.75], [1.0, 0.0])
    """
    before, now = max(1, column.reference_rows), max(1, column.current_rows)
    return (
        [one.reference / before for one in column.bins],
        [one.current / now for one in column.bins],
    )


def bin_label(one: Bin) -> str:
    """Say what a bar holds.

    Examples
    --------
    >>> [bin_label(Bin(*ends, 0, 0)) for ends in
    ...     ((None, 5.0, None), (5.0, 10.0, None), (10.0, None, None), (None, None, "gold"),
    ...      (None, None, None))]
    ['up to 5', '5 to 10', 'above 10', 'gold', 'other']
    """
    if one.value is not None:
        return one.value if isinstance(one.value, str) else f"{one.value:g}"
    if one.low is None and one.high is None:
        return "other"
    if one.low is None:
        return f"up to {one.high:g}"
    return f"above {one.low:g}" if one.high is None else f"{one.low:g} to {one.high:g}"


def lines(
    series: Mapping[str, Sequence[tuple[float, float | None]]],
    said: str,
    *,
    unit: Callable[[float], str] = "{:g}".format,
) -> str:
    """Draw values over time, a line each; a line is broken where there is none.

    Parameters
    ----------
    series
        By name, seconds since the epoch and values, in the order of time.
    unit
        Writes a value of the vertical axis.
    """
    points = [at for values in series.values() for at, _ in values]
    first, last = min(points, default=0.0), max(points, default=0.0)
    chart = pygal().XY(
        **_options(value_formatter=unit, width=WIDTH_OVER_TIME),
        show_dots=len(points) <= 2 * len(series),
        x_value_formatter=lambda at: clock(at, days=last - first > _DAY_S),
        include_x_axis=False,
    )
    if points:
        chart.x_labels = sorted({first, (first + last) / 2, last})
        chart.range = 0, _HEADROOM * max(_values(series), default=1.0)
    for name, values in series.items():
        chart.add(name, list(values), allow_interruptions=True)
    return _drawn(chart, said)


def _values(series: Mapping[str, Sequence[tuple[float, float | None]]]) -> list[float]:
    return [value for one in series.values() for _, value in one if value]


def clock(at: float, *, days: bool) -> str:
    """Write a moment below a picture: a time of the day, or a day; UTC.

    Examples
    --------
    >>> clock(1772618400.0, days=False), clock(1772618400.0, days=True)
    ('10:00', '4 Mar')
    """
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment.day} {moment:%b}" if days else f"{moment:%H:%M}"


def _options(**more: object) -> dict[str, Any]:
    # Sizes only: pygal leaves room for labels by them.
    style = pygal().style.Style(label_font_size=_FONT, major_label_font_size=_FONT)
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "margin": 4,
        "style": style,
        "js": (),
        "css": (),
        "show_legend": False,
        "show_x_guides": False,
        "max_scale": 5,
        "spacing": 6,
        "truncate_label": -1,
        "no_data_text": "",
        **more,
    }


def _drawn(chart: Any, said: str) -> str:  # noqa: ANN401 - pygal has no types
    root = chart.render_tree()
    spare(root, _LEFT_OUT_CLASSES, _KEPT_ATTRIBUTES)
    return written(root, said)


def _percent(share: float) -> str:
    return f"{share:.0%}"
