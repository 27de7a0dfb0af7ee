"""The dashboard asks only for what Kedge exports, and stands in the tree as the code makes it."""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import Any

import pytest

from dashboards.model import dashboard
from monitor.metrics import Metrics

EXPRESSIONS = [
    (panel["title"], target["expr"])
    for panel in dashboard()["panels"]
    for target in panel["targets"]
]


def exported() -> set[str]:
    """Sample names of every metric, as Prometheus sees them."""
    metrics = Metrics(columns_max=1, versions_max=1)
    names = set()
    for family in metrics.registry.collect():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
        names |= {family.name + suffix for suffix in suffixes.get(family.type, [""])}
    return names


def metric_names(expression: str) -> set[str]:
    return set(re.findall(r"\bkedge_[a-z_]+", expression))


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_every_query_names_a_metric_that_kedge_exports(title: str, expression: str) -> None:
    names = metric_names(expression)

    assert names
    assert names <= exported()


def test_every_variable_asks_for_an_exported_metric() -> None:
    queries = [
        variable["query"]["query"]
        for variable in dashboard()["templating"]["list"]
        if variable["type"] == "query"
    ]

    assert queries
    assert all(metric_names(query) <= exported() for query in queries)


def test_the_json_beside_the_code_is_what_the_code_makes() -> None:
    text = (resources.files("dashboards") / "model.json").read_text()

    assert json.loads(text) == dashboard(), (
        "run: python -m dashboards.model > dashboards/model.json"
    )


def test_panels_do_not_overlap_and_each_has_a_unit_and_a_description() -> None:
    taken: set[tuple[int, int]] = set()

    for panel in dashboard()["panels"]:
        cells = cells_of(panel["gridPos"])
        assert not cells & taken
        taken |= cells
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]


def cells_of(place: dict[str, Any]) -> set[tuple[int, int]]:
    return {
        (x, y)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    }


def test_no_panel_carries_a_database_id() -> None:
    assert all("id" not in panel for panel in dashboard()["panels"])
    assert "id" not in dashboard()
