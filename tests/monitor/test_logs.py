"""The log: plain for people, in the Elastic Common Schema for machines, with the API's ids."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from collectors import log_output
from collectors.log_output import LogFormat
from monitor.deciding.deciding import Reporter
from monitor.metrics.catalogue import Metrics
from monitor.store.queries import Filter, Queries
from monitor.store.store import Store
from rollback.record import Outcome, Phase, RollbackRecord, StepRecord, Transition
from tests.monitor.daemon import Kedge, eventually, running
from tests.monitor.events import append, events, lines
from tests.monitor.test_daemon import BEGIN, PREDICTION_RULE, configuration, rule

CANARY = "canary-7d1f"
log = logging.getLogger("kedge.test")


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The loggers and the environment that `configure` changes, given back."""
    ours = logging.getLogger("kedge")
    before = ours.handlers[:], ours.level, ours.propagate
    for name in (log_output.FORMAT_VARIABLE, log_output.LEVEL_VARIABLE, "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.setenv(name, "")
    yield
    ours.handlers[:], ours.level, ours.propagate = before


def written(format_: LogFormat, *, level: log_output.LogLevel = "info") -> io.StringIO:
    stream = io.StringIO()
    log_output.configure(format_, level, stream=stream)
    return stream


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def fail(*, password: str) -> None:
    raise ValueError(f"it has {len(password)} characters")


def actions(text: str, beginning: str) -> list[dict[str, Any]]:
    return [one for one in objects(text) if one["event"].get("action", "").startswith(beginning)]


def test_a_line_for_machines_has_the_names_of_the_elastic_common_schema() -> None:
    stream = written("ecs")

    log.warning("two\nlines of %s", "ä", extra={"event.action": "hold", "kedge.incident.id": 4})

    (line,) = stream.getvalue().splitlines()
    found = json.loads(line)
    assert list(found)[:3] == ["@timestamp", "log.level", "message"]
    assert found["@timestamp"].endswith("Z")
    assert (found["log.level"], found["message"]) == ("warning", "two\nlines of ä")
    assert found["ecs.version"].count(".") == 2
    assert found["log"] == {"logger": "kedge.test"}
    assert found["event"] == {"action": "hold", "dataset": "kedge.log"}
    assert found["service"] == {"name": "kedge"}
    assert found["kedge"] == {"incident": {"id": 4}}


def test_an_error_for_machines_has_its_type_message_and_trace() -> None:
    stream = written("ecs")

    try:
        int("no such thing")
    except ValueError:
        log.exception("it failed")

    (found,) = objects(stream.getvalue())
    assert found["error"]["type"] == "ValueError"
    assert found["error"]["message"] == "invalid literal for int() with base 10: 'no such thing'"
    assert "test_logs.py" in found["error"]["stack_trace"]


def test_a_plain_line_is_one_line_with_time_level_logger_and_ids() -> None:
    stream = written("plain")

    log.info("column a\nb\x1b[31m", extra={"kedge.rollback.id": "r1", "event.action": "hold"})

    (line,) = stream.getvalue().splitlines()
    stamp, rest = line.split(" ", 1)
    assert stamp.endswith("Z")
    assert rest == r"[info     ] column a\nb\x1b[31m [kedge.test] rollback=r1"


def test_a_plain_traceback_shows_no_values() -> None:
    stream = written("plain")

    try:
        fail(password=CANARY)
    except ValueError:
        log.exception("it failed")

    assert "ValueError: it has 11 characters" in stream.getvalue()
    assert CANARY not in stream.getvalue()


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
    ids=["a file", "forced", "forbidden"],
)
def test_colours_in_a_file_are_asked_for_and_never_where_forbidden(
    variables: dict[str, str], *, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    stream = written("plain")

    log.info("hello")

    assert ("\x1b[" in stream.getvalue()) is coloured


@pytest.mark.parametrize(
    ("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)], ids=["as is", "NO_COLOR"]
)
def test_on_a_terminal_lines_are_plain_and_coloured(
    variables: dict[str, str], *, coloured: bool
) -> None:
    program = (
        "import logging; from collectors import log_output as o; o.configure(); "
        "logging.getLogger('kedge.x').info('hello')"
    )
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    outer, inner = pty.openpty()

    subprocess.run(
        [sys.executable, "-c", program], stderr=inner, check=True, env=kept | variables
        | {"TERM": "xterm"},
    )  # fmt: skip

    os.close(inner)
    said = os.read(outer, 10_000).decode()
    os.close(outer)
    assert "hello" in said
    assert not said.startswith("{")
    assert ("\x1b[" in said) is coloured


def test_a_level_leaves_out_what_is_less_grave_and_children_write_alike() -> None:
    stream = written("ecs", level="warning")

    log.info("not this")
    log.warning("this")
    inherited = dict(os.environ)

    assert [one["message"] for one in objects(stream.getvalue())] == ["this"]
    assert inherited["KEDGE_LOG_FORMAT"] == "ecs"
    program = (
        "import logging; from collectors import log_output as o; "
        "o.configure_alike(service='kedge-tap'); log = logging.getLogger('kedge.tap'); "
        "log.info('not this'); log.error('that')"
    )
    child = subprocess.run(
        [sys.executable, "-c", program], check=True, env=inherited, capture_output=True, text=True
    )
    (found,) = objects(child.stderr)
    assert (found["message"], found["service"]["name"]) == ("that", "kedge-tap")


def test_lines_for_machines_need_no_structlog_and_no_rich() -> None:
    program = (
        "import sys; from collectors import log_output as o; o.configure('ecs'); "
        "print(sorted({'structlog', 'rich'} & set(sys.modules)))"
    )

    ran = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )

    assert ran.stdout.strip() == "[]"


async def test_each_step_of_a_rollback_is_an_event_with_the_ids_of_the_api(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'kedge.db'}"
    store = Store.open(url)
    stream = written("ecs")

    async def keep(incidents: Sequence[dict[str, Any]]) -> None:
        store.add_incidents(incidents)

    reporter = Reporter("m", Metrics(columns_max=9, versions_max=9), keep)
    record = RollbackRecord(
        "r1", "m", "INTENDED", "psi", 1.0, 1.0, 99.0, from_version="3", to_version="2",
        steps=(StepRecord("alias"), StepRecord("traffic")), revision=3,
    )  # fmt: skip
    story: list[tuple[Phase, StepRecord, Outcome | None]] = [
        ("ACTING", StepRecord("alias", "doing", 1), None),
        ("VERIFYING", StepRecord("alias", "done", 1), None),
        ("RESOLVED", StepRecord("alias", "done", 1), "resolved"),
    ]
    before: Phase = "INTENDED"
    for phase, step, outcome in story:
        record = replace(
            record, state=phase, steps=(step, record.steps[1]), outcome=outcome,
            revision=record.revision + 1,
        )  # fmt: skip
        await reporter.changed(Transition("m", 2.0, before, phase, "so", None, "r1"), record)
        before = phase
    store.close()
    queries = Queries(url)
    incidents = queries.incidents(Filter(model="m"))
    queries.close()

    found = objects(stream.getvalue())
    assert [one["event"]["action"] for one in found] == [
        "rollback-acting", "rollback-verifying", "rollback-resolved",
    ]  # fmt: skip
    assert {one["kedge"]["rollback"]["id"] for one in found} == {"r1"}
    assert [one["kedge"]["incident"]["id"] for one in found] == [
        one["id"] for one in reversed(incidents)
    ]
    assert [one["event"]["id"] for one in found] == [str(one["id"]) for one in reversed(incidents)]
    assert found[0]["kedge"]["rollback"]["step"] == {
        "name": "alias", "state": "doing", "attempts": 1,
    }  # fmt: skip
    assert found[-1]["event"]["outcome"] == "success"
    assert (found[0]["kedge"]["version"], found[0]["kedge"]["rollback"]["to"]) == ("3", "2")


def breach(kedge: Kedge, file: Path) -> None:
    """Have the prediction's rule break, in windows after the reference."""
    append(file, lines(events(1_500, version="7", begins=BEGIN + 2_000, shift=30.0, seed=2)))
    eventually(lambda: rule(kedge) == "breach", what="the rule breaks")


@pytest.mark.real
def test_what_a_rule_does_is_an_event_with_the_id_of_its_incident(tmp_path: Path) -> None:
    file = tmp_path / "predictions.jsonl"
    append(file, lines(events(2_000, version="7", begins=BEGIN)))

    with running(configuration(tmp_path, more=PREDICTION_RULE)) as kedge:
        kedge.counted(2_000)
        breach(kedge, file)
        incidents = kedge.get("/api/v1/incidents")["incidents"]
        assert kedge.stop() == 0
        said = kedge.log.read_text()

    by_id = {one["kedge"]["incident"]["id"]: one for one in actions(said, "rule-")}
    assert incidents
    for incident in incidents:
        event = by_id[incident["id"]]
        about = event["kedge"]
        assert event["event"]["action"] == f"rule-{incident['kind']}"
        assert event["event"]["id"] == str(incident["id"])
        assert (about["rule"], about["model"], about["version"]) == ("prediction", "m", "7")
    windows = actions(said, "window-closed")
    assert {one["kedge"]["window"]["events"] for one in windows} == {100}


@pytest.mark.real
@pytest.mark.parametrize("format_", ["plain", "ecs"])
def test_no_secret_of_a_configuration_is_in_the_log_even_in_bad_weather(
    format_: str, tmp_path: Path
) -> None:
    # Nothing listens on port 1: the registry, the webhook and the mail server are all away.
    more = f"""
token = "{CANARY}-http"
{PREDICTION_RULE}
[rollback]
mode = "dry-run"

[[notify]]
type = "webhook"
url = "http://127.0.0.1:1/{CANARY}-hook"
secret = "{CANARY}-signs"

[[notify]]
type = "email"
host = "127.0.0.1"
port = 1
sender = "k@example.com"
to = ["o@example.com"]
username = "k"
password = "{CANARY}-mail"

[log]
format = "{format_}"
level = "debug"
"""
    file = tmp_path / "predictions.jsonl"
    append(file, lines(events(2_000, version="7", begins=BEGIN)))
    config = configuration(tmp_path, more=more)
    config.write_text(
        config.read_text().replace(
            'name = "m"',
            f'name = "m"\ntracking_uri = "http://127.0.0.1:1"\ntoken = "{CANARY}-registry"',
        )
    )

    with running(config) as kedge:
        kedge.counted(2_000)
        breach(kedge, file)
        asked = urllib.request.Request(  # the right token, and a hold that it allows
            f"{kedge.url}/api/v1/holds",
            data=b'{"model": "m", "for": "1h", "reason": "to see"}',
            headers={"Authorization": f"Bearer {CANARY}-http", "Content-Type": "application/json"},
        )
        for token in (f"{CANARY}-http", f"{CANARY}-wrong"):
            asked.add_header("Authorization", f"Bearer {token}")
            try:
                urllib.request.urlopen(asked, timeout=30).close()
            except urllib.error.HTTPError as error:
                error.close()
        eventually(lambda: "was not told of" in kedge.log.read_text(), what="a notice fails")
        kedge.stop()
        said = kedge.log.read_text()

    assert "hold" in said
    assert CANARY not in said
