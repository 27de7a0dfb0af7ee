"""The dashboards as they stand in the tree, and what is asked of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dashboards
from monitor.metrics.catalogue import Metrics

FOLDER = Path(dashboards.__file__).parent
NAMES = ("fleet", "model", "drift", "shadow", "rollback", "itself")

#: A dashboard, or a part of one.
Json = dict[str, Any]


def board(name: str) -> Json:
    return dict(json.loads((FOLDER / f"{name}.json").read_text()))


def panels(name: str) -> list[Json]:
    return [panel for panel in board(name)["panels"] if panel["type"] != "row"]


def queries(name: str) -> Iterator[tuple[str, str, bool]]:
    """Yield where a query stands, its PromQL, and whether it is asked for one moment only."""
    for panel in panels(name):
        for target in panel["targets"]:
            where = f"{name} / {panel['title']} / {target['refId']}"
            yield where, target["expr"], bool(target.get("instant"))
    for mark in board(name).get("annotations", {}).get("list", []):
        yield f"{name} / annotation {mark['name']}", mark["expr"], False


def variables(name: str) -> Iterator[tuple[str, str]]:
    for variable in board(name)["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]


def metric_names(expression: str) -> set[str]:
    return set(re.findall(r"\bkedge_[a-z_0-9]+", expression))


def exported() -> dict[str, set[str]]:
    """Sample names of every metric, as Prometheus sees them, by the family's name."""
    metrics = Metrics(columns_max=1, versions_max=1)
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
    return {
        family.name: {family.name + suffix for suffix in suffixes.get(family.type, [""])}
        for family in metrics.registry.collect()
    }
