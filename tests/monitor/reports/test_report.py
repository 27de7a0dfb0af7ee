"""A report says what the store or a replay says, in one file that asks for nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.report import BEGIN, GOAL_BYTES, MODEL, WINDOW_S, fill
from monitor.reports.facts import Facts, VersionFacts
from monitor.reports.from_store import stored_facts
from monitor.reports.page import html
from monitor.store import migrations
from tests.monitor.daemon import Kedge, eventually, running
from tests.monitor.events import append, events, lines
from tests.monitor.reading_html import Element, parsed
from tests.monitor.replay.test_replay import BEGIN as TRAFFIC_BEGIN
from tests.monitor.replay.test_replay import configuration
from tests.monitor.store.test_migrations import looking_in

#: A column of this name is counted; one with a double quote in it is not.
HOSTILE = "<script>alert(1)</script>'><img src=x onerror=alert(1)>"
WINDOWS = 'length = "20s"\nslide = "10s"\nlateness = "1s"'
DRIFT = """
[[rules]]
name = "any-drift"
metric = "drift"
columns = ["*"]
false_alarms = "1 per 30d"
"""


def kedge(*arguments: object, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "monitor.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done


def drifting(folder: Path) -> tuple[Path, Path, int]:
    """A configuration, and a log of version 7 that does well and of version 8 that drifts."""
    config = configuration(folder, windows=WINDOWS, more=DRIFT)
    log = folder / "predictions.jsonl"
    rows = [*events(9_000, version="7", begins=TRAFFIC_BEGIN)]
    rows += events(6_000, version="8", begins=TRAFFIC_BEGIN + 91, shift=2.0, seed=8)
    append(log, lines(iter(rows)).replace(b'"age"', json.dumps(HOSTILE).encode()))
    return config, log, len(rows)


def in_breach(measured: list[Mapping[str, Any]], metric: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for row in measured:
        if row["verdict"] == "breach" and row["metric"] == metric:
            found.setdefault(row["column"], []).append(row["value"])
    return found


def drifted_rows(page: Element) -> dict[str, Element]:
    summary = page.by_id("summary")
    tables = summary.all("table")
    rows = tables[0].all("tbody")[0].all("tr") if tables else []
    return {row.all("th")[0].text: row for row in rows}


def addresses(page: Element, style: str) -> set[str]:
    """Everything that a browser would load, or go to."""
    names = ("href", "src", "srcset", "action", "data", "poster", "xlink:href", "background")
    found = {one.attributes[name] for one in page.all() for name in names if name in one.attributes}
    return found | set(re.findall(r"url\([^)]*\)|@import[^;]*", style))


def is_plain(page: bytes) -> Element:
    """Check what holds of every report, and return it parsed."""
    root = parsed(page)
    assert root.all("script") == root.all("img") == root.all("link") == []
    assert not [
        n for one in root.all() for n in one.attributes if n.startswith("on") or n == "style"
    ]
    style = root.all("style")[0]
    assert all(address.startswith("#") for address in addresses(root, style.text))
    identities = [one.attributes["id"] for one in root.all() if "id" in one.attributes]
    assert len(identities) == len(set(identities))
    assert {a[1:] for a in addresses(root, style.text)} <= set(identities)
    policy = next(one for one in root.all("meta") if "http-equiv" in one.attributes)
    assert policy.attributes["content"].startswith("default-src 'none'; style-src 'sha256-")
    # Every picture has a name, and its numbers beside it.
    for figure in root.all("figure"):
        assert len(figure.all("table")) == 1
        assert all(one.attributes["aria-label"] for one in figure.all("svg"))
    return root


@pytest.mark.real
def test_a_report_of_a_running_daemon_says_what_its_api_says(tmp_path: Path) -> None:
    config, _, rows = drifting(tmp_path)
    out = tmp_path / "report.html"

    with running(config) as daemon:
        daemon.counted(rows)
        measured = every_window(daemon)
        fired = daemon.get("/api/v1/incidents")["incidents"]
        said = kedge("report", "-c", config, "--out", out).stdout
        kedge("report", "-c", config, "--out", out, "--version", "7", "--force")
        only_7 = is_plain(out.read_bytes())
        kedge("report", "-c", config, "--out", out, "--force")
    page = is_plain(out.read_bytes())

    drifted = in_breach(measured, "drift")
    assert set(drifted) >= {HOSTILE, "prediction"}
    assert set(drifted_rows(page)) == set(drifted)
    for name, values in drifted.items():
        assert drifted_rows(page)[name].figures[0] == pytest.approx(max(values), rel=1e-12)
    sentences = [one.text for one in page.by_id("summary").all("p")]
    assert any(one.startswith("Version 8: ") and "drifted, proven" in one for one in sentences)
    assert any(one.startswith("Version 7: ") and "did not drift" in one for one in sentences)
    assert "Nothing was rolled back." in sentences
    assert all(name in " ".join(sentences) for name in drifted)
    told = page.by_id("happened").text
    assert fired
    assert all(f"{one['rule']} {one['kind']}" in told for one in fired)
    assert re.search(r"wrote .*report\.html: \d+ windows, \d\.\d MB", said)
    assert drifted_rows(only_7) == {}
    assert "versions 7" not in only_7.text


def every_window(daemon: Kedge) -> list[Mapping[str, Any]]:
    """Wait until silence has closed the windows; return what was measured."""

    def settled() -> list[Mapping[str, Any]] | None:
        status = daemon.get("/api/v1/status")
        ends = [one["last_window_end"] for one in status["versions"]]
        closed = [one for one in ends if one and one >= "2026-03-04T10:02:50"]
        return daemon.get("/api/v1/measurements?limit=10000")["measurements"] if closed else None

    found = eventually(settled, what="the last window of version 8")
    assert found is not None
    return found


@pytest.mark.real
def test_a_report_of_a_replay_names_what_the_replay_found(tmp_path: Path) -> None:
    config, log, _ = drifting(tmp_path)
    out = tmp_path / "replay.html"

    done = kedge("replay", "-c", config, log, "--json", "--report", out, "--processes", 1)
    page = is_plain(out.read_bytes())

    said = json.loads(done.stdout)
    measured = [row for one in said["windows"] for row in one["measurements"]]
    drifted = in_breach(measured, "drift")
    assert set(drifted_rows(page)) == set(drifted) >= {HOSTILE, "prediction"}
    summary = page.by_id("summary").text
    assert f"In {len(said['windows'])} windows" in summary
    assert "nothing was rolled back" in summary
    # Each column that drifted stands beside its reference: bars of both, and their numbers.
    section = page.by_id(drifted_rows(page)["prediction"].all("a")[0].attributes["href"][1:])
    pictures = [one.attributes.get("class", "") for one in section.all("g")]
    assert {"series reference", "series current", "series line v0", "series threshold"} <= {
        *pictures
    }
    assert HOSTILE in page.by_id("columns").text
    assert "wrote" in done.stderr


@pytest.mark.slow
def test_a_hundred_columns_and_five_hundred_windows_stay_below_five_megabytes(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/kedge.db"
    fill(url, 100, 500)

    page = html(stored_facts(url, model=MODEL, length_s=500 * WINDOW_S))

    root = is_plain(page)
    assert len(page) < GOAL_BYTES
    assert len([one for one in root.all("article") if one.attributes["class"] == "column"]) == 100
    assert "500 windows in" in root.text
    assert ", each the worst of up to" in root.text


def test_a_report_begins_so_long_before_the_last_window_and_not_before_now(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/kedge.db"
    fill(url, 2, 20)

    facts = stored_facts(url, model=MODEL, length_s=4.5 * WINDOW_S)

    assert facts.windows == 5
    assert facts.versions[0].ends == BEGIN + 19 * WINDOW_S


def test_every_name_from_outside_is_text_and_nothing_else() -> None:
    hostile = f'"{HOSTILE}&quot;'
    record = {
        "id": hostile,
        "from": hostile,
        "to": hostile,
        "reason": hostile,
        "detail": hostile,
        "state": "ESCALATED",
        "outcome": "escalated",
        "created": BEGIN,
        "updated": BEGIN,
        "gates": [{"gate": "hold", "passed": True, "detail": hostile}],
        "steps": [{"step": hostile, "state": "done", "detail": hostile}],
    }
    incident = {
        "at": BEGIN,
        "kind": "confirmed",
        "rule": hostile,
        "version": hostile,
        "segment": hostile,
        "rollback": None,
        "evidence": {"column": hostile},
    }
    versions = [VersionFacts(hostile, windows=1, begins=BEGIN, ends=BEGIN + 1)]

    root = is_plain(
        html(Facts(hostile, hostile, BEGIN, versions, [incident], [record], notes=[hostile]))
    )

    assert root.all("h1")[0].text == hostile
    assert root.by_id("happened").text.count(hostile) >= 6


def test_a_store_without_windows_gives_a_report_that_says_so(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    out = tmp_path / "report.html"
    missing = kedge("report", "-c", config, "--out", out, status=1)
    migrations.upgrade(f"sqlite:///{tmp_path}/kedge.db")

    kedge("report", "-c", config, "--out", out)
    refused = kedge("report", "-c", config, "--out", out, status=1)

    assert "has `kedge run` ever run?" in missing.stderr
    assert "No window of m closed in this time" in is_plain(out.read_bytes()).text
    assert "exists; --force replaces it" in refused.stderr


def test_a_store_of_an_older_kedge_is_refused_with_the_command_to_type(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    with looking_in(f"sqlite:///{tmp_path}/kedge.db") as connection:
        migrations.migrate(connection, None, "0004")

    refused = kedge("report", "-c", config, "--out", tmp_path / "report.html", status=1)

    assert f"kedge db upgrade -c {config}" in refused.stderr
