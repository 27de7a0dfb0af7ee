"""What all dashboards share: variables, links from one to the other, annotations, their JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders.dashboard import (
    AnnotationQuery,
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    QueryVariable,
    Row,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from dashboards.panels import BLUE, ORANGE, PURPLE, RED, SOURCE, Panel

TAG = "kedge"

#: Keys of variables that hold intervals; the SDK writes them for every kind.
_OF_INTERVALS = ("auto", "auto_min", "auto_count")

#: A time series of a model that its Kedge exports in any case, to find what else it exports.
OF_MODEL = (
    'on (job, instance) (kedge_rule_state{model="$model"}'
    ' or kedge_predictions_total{model="$model"})'
)

#: Versions that were asked something in the last ten minutes.
SERVING = (
    "on (model, version) (sum by (model, version) "
    '(increase(kedge_predictions_total{model="$model"}[10m])) > 0)'
)


@dataclass(frozen=True, slots=True)
class Choice:
    """A variable whose values are those of a label.

    Parameters
    ----------
    every
        Several or all values may be chosen, and all are at first.
    first
        The value at first, where it is known.
    """

    name: str
    title: str
    query: str
    every: bool = False
    first: str = ""


MODEL = Choice("model", "Model", "label_values(kedge_predictions_total, model)")
VERSION = Choice(
    "version",
    "Version",
    'label_values(kedge_predictions_total{model="$model"}, version)',
    every=True,
)


@dataclass(frozen=True, slots=True)
class Mark:
    """Moments on every panel over time: those at which the query answers."""

    name: str
    query: str
    title: str
    text: str
    color: str


MARKS = (
    Mark(
        "Deploys",
        'sum by (model, version) (kedge_predictions_total{model="$model"})'
        " unless on (model, version)"
        ' max_over_time(kedge_predictions_total{model="$model"}[1h] offset 1m)',
        "Version {{version}}",
        "the first requests that version {{version}} answered, for an hour at least",
        BLUE,
    ),
    Mark(
        "Kedge started",
        "kedge_build_info unless on (job, instance, version)"
        " max_over_time(kedge_build_info[1h] offset 1m)",
        "Kedge {{version}}",
        "Kedge {{version}} began to be scraped at {{instance}}",
        PURPLE,
    ),
    Mark(
        "Breaches",
        'kedge_rule_state{model="$model"} == 2',
        "Breach of {{rule}}",
        "the rule {{rule}} was in breach for as long as the mark is wide",
        RED,
    ),
    Mark(
        "Rollbacks",
        'kedge_rollback_state{model="$model", state=~"ACTING|VERIFYING"} == 1',
        "Rollback: {{state}}",
        "steps were being done (ACTING), or their effect was being looked at (VERIFYING)",
        ORANGE,
    ),
    Mark(
        "Rollbacks that ended",
        'sum by (model, outcome) (increase(kedge_rollbacks_total{model="$model"}[1m])) > 0',
        "Rollback {{outcome}}",
        "a rollback ended so within the minute before",
        ORANGE,
    ),
)


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard.

    Parameters
    ----------
    name
        Of the file and, after ``kedge-``, of the uid: neither ever changes.
    rows
        (Title, panels) pairs; panels stand from left to right, 24 cells a line.
    """

    name: str
    title: str
    text: str
    rows: Sequence[tuple[str, Sequence[Panel]]]
    choices: Sequence[Choice] = (MODEL,)
    marks: Sequence[Mark] = MARKS

    @property
    def uid(self) -> str:
        """What links and bookmarks name it by."""
        return f"kedge-{self.name}"

    def to_json(self) -> dict[str, Any]:
        """Return it in Grafana's JSON, without the id of a database, to be loaded anywhere."""
        board = (
            Dashboard(self.title)
            .uid(self.uid)
            .description(self.text)
            .tags([TAG])
            .editable()
            .refresh("30s")
            .time("now-3h", "now")
            .timezone("browser")
            .tooltip(models.DashboardCursorSync.CROSSHAIR)
            .link(_links())
            .with_variable(_source_variable())
        )
        for choice in self.choices:
            board.with_variable(_variable(choice))
        for mark in self.marks:
            board.annotation(_annotation(mark))
        for title, panels in self.rows:
            board.with_row(Row(title))
            for panel in panels:
                board.with_panel(panel)
        made: dict[str, Any] = json.loads(json.dumps(board.build(), cls=JSONEncoder))
        # What the SDK's type of an annotation does not know, and Grafana's Prometheus source asks.
        for mark, annotation in zip(self.marks, made["annotations"].get("list", []), strict=True):
            annotation["titleFormat"], annotation["textFormat"] = mark.title, mark.text
            annotation["step"] = "30s"
        for variable in made["templating"]["list"]:
            for key in _OF_INTERVALS:
                variable.pop(key, None)
        # Of panels, unique on their dashboard; the dashboard's own is its database's, and not ours.
        for number, panel in enumerate(made["panels"], start=1):
            panel["id"] = number
            # Tables have had no such option since Grafana 12.
            panel.get("options", {}).pop("footer", None)
        return made


def _links() -> DashboardLink:
    return (
        DashboardLink("Kedge")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(as_dropdown=False)
        .include_vars(include_vars=True)
        .keep_time(keep_time=True)
        .tooltip("The other dashboards, with the same model and the same time")
    )


def _source_variable() -> DatasourceVariable:
    return DatasourceVariable("datasource").label("Prometheus").type("prometheus")


def _variable(choice: Choice) -> QueryVariable:
    variable = (
        QueryVariable(choice.name)
        .label(choice.title)
        .datasource(SOURCE)
        .query({"query": choice.query, "refId": choice.name})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(choice.every)
        .include_all(choice.every)
    )
    if choice.every:
        variable.all_value(".*").current(models.VariableOption(text="All", value="$__all"))
    elif choice.first:
        variable.current(models.VariableOption(text=choice.first, value=choice.first))
    return variable


def _annotation(mark: Mark) -> AnnotationQuery:
    return (
        AnnotationQuery()
        .name(mark.name)
        .datasource(SOURCE)
        .enable(enable=True)
        .hide(hide=False)
        .icon_color(mark.color)
        .expr(mark.query)
    )
