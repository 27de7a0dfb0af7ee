"""`kedge init`: what it writes passes `kedge check`, whatever the log holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from collectors.tail.log_files import find
from monitor.cli import cli
from monitor.settings.initial_config import Seen, render
from monitor.settings.settings import EventSpan, TimeSpan, load
from tests.collectors.decoding import sample


def kedge(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(one) for one in arguments], standalone_mode=False)


def event(number: int, **more: object) -> str:
    features = {"age": 20 + number % 50, "plan": "gold" if number % 2 else "free"}
    line = {
        "ts": 1_772_618_400 + number * 0.1,
        "model": "flight-delay",
        "version": "7",
        "features": features,
        "prediction": number / 1000,
        **more,
    }
    return json.dumps(line) + "\n"


def test_without_a_log_it_writes_what_passes_check(tmp_path: Path) -> None:
    out = tmp_path / "kedge.toml"

    assert kedge("init", "--out", out).exception is None

    settings = load(out, {})
    assert settings.rollback.mode == "dry-run"
    assert settings.reference.origin == "first"


def test_with_a_log_it_fills_in_what_it_found(tmp_path: Path) -> None:
    log, out = tmp_path / "logs" / "p.jsonl", tmp_path / "kedge.toml"
    log.parent.mkdir()
    log.write_text("".join(event(i, latency_ms=10.0) for i in range(2_000)) + "{broken\n")

    result = kedge("init", "--from", log, "--out", out)

    settings, text = load(out, {}), out.read_text()
    assert result.stdout == (
        f"wrote {out}: 3 columns in 2,000 events; next: kedge check -c {out}\n"
    )
    assert settings.model.name == "flight-delay"
    assert settings.collect[0].settings.path == str(log)
    assert 'path = "logs/p.jsonl"' in text
    assert settings.windows.length == TimeSpan(300.0)  # 10 events a second, 1,000 a window
    assert next(rule.above for rule in settings.rules if rule.metric == "latency_p99") == 20.0
    for line in ("#   age         number", "#   plan        category", "#   prediction  number"):
        assert line in text
    assert "# 1 lines cannot be used: malformed." in text


def test_a_slow_log_gets_windows_of_events(tmp_path: Path) -> None:
    log, out = tmp_path / "p.jsonl", tmp_path / "kedge.toml"
    log.write_text(event(0) + event(0, ts=1_772_618_400 + 86_400))

    kedge("init", "--from", log, "--out", out)

    assert load(out, {}).windows.length == EventSpan(1_000)


def test_only_the_head_of_a_log_is_read(tmp_path: Path) -> None:
    log, out = tmp_path / "p.jsonl", tmp_path / "kedge.toml"
    log.write_text("".join(event(i) for i in range(10_000)) + event(0, features={"late": 1}))

    kedge("init", "--from", log, "--out", out)

    assert "late" not in out.read_text()


def test_the_parts_of_a_prediction_are_all_watched(tmp_path: Path) -> None:
    log, out = tmp_path / "p.jsonl", tmp_path / "kedge.toml"
    log.write_text("".join(event(i, prediction={"yes": 0.4, "no": 0.6}) for i in range(10)))

    kedge("init", "--from", log, "--out", out)

    assert set(load(out, {}).rules[0].columns) == {"prediction.yes", "prediction.no"}


def test_it_never_overwrites_unless_told_to(tmp_path: Path) -> None:
    out = tmp_path / "kedge.toml"
    out.write_text("precious")

    refused = kedge("init", "--out", out)

    assert "exists; --force replaces it" in str(refused.exception)
    assert out.read_text() == "precious"
    assert kedge("init", "--out", out, "--force").exception is None
    assert "precious" not in out.read_text()


@pytest.mark.parametrize("content", ["", "hello\n", '{"label": 1}\n', '[{"ts": 1}]\n'])
def test_a_log_without_events_says_what_an_event_is(tmp_path: Path, content: str) -> None:
    log, out = tmp_path / "p.jsonl", tmp_path / "kedge.toml"
    log.write_text(content)

    result = kedge("init", "--from", log, "--out", out)

    assert 'found no "kedge" event' in str(result.exception)
    assert not out.exists()


def test_times_without_a_zone_are_taken_as_utc_and_the_file_asks_for_theirs(
    tmp_path: Path,
) -> None:
    log, out = tmp_path / "data.log", tmp_path / "kedge.toml"
    log.write_bytes(sample("bentoml-data.log"))

    result = kedge("init", "--from", log, "--out", out)

    assert result.exit_code == 0, result.output
    written: Any = load(out, {}).collect[0].settings
    assert written.decoding.timezone == "UTC"
    assert "say theirs" in out.read_text()


def test_a_log_whose_name_looks_like_a_pattern_is_named_as_it_is(tmp_path: Path) -> None:
    log, out = tmp_path / "p [1].jsonl", tmp_path / "kedge.toml"
    log.write_text("".join(event(i) for i in range(10)))

    assert kedge("init", "--from", log, "--out", out).exit_code == 0

    written: Any = load(out, {}).collect[0].settings
    assert [found.path for found in find(written.path)] == [str(log)]


def test_an_unknown_format_is_wrong_use(tmp_path: Path) -> None:
    result = kedge("init", "--format", "kedeg", "--out", tmp_path / "kedge.toml")

    assert 'unknown format "kedeg", choose kedge' in str(result.exception)


@given(
    names=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=3),
    p99=st.floats(min_value=1e-6, max_value=1e9),
)
def test_any_names_make_a_configuration_that_loads(
    names: list[str], p99: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    model, part, version = names[:3]
    seen = Seen(
        model=model,
        versions=[version],
        columns={f"prediction.{part}": "number", part: "category"},
        latency_p99_ms=p99,
    )
    out = tmp_path_factory.mktemp("init") / "kedge.toml"

    out.write_text(render(seen, log="p.jsonl", log_format="kedge"), encoding="utf-8")

    if model.strip():
        settings = load(out, {})
        assert settings.model.name == model
        assert set(settings.rules[0].columns) == {f"prediction.{part}"}


def test_the_format_of_a_log_is_told_and_written(tmp_path: Path) -> None:
    log, out = tmp_path / "capture.jsonl", tmp_path / "kedge.toml"
    log.write_bytes(sample("sagemaker.jsonl"))

    result = kedge("init", "--from", log, "--out", out)

    assert result.exit_code == 0, result.output
    written = load(out, {})
    assert written.collect[0].settings.format == "sagemaker"
    assert "4 events" in result.output
