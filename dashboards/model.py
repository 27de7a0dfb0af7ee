"""The dashboard *Kedge / Model*, as code: one model's service, drift, rules and rollbacks.

``python -m dashboards.model`` prints the JSON that stands beside this file as ``model.json``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

UID = "kedge-model"
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH = 24
_ROW_HEIGHT = 8

#: Every series of the chosen model and version.
_CHOSEN = 'model="$model", version=~"$version"'


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture.

    Parameters
    ----------
    queries
        (PromQL, legend) pairs.
    unit
        Grafana's name of the unit.
    """

    title: str
    text: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 12


PANELS = (
    Panel(
        "Rules",
        "0 ok, 1 suspect, 2 breach, 3 unknown",
        [('kedge_rule_state{model="$model"}', "{{rule}}")],
        kind="state-timeline",
        width=16,
    ),
    Panel(
        "Rollback",
        "The state that holds",
        [('kedge_rollback_state{model="$model"} == 1', "{{state}}")],
        kind="stat",
        width=8,
    ),
    Panel(
        "Requests a second, by version",
        "From the counted predictions; further rows of a request (status 0) left out",
        [
            (
                f'sum by (version) (rate(kedge_predictions_total{{{_CHOSEN}, status!="0"}}[1m]))',
                "{{version}}",
            )
        ],
        unit="reqps",
    ),
    Panel(
        "Failed requests",
        "Share of requests with a status of 400 and above, in the last closed window",
        [(f"kedge_window_error_ratio{{{_CHOSEN}}}", "{{version}}")],
        unit="percentunit",
    ),
    Panel(
        "Latency percentiles",
        "Of the last closed window",
        [(f"kedge_window_latency_seconds{{{_CHOSEN}}}", "{{version}} p{{percentile}}")],
        unit="s",
    ),
    Panel(
        "Latency, 99 % over five minutes",
        "From the histogram",
        [
            (
                (
                    "histogram_quantile(0.99, sum by (version, le) "
                    f"(rate(kedge_prediction_latency_seconds_bucket{{{_CHOSEN}}}[5m])))"
                ),
                "{{version}}",
            )
        ],
        unit="s",
    ),
    Panel(
        "Drift of the prediction",
        "Statistic with its confidence bounds, and the threshold that the bound is compared with",
        [
            (f'kedge_drift_statistic{{{_CHOSEN}, column="prediction"}}', "{{metric}} {{version}}"),
            (f'kedge_drift_low{{{_CHOSEN}, column="prediction"}}', "{{metric}} {{version}} low"),
            (f'kedge_drift_high{{{_CHOSEN}, column="prediction"}}', "{{metric}} {{version}} high"),
            ('kedge_drift_threshold{model="$model", column="prediction"}', "{{metric}} threshold"),
        ],
    ),
    Panel(
        "Ten columns that drifted most",
        "Lower confidence bound of PSI: what is proven, not what was seen",
        [(f'topk(10, kedge_drift_low{{{_CHOSEN}, metric="psi"}})', "{{column}} {{version}}")],
    ),
    Panel(
        "Missing values",
        "Share of missing values, by column",
        [(f"kedge_missing_ratio{{{_CHOSEN}}}", "{{column}} {{version}}")],
        unit="percentunit",
    ),
    Panel(
        "Events in a window",
        "A window with too few events is unknown, and never acts",
        [(f"kedge_window_events{{{_CHOSEN}}}", "{{version}}")],
    ),
    Panel(
        "Lines that were not used",
        "A second, by reason",
        [
            ("sum by (reason) (rate(kedge_rejected_events_total[5m]))", "{{reason}}"),
            ("sum(rate(kedge_late_events_total[5m]))", "late"),
            ("sum(rate(kedge_shed_events_total[5m]))", "shed"),
        ],
        unit="cps",
    ),
    Panel(
        "How far behind",
        "Age of the newest counted event, and what stands unread",
        [
            ("kedge_ingest_lag_seconds", "{{source}} age"),
        ],
        unit="s",
    ),
    Panel(
        "Rollbacks and refusals",
        "Since the daemon started",
        [
            ('kedge_rollbacks_total{model="$model"}', "{{outcome}}"),
            ('kedge_gate_refusals_total{model="$model"}', "refused: {{gate}}"),
        ],
    ),
    Panel(
        "Commits",
        "Transactions a second, by outcome",
        [("sum by (outcome) (rate(kedge_store_commits_total[5m]))", "{{outcome}}")],
        unit="cps",
    ),
)


def dashboard() -> dict[str, Any]:
    """Return the dashboard in Grafana's JSON: stable uid, data source as a variable, no ids."""
    return {
        "uid": UID,
        "title": "Kedge / Model",
        "description": "One model: what it serves, whether it drifted, and what Kedge did.",
        "tags": ["kedge"],
        "schemaVersion": 41,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "utc",
        "templating": {"list": _variables()},
        "panels": _placed(PANELS),
    }


def _variables() -> list[dict[str, Any]]:
    return [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
        _label_variable("model", "label_values(kedge_window_events, model)", multi=False),
        _label_variable(
            "version", 'label_values(kedge_window_events{model="$model"}, version)', multi=True
        ),
    ]


def _label_variable(name: str, query: str, *, multi: bool) -> dict[str, Any]:
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 3,
        "multi": multi,
        "includeAll": multi,
    }


def _placed(panels: Sequence[Panel]) -> list[dict[str, Any]]:
    """Set panels in rows from left to right, as many as fit."""
    placed, x, y = [], 0, 0
    for panel in panels:
        if x + panel.width > _WIDTH:
            x, y = 0, y + _ROW_HEIGHT
        place = {"x": x, "y": y, "w": panel.width, "h": _ROW_HEIGHT}
        placed.append(_panel(panel, place))
        x += panel.width
    return placed


def _panel(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, **_mappings(panel)}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": expr, "legendFormat": legend}
            | {"datasource": _SOURCE}
            for index, (expr, legend) in enumerate(panel.queries)
        ],
        **({"options": {"textMode": "name"}} if panel.kind == "stat" else {}),
    }


def _mappings(panel: Panel) -> dict[str, Any]:
    if panel.kind != "state-timeline":
        return {}
    states = (("ok", "green"), ("suspect", "yellow"), ("breach", "red"), ("unknown", "gray"))
    options = {
        str(number): {"text": text, "color": color, "index": number}
        for number, (text, color) in enumerate(states)
    }
    return {"mappings": [{"type": "value", "options": options}], "color": {"mode": "fixed"}}


if __name__ == "__main__":
    json.dump(dashboard(), sys.stdout, indent=2)
    sys.stdout.write("\n")
