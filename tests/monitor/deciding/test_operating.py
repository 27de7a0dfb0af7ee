"""The operator's commands against a real daemon and a real registry."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from monitor.cli import cli
from monitor.demo.mlflow_server import free_port
from tests.collectors.registered import register
from tests.monitor.daemon import Kedge, eventually, running
from tests.monitor.test_whole_loop import alias, break_version_2, configuration, rollback

pytestmark = pytest.mark.real

TOKEN = "s3cret-canary"


def kedge(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(one) for one in arguments], standalone_mode=False)


def done(*arguments: object) -> str:
    result = kedge(*arguments)
    assert result.exception is None, result.exception
    assert not result.return_value, result.output
    return result.output


def configured(folder: Path, uri: str, model: str, mode: str = "act") -> Path:
    """The configuration of a daemon that takes changes, on a port that the commands can know."""
    path = configuration(folder, uri, model, mode)
    (folder / "token").write_text(TOKEN)
    text = path.read_text().replace(
        'listen = "127.0.0.1:0"', f'listen = "127.0.0.1:{free_port()}"\ntoken_file = "token"'
    )
    path.write_text(text)
    return path


@pytest.fixture
def held(tmp_path: Path, mlflow_uri: str, request: pytest.FixtureRequest) -> Path:
    """A configuration with three versions of a model of its own, 2 serving."""
    model = f"operated-{abs(hash(request.node.name))}"
    asyncio.run(register(mlflow_uri, model, 3, champion="2"))
    return configured(tmp_path, mlflow_uri, model)


def model_of(config: Path) -> str:
    return config.read_text().split('name = "')[1].split('"')[0]


def kinds(daemon: Kedge) -> list[str]:
    return [one["kind"] for one in daemon.get("/api/v1/incidents")["incidents"]]


def test_a_hold_stops_the_rollback_of_a_breach_and_outlives_a_restart(
    held: Path, mlflow_uri: str
) -> None:
    model = model_of(held)
    with running(held):
        said = done("hold", model, "--for", "4h", "--reason", "release day", "-c", held)
    with running(held) as daemon:
        break_version_2(daemon, held.parent / "predictions.jsonl")
        refused = rollback(daemon, "REFUSED")
        shown = done("status", "-c", held)
        status = daemon.get("/api/v1/status")
        page = daemon.page("/metrics")
        before = alias(mlflow_uri, model)
        done("resume", model, "-c", held, "--reason", "it is over")
        after = daemon.get("/api/v1/status")
        happened = kinds(daemon)

    assert f"{model} is held until 20" in said
    assert [g["gate"] for g in refused["gates"] if not g["passed"]] == ["hold"]
    assert before == "2"
    assert "release day" in shown
    (hold,) = status["holds"]
    assert hold["reason"] == "release day"
    assert hold["by"].endswith("from 127.0.0.1")
    assert hold["until"].endswith("Z")
    assert 'state="HELD"} 1.0' in page
    assert f'kedge_hold_until_timestamp_seconds{{model="{model}"}} 1.' in page
    assert after["holds"] == []
    assert {"hold", "resume", "refused"} <= set(happened)


def test_a_rollback_by_hand_goes_through_the_journal_to_the_named_version(
    held: Path, mlflow_uri: str
) -> None:
    model = model_of(held)
    with running(held) as daemon:
        rehearsed = done("rollback", model, "--reason", "to see", "--dry-run", "-c", held)
        between = alias(mlflow_uri, model)
        moved = done("rollback", model, "--to", "3", "--reason", "2 was a mistake", "-c", held)
        record = rollback(daemon, "VERIFYING")

    assert "would have moved version 2 to 1" in rehearsed
    assert between == "2"
    assert "moved from version 2 to 3; being verified" in moved
    assert alias(mlflow_uri, model) == "3"
    assert record["manual"]
    assert record["evidence"]["by"].endswith("from 127.0.0.1")


def test_a_rollback_by_hand_is_refused_by_a_hold_and_by_a_quarantine(held: Path) -> None:
    model = model_of(held)
    with running(held):
        done("quarantine", model, 1, "--reason", "leaks memory", "-c", held)
        unfit = kedge("rollback", model, "--to", 1, "--reason", "x", "-c", held)
        shown = done("status", "-c", held)
        done("bless", model, 1, "-c", held)
        done("hold", model, "--reason", "release day", "-c", held)
        stopped = kedge("rollback", model, "--to", 1, "--reason", "x", "-c", held)

    assert (unfit.return_value, stopped.return_value) == (1, 1)
    assert "REFUSED (gate quarantine): version 1 is in quarantine" in unfit.output
    assert "version 1 in quarantine until 20" in shown
    assert "leaks memory" in shown
    assert "REFUSED (gate hold): held: release day; `kedge resume` ends it" in stopped.output


def test_without_a_daemon_a_hold_goes_into_the_store_and_the_next_one_has_it(held: Path) -> None:
    model = model_of(held)

    said = done("hold", model, "--reason", "while it is down", "-c", held)
    with running(held) as daemon:
        (hold,) = daemon.get("/api/v1/status")["holds"]
        happened = kinds(daemon)

    assert "says the store " in said
    assert "no daemon answers at http://127.0.0.1:" in said
    assert hold["reason"] == "while it is down"
    assert "hold" in happened


def test_a_store_that_a_daemon_owns_is_not_written_past_it(held: Path) -> None:
    model = model_of(held)
    with running(held):
        elsewhere = held.with_name("elsewhere.toml")
        elsewhere.write_text(
            "\n".join(
                f'listen = "127.0.0.1:{free_port()}"' if line.startswith("listen") else line
                for line in held.read_text().splitlines()
            )
        )
        result = kedge("hold", model, "--reason", "x", "-c", elsewhere)

    assert "nothing was changed: another Kedge (process" in str(result.exception)


def test_a_rollback_needs_a_daemon_and_says_how_to_start_one(held: Path) -> None:
    result = kedge("rollback", model_of(held), "--reason", "x", "-c", held)

    assert "no daemon answers" in str(result.exception)
    assert "`kedge run` starts one" in str(result.exception)


def post(url: str, body: object) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_what_the_daemon_refuses_is_told_with_its_reason(held: Path) -> None:
    model = model_of(held)
    with running(held) as daemon:
        wrong = held.with_name("wrong")
        wrong.write_text("another")
        refused = kedge("hold", model, "--reason", "x", "--url", daemon.url, "--token-file", wrong)
        other = kedge("hold", "another-model", "--reason", "x", "-c", held)
        bodies = {
            "for": {"model": model, "reason": "x", "for": "soon"},
            "expected more than 0 s": {"model": model, "reason": "x", "for": -1},
            "at most": {"model": model, "reason": "x", "for": "1000d"},
            "not both": {"model": model, "reason": "x", "for": "1h", "until": 1},
            "until": {"model": model, "reason": "x", "until": "tomorrow"},
            "reason": {"model": model, "reason": " "},
            "unknown field": {"model": model, "reason": "x", "force": True},
        }
        answers = {said: post(f"{daemon.url}/api/v1/holds", body) for said, body in bodies.items()}
        held_by = daemon.get("/api/v1/status")["holds"]

    assert "401" in str(refused.exception)
    assert "Authorization: Bearer" in str(refused.exception)
    assert "no other model" in str(other.exception)
    for said, (status, problem) in answers.items():
        assert (status, said in problem["detail"]) == (400, True), (said, problem)
    assert held_by == []


def test_without_a_token_nothing_can_be_said(tmp_path: Path, mlflow_uri: str) -> None:
    asyncio.run(register(mlflow_uri, "tokenless", 2, champion="2"))
    config = configured(tmp_path, mlflow_uri, "tokenless")
    config.write_text(config.read_text().replace('token_file = "token"', ""))

    with running(config) as daemon:
        results = [
            kedge("hold", "tokenless", "--reason", "x", "-c", config),
            kedge("resume", "tokenless", "-c", config),
            kedge("bless", "tokenless", 1, "-c", config),
            kedge("quarantine", "tokenless", 1, "--reason", "x", "-c", config),
            kedge("rollback", "tokenless", "--reason", "x", "-c", config),
        ]
        status = daemon.get("/api/v1/status")

    for result in results:
        assert "403" in str(result.exception)
        assert "set [http] token_file" in str(result.exception)
    assert (status["holds"], status["rollback"]["versions"]) == ([], [])


def test_people_are_told_of_a_hold_and_of_a_refusal(held: Path) -> None:
    model, told = model_of(held), []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is inherited
            pass

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        notify = f'[[notify]]\ntype = "webhook"\nurl = "http://127.0.0.1:{server.server_port}/"\n'
        held.write_text(held.read_text() + notify)
        with running(held) as daemon:
            done("hold", model, "--reason", "release day", "-c", held)
            kedge("rollback", model, "--reason", "x", "-c", held)
            status = daemon.stop()
        server.shutdown()
        serving.join()

    assert status == 0
    assert [one["event"] for one in told] == ["hold", "refused"]
    assert told[0]["why"].startswith("release day (")
    assert told[1]["rollback"]["gate"] == "hold"


def test_a_hold_runs_out_by_itself(held: Path) -> None:
    model = model_of(held)
    with running(held) as daemon:
        done("hold", model, "--for", "1s", "--reason", "a moment", "-c", held)
        eventually(
            lambda: "HELD -> WATCHING: the hold has run out" in daemon.log.read_text(),
            what="the hold has run out",
        )
        status = daemon.get("/api/v1/status")
        page = eventually(lambda: released(daemon, model), what="the metric says so")

    assert "WATCHING -> HELD: held: a moment" in daemon.log.read_text()
    assert (status["rollback"]["state"], status["holds"]) == ("WATCHING", [])
    assert page


def released(daemon: Kedge, model: str) -> bool:
    line = f'kedge_hold_until_timestamp_seconds{{model="{model}"}} 0.0'
    return line in daemon.page("/metrics")


@pytest.mark.parametrize("given", ["soon", "0s", "-1h"])
def test_a_duration_that_is_none_is_told(given: str) -> None:
    result = kedge("hold", "m", "--for", given, "--reason", "x")

    assert f'expected a duration above 0s, such as "4h", got "{given}"' in str(result.exception)
