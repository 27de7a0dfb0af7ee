"""The dashboard *Fleet*: every model that is watched, the worst ones first."""

from __future__ import annotations

from dashboards.board import Board, Choice
from dashboards.panels import About, Override, Panel, Query, grid, lines, states, tile
from dashboards.words import PHASES, VERDICTS

_RATE = "[$__rate_interval]"
_VERDICT = (
    'max by (model) (kedge_rule_state{model=~"$model"} < 3)'
    ' or max by (model) (kedge_rule_state{model=~"$model"})'
)
_MODELS = Choice("model", "Models", "label_values(kedge_predictions_total, model)", every=True)
_OPEN = "/d/kedge-model?var-model=${__value.text}&${datasource:queryparam}&${__url_time_range}"


def _count(title: str, text: str, state: int, color: str) -> Panel:
    return tile(
        About(title, text, width=4, height=4),
        Query(f"count(({_VERDICT}) == {state}) or vector(0)"),
        color=color,
    )


def _counts() -> list[Panel]:
    gone = (
        "count(max by (job, instance) (max_over_time(kedge_build_info[1h]))"
        " unless on (job, instance) kedge_build_info) or vector(0)"
    )
    stuck = 'kedge_rollback_state{model=~"$model", state=~"ESCALATED|CONTESTED"} == 1'
    return [
        _count("In breach", "Models with a rule in breach.", 2, "red"),
        _count(
            "Suspect",
            "Models with a rule that has seen something, and none in breach.",
            1,
            "yellow",
        ),
        _count("Unknown", "Models of which no rule can say anything.", 3, "#8e8e8e"),
        _count("OK", "Models all of whose rules that can decide say so.", 0, "green"),
        tile(
            About(
                "Need a person",
                "Models whose rollback was escalated or contested.",
                width=4,
                height=4,
            ),
            Query(f"count({stuck}) or vector(0)"),
            color="red",
        ),
        tile(
            About(
                "Kedges gone",
                "Kedges that were scraped within the last hour and are not any more. Pods that "
                "were replaced are among them.",
                width=4,
                height=4,
            ),
            Query(gone),
            color="orange",
        ),
    ]


def _table() -> Panel:
    return grid(
        About("Models", "One line a model; a click on its name opens it.", width=24, height=10),
        Query(f"sort_desc({_VERDICT})"),
        Query('max by (model, state) (kedge_rollback_state{model=~"$model"} == 1)'),
        Query('sum by (model) (rate(kedge_predictions_total{model=~"$model", status!="0"}[5m]))'),
        Query('max by (model) (kedge_window_error_ratio{model=~"$model"})'),
        Query('max by (model) (kedge_window_latency_seconds{model=~"$model", percentile="99"})'),
        Query('max by (model) (kedge_model_age_seconds{model=~"$model"})'),
        names={
            "model": "Model",
            "Value #A": "Verdict",
            "state": "Kedge",
            "Value #C": "Requests a second",
            "Value #D": "Failed",
            "Value #E": "p99",
            "Value #F": "Registered ago",
        },
        overrides={
            "Model": Override(link=_OPEN),
            "Verdict": Override(words=VERDICTS),
            "Kedge": Override(words=PHASES),
            "Requests a second": Override(unit="reqps"),
            "Failed": Override(unit="percentunit"),
            "p99": Override(unit="s"),
            "Registered ago": Override(unit="s"),
        },
    )


BOARD = Board(
    name="fleet",
    title="Kedge / Fleet",
    text="Every model that Kedge watches: which is in trouble, and which Kedge cannot tell.",
    choices=(_MODELS,),
    marks=(),
    rows=(
        ("Now", [*_counts(), _table()]),
        (
            "Lately",
            [
                states(
                    About(
                        "Verdicts",
                        "The worst of a model's rules that can decide; unknown where none can.",
                        width=24,
                        height=9,
                    ),
                    Query(_VERDICT, "{{model}}"),
                    words=VERDICTS,
                ),
                lines(
                    About("Requests", "Requests a second, by model.", unit="reqps"),
                    Query(
                        'sum by (model) (rate(kedge_predictions_total{model=~"$model", status!="0"}'
                        f"{_RATE}))",
                        "{{model}}",
                    ),
                ),
                lines(
                    About("Rollbacks", "Rollbacks that ended within the hour before, by outcome."),
                    Query(
                        'sum by (model, outcome) (increase(kedge_rollbacks_total{model=~"$model"}'
                        "[1h])) > 0",
                        "{{model}} {{outcome}}",
                    ),
                ),
            ],
        ),
    ),
)
