"""Dashboards ask only for what Kedge exports, show all of it, and can be loaded anywhere."""

from __future__ import annotations

import re

import pytest

from dashboards.every import BOARDS, text_of
from tests.dashboards.boards import (
    FOLDER,
    NAMES,
    Json,
    board,
    exported,
    metric_names,
    panels,
    queries,
    variables,
)

#: Metrics without a panel, and why.
WITHOUT_PANEL: dict[str, str] = {}

each = pytest.mark.parametrize("name", NAMES)


@each
def test_every_query_names_a_metric_that_kedge_exports(name: str) -> None:
    known = set().union(*exported().values())

    for where, expression, _ in queries(name):
        assert metric_names(expression), where
        assert metric_names(expression) <= known, where
    for variable, query in variables(name):
        assert metric_names(query), variable
        assert metric_names(query) <= known, variable


def test_every_metric_has_a_panel_or_a_stated_reason_to_have_none() -> None:
    shown = {
        metric
        for name in NAMES
        for panel in panels(name)
        for target in panel["targets"]
        for metric in metric_names(target["expr"])
    }

    hidden = {family for family, samples in exported().items() if not samples & shown}

    assert hidden == set(WITHOUT_PANEL)


@pytest.mark.parametrize("made", BOARDS, ids=lambda made: made.name)
def test_the_json_beside_the_code_is_what_the_code_makes(made: object) -> None:
    (one,) = [board for board in BOARDS if board is made]

    assert (FOLDER / f"{one.name}.json").read_text() == text_of(one), "run: python -m dashboards"


def test_each_dashboard_has_its_file_and_no_file_is_left_over() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == {one.name for one in BOARDS}
    assert {one.name for one in BOARDS} == set(NAMES)


@each
def test_uids_are_fixed_and_nothing_carries_the_id_of_a_database(name: str) -> None:
    made = board(name)
    numbers = [panel["id"] for panel in made["panels"]]

    assert made["uid"] == f"kedge-{name}"
    assert "id" not in made
    assert len(set(numbers)) == len(numbers)


@each
def test_panels_do_not_overlap_and_stay_in_the_grid(name: str) -> None:
    taken: set[tuple[int, int]] = set()

    for panel in board(name)["panels"]:
        cells = cells_of(panel["gridPos"])
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells


@each
def test_lines_of_panels_are_full_and_without_holes(name: str) -> None:
    taken = set().union(*(cells_of(panel["gridPos"]) for panel in board(name)["panels"]))

    rows = {y for _, y in taken}
    assert rows == set(range(max(rows) + 1))


def cells_of(place: Json) -> set[tuple[int, int]]:
    return {
        (x, y)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    }


@each
def test_each_panel_has_a_unit_a_description_and_words_for_no_answer(name: str) -> None:
    titles = [panel["title"] for panel in panels(name)]

    assert len(set(titles)) == len(titles)
    for panel in panels(name):
        assert len(panel["description"]) > 10, panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["noValue"], panel["title"]


@each
def test_the_data_source_is_a_variable_wherever_one_is_named(name: str) -> None:
    made = board(name)
    asking = [*panels(name), *(target for panel in panels(name) for target in panel["targets"])]
    asking += made.get("annotations", {}).get("list", [])
    asking += [one for one in made["templating"]["list"] if one["type"] == "query"]

    assert made["templating"]["list"][0]["type"] == "datasource"
    for one in asking:
        assert one["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@each
def test_every_variable_that_is_used_is_one_of_the_dashboard_or_of_grafana(name: str) -> None:
    known = {one["name"] for one in board(name)["templating"]["list"]}
    known |= {"__rate_interval", "__range"}
    asked = [query for _, query, _ in queries(name)] + [query for _, query in variables(name)]

    used = {word for query in asked for word in re.findall(r"\$\{?(\w+)", query)}

    assert used <= known
    assert {one for one in known if not one.startswith("__")} - used <= {"datasource"}


@each
def test_dashboards_link_to_each_other_and_keep_variables_and_time(name: str) -> None:
    (link,) = board(name)["links"]

    assert link["type"] == "dashboards"
    assert link["tags"] == board(name)["tags"] == ["kedge"]
    assert link["includeVars"]
    assert link["keepTime"]


def test_the_drift_of_a_column_is_beside_its_reference() -> None:
    (beside,) = [one for one in panels("drift") if one["type"] == "barchart"]

    assert [re.findall(r'of="(\w+)"', target["expr"]) for target in beside["targets"]] == [
        ["reference"],
        ["window"],
    ]


def test_links_in_tables_lead_to_dashboards_that_there_are() -> None:
    texts = [(FOLDER / f"{name}.json").read_text() for name in NAMES]

    found = {uid for text in texts for uid in re.findall(r'"/d/([\w-]+)\?', text)}

    assert found == {"kedge-model"}
    assert found <= {f"kedge-{name}" for name in NAMES}


def test_no_threshold_is_built_in_what_is_too_much_comes_from_the_metrics() -> None:
    for name in NAMES:
        for panel in panels(name):
            thresholds = panel["fieldConfig"]["defaults"].get("thresholds", {"steps": []})
            assert len(thresholds["steps"]) <= 1, panel["title"]


def test_the_first_row_of_the_model_says_what_since_when_where_and_what_was_done() -> None:
    first = [panel["title"] for panel in panels("model") if panel["gridPos"]["y"] == 1]

    assert first == [
        *("Verdict", "In breach for", "Columns that drifted", "Kedge", "Last rollback"),
    ]
