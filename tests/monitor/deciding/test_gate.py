"""A challenger passes the gate by what is known of it, and never by what is not."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from detectors.rules.rule import Judged, RuleState
from monitor.cli import cli
from monitor.store.remembering import say_to_store
from monitor.store.store import Change, Store, WindowRow
from rollback.observation import VersionQuarantined

CONFIGURATION = """
[model]
name = "flight"
tracking_uri = "http://127.0.0.1:1"
[[collect]]
type = "tail"
path = "predictions.jsonl"
[reference]
from = "first"
events = 1000
[store]
url = "{url}"
[[rules]]
name = "errors"
metric = "error_ratio"
above = 0.05
[[rules]]
name = "drift"
metric = "psi"
column = "prediction"
above = 0.25
"""


def gate(folder: Path, *options: str) -> Result:
    arguments = ["gate", "flight", "--challenger", "8", "-c", str(folder / "kedge.toml"), *options]
    return CliRunner().invoke(cli, arguments, standalone_mode=False)


def state(name: str, ends: float) -> Mapping[str, Any]:
    verdict = {"suspect": "breach"}.get(name, name)
    return RuleState((Judged(verdict, verdict == "ok", ends),), name).to_json()  # type: ignore[arg-type]  # one of the four


def known(
    folder: Path, url: str, states: Mapping[str, str], *, windows: int = 3, age_s: float = 60.0
) -> None:
    """A store with rules that stand so with version 8, and windows of it."""
    (folder / "kedge.toml").write_text(CONFIGURATION.format(url=url))
    ends = time.time() - age_s
    rows = [
        WindowRow(
            {
                "model": "flight",
                "version": "8",
                "begins": ends - 60 * (i + 1),
                "ends": ends - 60 * i,
            }
            | dict.fromkeys(("events", "requests", "errors", "rejected", "late"), 0),
            (),
        )
        for i in range(windows)
    ]
    rules = {(rule, "8"): state(said, ends) for rule, said in states.items()}
    others = {("errors", "7"): state("ok", ends), ("drift", "7"): state("breach", ends)}
    store = Store.open(url)
    store.commit(Change(rules={**rules, **others}, windows=rows))
    store.close()


def test_a_challenger_whose_rules_say_ok_passes(tmp_path: Path, url: str) -> None:
    known(tmp_path, url, {"errors": "ok", "drift": "ok"})

    result = gate(tmp_path)

    assert result.return_value == 0, result.output
    assert "ok    rule errors: ok" in result.output
    assert "ok    3 of 3 windows within 86400 s" in result.output


@pytest.mark.parametrize("said", ["breach", "suspect", "unknown"])
def test_one_rule_that_does_not_say_ok_is_enough(
    tmp_path: Path, sqlite_url: str, said: str
) -> None:
    known(tmp_path, sqlite_url, {"errors": "ok", "drift": said})

    result = gate(tmp_path)

    assert result.return_value == 1
    assert f"FAIL  rule drift: {said}" in result.output
    assert gate(tmp_path, "--rule", "errors").return_value == 0


def test_a_version_that_nothing_is_known_of_does_not_pass(tmp_path: Path, sqlite_url: str) -> None:
    known(tmp_path, sqlite_url, {}, windows=0)

    result = gate(tmp_path, "--json")

    told = json.loads(result.output)
    assert result.return_value == 1
    assert told["passed"] is False
    assert [reason["detail"] for reason in told["reasons"]] == [
        "no rule was judged for version 8",
        "0 of 3 windows within 86400 s",
    ]


def test_a_rule_that_is_named_must_have_been_judged(tmp_path: Path, sqlite_url: str) -> None:
    known(tmp_path, sqlite_url, {"errors": "ok"})

    unjudged, unknown = gate(tmp_path, "--rule", "drift"), gate(tmp_path, "--rule", "shadow")

    assert (unjudged.return_value, unknown.return_value) == (1, 1)
    assert "FAIL  rule drift: was not judged for version 8" in unjudged.output
    assert "FAIL  rule shadow: is not in the configuration" in unknown.output


def test_what_a_rule_said_long_ago_does_not_count(tmp_path: Path, sqlite_url: str) -> None:
    known(tmp_path, sqlite_url, {"errors": "ok"}, age_s=7200)

    late = gate(tmp_path, "--within", "1h")

    assert late.return_value == 1
    assert "FAIL  rule errors: ok, but its last window is too old" in late.output
    assert gate(tmp_path, "--within", "3h").return_value == 0


def test_too_few_windows_do_not_pass(tmp_path: Path, sqlite_url: str) -> None:
    known(tmp_path, sqlite_url, {"errors": "ok"}, windows=2)

    assert gate(tmp_path).return_value == 1
    assert gate(tmp_path, "--windows", "2").return_value == 0


def test_a_version_in_quarantine_does_not_pass(tmp_path: Path, sqlite_url: str) -> None:
    known(tmp_path, sqlite_url, {"errors": "ok"})
    now = time.time()
    word = VersionQuarantined("8", now + 60, "leaks memory")
    say_to_store(sqlite_url, "flight", word, now, config="kedge.toml")

    result = gate(tmp_path)

    assert result.return_value == 1
    assert "FAIL  version 8 is in quarantine: leaks memory" in result.output


def test_without_a_store_nothing_passes(tmp_path: Path, sqlite_url: str) -> None:
    (tmp_path / "kedge.toml").write_text(CONFIGURATION.format(url=sqlite_url))

    assert "has `kedge run` ever run?" in str(gate(tmp_path).exception)


def test_another_model_does_not_pass(tmp_path: Path, sqlite_url: str) -> None:
    known(tmp_path, sqlite_url, {"errors": "ok"})
    arguments = ["gate", "other", "--challenger", "8", "-c", str(tmp_path / "kedge.toml")]

    result = CliRunner().invoke(cli, arguments, standalone_mode=False)

    assert "is of the model 'flight', not of 'other'" in str(result.exception)
