"""Panels as Kedge draws them: one look for all dashboards, in few words.

Each function returns a builder of the SDK. A panel has a title, a sentence that says what it shows
and what not, a unit, and a size in cells of Grafana's grid of 24.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from grafana_foundation_sdk.builders import (
    barchart,
    common,
    prometheus,
    stat,
    statetimeline,
    statushistory,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders.dashboard import FieldColor, ThresholdsConfig
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

#: The data source is chosen on the dashboard, never built in.
SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")

GREEN, YELLOW, ORANGE, RED = "green", "yellow", "orange", "red"
BLUE, PURPLE, GREY = "blue", "purple", "#8e8e8e"

#: Text and colour of a value.
Words: TypeAlias = Mapping[str, tuple[str, str]]

Panel: TypeAlias = (
    barchart.Panel
    | stat.Panel
    | timeseries.Panel
    | statetimeline.Panel
    | statushistory.Panel
    | table.Panel
)


@dataclass(frozen=True, slots=True)
class Query:
    """PromQL and what its series are called.

    Parameters
    ----------
    now
        Asked for once, at the end of the chosen time, and not along it.
    rows
        Wanted as a table, so that labels become cells.
    """

    expr: str
    legend: str = ""
    now: bool = False
    rows: bool = False


@dataclass(frozen=True, slots=True)
class About:
    """What every panel has.

    Parameters
    ----------
    unit
        Grafana's name of the unit: ``s``, ``percentunit``, ``reqps``, ``short`` …
    empty
        Words that stand where no series answers.
    """

    title: str
    text: str
    unit: str = "short"
    width: int = 12
    height: int = 8
    empty: str = "none"


@dataclass(frozen=True, slots=True)
class Override:
    """How one column of a table differs: its unit, its words, where a click on it leads."""

    unit: str | None = None
    words: Words | None = None
    link: str | None = None

    def properties(self) -> list[models.DynamicConfigValue]:
        """Return it as the SDK wants it."""
        found: list[models.DynamicConfigValue] = []
        if self.unit is not None:
            found.append(models.DynamicConfigValue("unit", self.unit))
        if self.words is not None:
            found.append(models.DynamicConfigValue("mappings", [_mapping(self.words)]))
            cells = {"type": "color-background", "mode": "basic"}
            found.append(models.DynamicConfigValue("custom.cellOptions", cells))
        if self.link is not None:
            links = [{"title": "Open", "url": self.link, "targetBlank": False}]
            found.append(models.DynamicConfigValue("links", links))
        return found


def tile(about: About, *queries: Query, words: Words | None = None, color: str = BLUE) -> Panel:
    """Return numbers, or words that stand for numbers, large and on their colour."""
    panel = stat.Panel().graph_mode(shapes.BigValueGraphMode.NONE)
    panel.color_mode(
        shapes.BigValueColorMode.BACKGROUND_SOLID if words else shapes.BigValueColorMode.VALUE
    )
    panel.text_mode(
        shapes.BigValueTextMode.VALUE
        if not any(query.legend for query in queries)
        else shapes.BigValueTextMode.VALUE_AND_NAME
    )
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(values=False))
    panel.color_scheme(_fixed(color)).thresholds(_plain(color))
    return _dress(panel, about, queries, words)


def word(about: About, query: Query, label: str, words: Words | None = None) -> Panel:
    """Return the value of a label, large: its words, where it has any."""
    panel = stat.Panel().graph_mode(shapes.BigValueGraphMode.NONE)
    panel.color_mode(
        shapes.BigValueColorMode.BACKGROUND_SOLID if words else shapes.BigValueColorMode.VALUE
    )
    panel.text_mode(shapes.BigValueTextMode.VALUE)
    panel.reduce_options(
        common.ReduceDataOptions()
        .calcs(["lastNotNull"])
        .fields(f"/^{label}$/")
        .values(values=False)
    )
    panel.thresholds(_plain(BLUE))
    query = Query(query.expr, query.legend, now=True, rows=True)
    return _dress(panel, about, [query], words)


def lines(about: About, *queries: Query, bounds: bool = False) -> Panel:
    """Return curves over time.

    Parameters
    ----------
    bounds
        Series called ``… low`` and ``… high`` are dotted, and ``… threshold`` dashed red.
    """
    panel = (
        timeseries.Panel()
        .line_width(1)
        .fill_opacity(8 if not bounds else 0)
        .show_points(shapes.VisibilityMode.NEVER)
        .span_nulls(False)  # noqa: FBT003 - the SDK's own signature
        .color_scheme(FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .legend(_legend())
        .tooltip(_tooltip())
        .axis_soft_min(0)
    )
    if bounds:
        for name, properties in _BOUNDS.items():
            panel.override_by_regexp(
                name, [models.DynamicConfigValue(id_val, value) for id_val, value in properties]
            )
    return _dress(panel, about, queries, None)


_BOUNDS: Mapping[str, Sequence[tuple[str, object]]] = {
    "/ (low|high)$/": [("custom.lineStyle", {"fill": "dot", "dash": [2, 4]})],
    "/threshold$/": [
        ("color", {"mode": "fixed", "fixedColor": RED}),
        ("custom.lineStyle", {"fill": "dash", "dash": [10, 10]}),
        ("custom.lineWidth", 2),
    ],
}


def states(about: About, *queries: Query, words: Words) -> Panel:
    """Return bands over time, of one colour for as long as a state held."""
    panel = (
        statetimeline.Panel()
        .show_value(shapes.VisibilityMode.AUTO)
        .merge_values(merge_values=True)
        .row_height(0.8)
        .fill_opacity(75)
        .line_width(0)
        .legend(_legend(show=False))
        .tooltip(_tooltip())
        .color_scheme(_fixed(GREY))
    )
    return _dress(panel, about, queries, words)


def heat(about: About, *queries: Query, worst: float) -> Panel:
    """Return a row for each series and a cell for each moment, green at 0 and red at `worst`."""
    panel = (
        statushistory.Panel()
        .show_value(shapes.VisibilityMode.NEVER)
        .row_height(0.9)
        .col_width(0.95)
        .fill_opacity(85)
        .line_width(0)
        .per_page(25)
        .legend(_legend(show=False))
        .tooltip(_tooltip())
        .color_scheme(FieldColor().mode(models.FieldColorModeId.CONTINUOUS_GR_YL_RD))
        .min(0)
        .max(worst)
    )
    return _dress(panel, about, queries, None)


def grid(
    about: About, *queries: Query, names: Mapping[str, str], overrides: Mapping[str, Override]
) -> Panel:
    """Return one row for each set of labels, and a column for each of `names`, in that order."""
    panel = table.Panel().show_header(show_header=True).inspect(inspect=False)
    panel.align(shapes.FieldTextAlignment.AUTO).cell_options(shapes.TableAutoCellOptions())
    panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(
        models.DataTransformerConfig(
            id_val="filterFieldsByName",
            options={"include": {"names": list(names)}},
        )
    )
    panel.with_transformation(
        models.DataTransformerConfig(
            id_val="organize",
            options={
                "indexByName": {name: place for place, name in enumerate(names)},
                "renameByName": dict(names),
            },
        )
    )
    for name, override in overrides.items():
        panel.override_by_name(name, override.properties())
    rows = [Query(query.expr, query.legend, now=True, rows=True) for query in queries]
    return _dress(panel, about, rows, None)


def bars(about: About, *queries: Query, label: str, names: Sequence[str]) -> Panel:
    """Return bars beside each other: one group for each value of a label, one bar a query."""
    panel = (
        barchart.Panel()
        .x_field(label)
        .x_tick_label_rotation(-30)
        .group_width(0.8)
        .bar_width(0.95)
        .fill_opacity(80)
        .line_width(0)
        .show_value(shapes.VisibilityMode.NEVER)
        .legend(_legend())
        .tooltip(_tooltip())
        .min(0)
        .color_scheme(FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    )
    values = [f"Value #{chr(ord('A') + place)}" for place in range(len(names))]
    steps: tuple[tuple[str, dict[str, object]], ...] = (
        ("merge", {}),
        ("filterFieldsByName", {"include": {"names": [label, *values]}}),
        ("organize", {"renameByName": dict(zip(values, names, strict=True))}),
        ("sortBy", {"sort": [{"field": label, "desc": False}]}),
    )
    for name, options in steps:
        panel.with_transformation(models.DataTransformerConfig(id_val=name, options=options))
    rows = [Query(query.expr, query.legend, now=True, rows=True) for query in queries]
    return _dress(panel, about, rows, None)


def _dress(panel: Panel, about: About, queries: Sequence[Query], words: Words | None) -> Panel:
    panel.title(about.title).description(about.text).datasource(SOURCE)
    panel.unit(about.unit).no_value(about.empty).span(about.width).height(about.height)
    if words:
        panel.mappings([_mapping(words)])
    for index, query in enumerate(queries):
        panel.with_target(_target(query, chr(ord("A") + index)))
    return panel


def _target(query: Query, ref: str) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expr).ref_id(ref).datasource(SOURCE)
    target.legend_format(query.legend or "__auto")
    target.format(PromQueryFormat.TABLE if query.rows else PromQueryFormat.TIME_SERIES)
    return target.instant() if query.now else target.range()


def _mapping(words: Words) -> models.ValueMap:
    return models.ValueMap(
        options={
            value: models.ValueMappingResult(text=text, color=color, index=place)
            for place, (value, (text, color)) in enumerate(words.items())
        }
    )


def _fixed(color: str) -> FieldColor:
    return FieldColor().mode(models.FieldColorModeId.FIXED).fixed_color(color)


def _plain(color: str) -> ThresholdsConfig:
    """Return thresholds that say nothing: what is too much is Kedge's to say, in its metrics."""
    steps = [models.Threshold(value=None, color=color)]
    return ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _legend(*, show: bool = True) -> common.VizLegendOptions:
    legend = common.VizLegendOptions().show_legend(show).placement(shapes.LegendPlacement.BOTTOM)
    return legend.display_mode(shapes.LegendDisplayMode.LIST)


def _tooltip() -> common.VizTooltipOptions:
    return (
        common.VizTooltipOptions()
        .mode(shapes.TooltipDisplayMode.MULTI)
        .sort(shapes.SortOrder.DESCENDING)
    )
