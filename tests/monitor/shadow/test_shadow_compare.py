"""`kedge shadow compare`: two versions over a log, from its answers or scored again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.monitor.shadowing import configuration, live_events, write

pytestmark = pytest.mark.real

RULE = """
[[rules]]
name = "challenger-differs"
metric = "shadow_disagreement"
above = 0.2
for = "1 of 1"
"""


def compare(config: Path, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "monitor.cli", "shadow", "compare", "-c", str(config)),
            *(str(config.parent / "old.jsonl"), *arguments),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == status, done.stderr
    return done


def measured(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["metric"]: one for one in found["measurements"]}


def shadow_answers(events: list[dict[str, Any]], *, differing: int) -> list[dict[str, Any]]:
    """Return what version 2 answered to the same, the last `differing` of them otherwise."""
    keeps = len(events) - differing
    return [
        event
        | {"version": "2", "role": "shadow", "latency_ms": 9.0}
        | {"prediction": event["prediction"] if i < keeps else 1 - event["prediction"]}
        for i, event in enumerate(events)
    ]


def test_answers_that_stand_in_the_log_are_paired_by_id(tmp_path: Path) -> None:
    config = configuration(tmp_path, "http://127.0.0.1:1", 'version = "2"', RULE)
    events = live_events(200)
    write(tmp_path / "old.jsonl", events)
    write(tmp_path / "old.jsonl", shadow_answers(events[:180], differing=90))
    labels = [{"id": e["id"], "label": e["prediction"], "ts": e["ts"] + 60} for e in events]
    write(tmp_path / "old.jsonl", labels)

    found = json.loads(compare(config, "--live", "1", "--shadow", "2", "--json").stdout)

    assert (found["live"], found["shadow"], found["scored"], found["pairs"]) == ("1", "2", [], 180)
    assert found["rows"]["unpaired"] == 20
    figures = measured(found)
    assert figures["shadow_disagreement"]["value"] == 0.5
    assert figures["shadow_accuracy_difference"]["value"] == -0.5
    assert figures["shadow_latency_p50"]["value"] == pytest.approx(9, rel=0.02)
    assert found["summary"]["verdict"] == "apart"
    assert len(found["windows"]) == 9
    assert [one["rule"] for one in found["fired"]] == ["challenger-differs"]
    verdicts = [one["rules"][0]["verdict"] for one in found["windows"]]
    assert verdicts == ["unknown"] * 4 + ["breach"] * 5


def test_a_rule_that_fires_is_the_exit_status_where_asked(tmp_path: Path) -> None:
    config = configuration(tmp_path, "http://127.0.0.1:1", 'version = "2"', RULE)
    events = live_events(100)
    write(tmp_path / "old.jsonl", events)
    write(tmp_path / "old.jsonl", shadow_answers(events, differing=100))
    versions = ("--live", "1", "--shadow", "2")

    done = compare(config, *versions, "--fail-on-breach", status=3)

    assert "verdict: apart" in done.stdout
    assert "fired: challenger-differs" in done.stdout
    compare(config, *versions)


def test_a_version_that_is_not_in_the_log_scores_what_was_logged(
    tmp_path: Path, registry_uri: str
) -> None:
    config = configuration(tmp_path, registry_uri, 'version = "2"')
    write(tmp_path / "old.jsonl", live_events(300))
    versions = ("--live", "1", "--json", "--shadow")

    opposite = json.loads(compare(config, *versions, "2").stdout)
    same = json.loads(compare(config, *versions, "3", "--sampling", "0.5").stdout)

    assert (opposite["scored"], opposite["pairs"]) == (["2"], 300)
    assert measured(opposite)["shadow_disagreement"]["value"] == 1.0
    assert "shadow_latency_p50" not in measured(opposite)
    assert same["scored"] == ["3"]
    assert 100 < same["pairs"] < 200
    assert measured(same)["shadow_disagreement"]["value"] == 0.0
    assert same["summary"]["verdict"] == "alike"


def test_both_versions_are_loaded_where_the_log_is_of_a_third(
    tmp_path: Path, registry_uri: str
) -> None:
    config = configuration(tmp_path, registry_uri, 'version = "2"')
    write(tmp_path / "old.jsonl", live_events(100, version="9"))

    found = json.loads(compare(config, "--live", "1", "--shadow", "2", "--json").stdout)

    assert found["scored"] == ["1", "2"]
    assert found["pairs"] == 100
    assert measured(found)["shadow_disagreement"]["value"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--live", "1", "--shadow", "1"), "expected another version"),
        (("--live", "1"), "Missing option '--shadow'"),
    ],
)
def test_wrong_use_is_told(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    config = configuration(tmp_path, "http://127.0.0.1:1", 'version = "2"')
    write(tmp_path / "old.jsonl", live_events(1))

    assert said in compare(config, *arguments, status=2).stderr


def test_a_version_that_cannot_be_loaded_is_told_in_a_line(tmp_path: Path) -> None:
    config = configuration(tmp_path, "http://127.0.0.1:1", 'version = "2"')
    write(tmp_path / "old.jsonl", live_events(5))

    done = compare(config, "--live", "1", "--shadow", "2", status=1)

    assert done.stderr.startswith("kedge: cannot serve models:/scoring-plain/2")


def test_a_log_without_ids_or_features_is_told(tmp_path: Path) -> None:
    config = configuration(tmp_path, "http://127.0.0.1:1", 'version = "2"')
    (tmp_path / "old.jsonl").write_text('{"nothing": 1}\n')

    done = compare(config, "--live", "1", "--shadow", "2", status=1)

    assert "hold no predictions" in done.stderr
