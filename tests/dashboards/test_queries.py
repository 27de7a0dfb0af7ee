"""Every query of every panel, asked of a real Prometheus that scraped real Kedges under load."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.dashboards.boards import NAMES, queries, variables
from tests.dashboards.under_load import MODEL, Prometheus, lived
from tests.monitor import shadowing
from tests.monitor.alerting_servers import PROMETHEUS, program
from tests.monitor.daemon import Kedge

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(program(PROMETHEUS) is None, reason="not installed: prometheus"),
]

#: What is chosen on the dashboards. Scrapes are a second apart, so a rate over ten has enough.
CHOSEN = {
    "model": MODEL,
    "version": ".*",
    "column": "prediction",
    "metric": "psi",
    "instance": ".*",
    "__rate_interval": "10s",
    "__range": "10m",
}

#: Queries that have nothing to answer here, by a part of the query, and why.
SILENT: Mapping[str, str] = {
    "kedge_resource_cpu_limit_ratio": "the machine sets the process no limit",
    "kedge_resource_memory_limit_ratio": "the machine sets the process no limit",
    "kedge_resource_gpu": "the machine has no GPU",
    "kedge_resource_failures_total": "the process could be looked at",
    "kedge_late_events_total": "windows of a number of events have no late ones",
    "kedge_joined_events_total": "the log has each event in one piece",
    "kedge_unjoined_events_total": "the log has each event in one piece",
    "kedge_ignored_lines_total": "Kedge's own format has no lines to ignore",
    "kedge_limit_reached_total": "no limit was reached",
    "kedge_folded_labels_total": "no limit was reached",
    "kedge_http_refused_total": "no limit was reached",
    "kedge_reference_failures_total": "the reference does not come from the registry",
    "kedge_model_age_failures_total": "the registry answered",
    "kedge_seasonal_windows_total": "the reference has no season",
    "kedge_change_memory_dropped_total": "the daemon was not restarted",
    "kedge_lease_": "there is one Kedge for each model, without a lease",
}


@pytest.fixture(scope="module")
def seen(
    registry_uri: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Prometheus, Kedge]]:
    with lived(tmp_path_factory.mktemp("lived"), registry_uri) as found:
        yield found


def chosen(query: str, model: str) -> str:
    for name, value in (CHOSEN | {"model": model}).items():
        query = query.replace(f"${name}", value)
    assert "$" not in query
    return query


def model_of(name: str, where: str = "") -> str:
    """Return the model to choose; annotations mark what befell the one that was rolled back."""
    if "annotation" in where:
        return MODEL
    return {"shadow": shadowing.MODEL, "fleet": ".*"}.get(name, MODEL)


def tells(series: list[Mapping[str, Any]]) -> bool:
    """Whether anything is a number: only then a panel shows something."""
    points = [
        point for one in series for point in (one["values"] if "values" in one else [one["value"]])
    ]
    return any(not math.isnan(float(value)) for _, value in points)


@pytest.mark.parametrize("name", NAMES)
def test_every_query_is_answered_or_has_a_stated_reason_not_to_be(
    seen: tuple[Prometheus, Kedge], name: str
) -> None:
    server, _ = seen
    silent = []

    for where, query, _ in queries(name):
        # What is asked for one moment is asked for many here: a breach, for one, is over by now.
        asked = chosen(query, model_of(name, where))
        answer = server.lately(asked)
        if not tells(answer) and not any(part in query for part in SILENT):
            silent.append((where, asked))

    assert not silent


def test_no_reason_is_stated_for_a_query_that_is_answered(seen: tuple[Prometheus, Kedge]) -> None:
    server, _ = seen
    everything = [(name, *one) for name in NAMES for one in queries(name)]

    for part in SILENT:
        asking = [one for one in everything if part in one[2]]
        assert asking, part
        for name, where, query, _ in asking:
            asked = chosen(query, model_of(name, where))
            assert not tells(server.lately(asked)), asked


@pytest.mark.parametrize("name", NAMES)
def test_every_variable_has_values(seen: tuple[Prometheus, Kedge], name: str) -> None:
    server, _ = seen

    for variable, query in variables(name):
        metric, label = query.removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
        found = {one["metric"][label] for one in server.now(chosen(metric, model_of(name)))}
        assert found, variable


def test_the_page_passes_prometheus_own_check(seen: tuple[Prometheus, Kedge]) -> None:
    _, kedge = seen
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("not installed: promtool")

    checked = subprocess.run(
        [tool, "check", "metrics"],
        input=kedge.page("/metrics"),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_the_table_of_the_fleet_has_one_line_a_model(seen: tuple[Prometheus, Kedge]) -> None:
    server, _ = seen
    table = [query for where, query, _ in queries("fleet") if " / Models / " in where]

    lines: dict[str, int] = {}
    for query in table:
        for one in server.now(chosen(query, ".*")):
            lines[one["metric"]["model"]] = lines.get(one["metric"]["model"], 0) + 1

    assert set(lines) == {MODEL, shadowing.MODEL}
    assert max(lines.values()) <= len(table)


def test_the_alerts_that_fired_are_those_of_what_happened(
    seen: tuple[Prometheus, Kedge],
) -> None:
    server, _ = seen

    fired = server.lately('count by (alertname) (ALERTS{alertstate="firing"})')

    names = {one["metric"]["alertname"] for one in fired}
    assert names >= {"KedgeBreach", "KedgeDrift", "KedgeRollbackRefused"}
    assert not names & {"KedgeDown", "KedgeNoData", "KedgeBlind", "KedgeStoreFails"}
    assert not names & {"KedgeRollbackFailed", "KedgeRollbackContested"}


def test_the_first_row_of_the_model_tells_what_happened(seen: tuple[Prometheus, Kedge]) -> None:
    server, _ = seen
    by_panel = {where.split(" / ")[1]: query for where, query, _ in queries("model")}

    (last,) = server.now(chosen(by_panel["Last rollback"], MODEL))
    (doing,) = server.now(chosen(by_panel["Kedge"], MODEL))
    (serves,) = server.now(chosen(by_panel["Serves now"], MODEL))

    assert last["metric"]["outcome"] == "resolved"
    assert doing["metric"]["state"] == "HELD"
    assert serves["metric"]["version"] == "1"
