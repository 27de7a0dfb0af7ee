"""`kedge serve` as a process: it says when it is ready, drains, and tells why it does not start."""

from __future__ import annotations

import concurrent.futures
import json
import os
import re
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from scoring.settings import ServeSettings
from tests.scoring.served import ask, children, logged, serving, start, until

pytestmark = pytest.mark.real

ROW = {"dataframe_split": {"columns": list("abcd"), "data": [[1.0, 2.0, 3.0, 4.0]]}}


def test_it_says_what_it_serves_where(model_folders: Path, tmp_path: Path) -> None:
    with serving(tmp_path, model_uri=str(model_folders / "plain")) as served:
        expected = rf"serving {model_folders}/plain on http://127\.0\.0\.1:\d+"
        assert re.fullmatch(expected, served.line)
        assert ask(f"{served.url}/invocations", ROW).json() == {"predictions": [1]}
        assert ask(f"{served.url}/ping").headers["X-Kedge-Model"] == "plain"
        assert served.stop() == 0


def test_a_registered_model_is_named_with_its_version(registry_uri: str, tmp_path: Path) -> None:
    uri = "models:/scoring-plain/2"
    with serving(tmp_path, model_uri=uri, tracking_uri=registry_uri) as served:
        assert served.line == f"serving models:/scoring-plain version 2 on {served.url}"
        assert ask(f"{served.url}/ping").headers["X-Kedge-Version"] == "2"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_in_flight_are_answered_and_logged_before_it_ends(
    model_folders: Path, tmp_path: Path, number: int
) -> None:
    log = tmp_path / "predictions.jsonl"
    with serving(tmp_path, model_uri=str(model_folders / "slow"), log=log) as served:
        with concurrent.futures.ThreadPoolExecutor(3) as callers:
            asked = [
                callers.submit(ask, f"{served.url}/invocations", ROW, headers={"X-Request-Id": c})
                for c in "xyz"
            ]
            # The first has taken its half second by now, so the others are in.
            until(lambda: any(future.done() for future in asked))

            status = served.stop(number)

        assert [future.result().status for future in asked] == [200, 200, 200]
    assert status == 0
    assert sorted(event["id"] for event in logged(log)) == ["x", "y", "z"]


def failure(folder: Path, **settings: Any) -> str:  # noqa: ANN401 - any setting
    process = start(folder, **settings)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, b"")
    (line,) = (folder / "serve.err").read_text().splitlines()
    return line


def test_each_reason_not_to_start_is_one_line(
    model_folders: Path, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    plain = str(model_folders / "plain")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        reasons = {
            "no MLflow model": {"model_uri": str(tmp_path)},
            "is no MLflow model: it has no file": {"model_uri": "/nowhere/at/all"},
            "MLFLOW_TRACKING_URI": {"model_uri": "models:/m@champion"},
            "write .models:/NAME@ALIAS": {
                "model_uri": "models:/m",
                "tracking_uri": "http://127.0.0.1:9",
            },
            "is the MLflow server up": {
                "model_uri": "models:/m@champion",
                "tracking_uri": "http://127.0.0.1:9",
            },
            "not an address of an MLflow server": {
                "model_uri": "models:/m@champion",
                "tracking_uri": "sqlite:///x",
            },
            "cannot listen on 127.0.0.1 port": {
                "model_uri": plain,
                "port": taken.getsockname()[1],
            },
            "cannot write the prediction log /dev/null/log": {
                "model_uri": plain,
                "log": "/dev/null/log",
            },
            "no MLflow model: it has no": {"model_uri": str(tmp_path), "workers": 2},
        }
        for expected, settings in reasons.items():
            with subtests.test(expected):
                assert re.search(expected, failure(tmp_path, **settings))


@pytest.mark.parametrize(
    "wrong", [{"workers": 0}, {"port": 70_000}, {"poll_s": 0}, {"log_keep": 0}]
)
def test_settings_out_of_range_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)).partition("_s")[0]):
        ServeSettings("models:/m/1", **wrong)


def test_workers_share_the_port_the_log_and_the_metrics(
    model_folders: Path, tmp_path: Path
) -> None:
    log = tmp_path / "predictions.jsonl"
    uri = str(model_folders / "plain")
    with serving(tmp_path, model_uri=uri, workers=2, log=log) as served:
        assert len(children(served)) == 2

        # Each call is a connection of its own, so the kernel deals them out.
        replies = [ask(f"{served.url}/invocations", ROW) for _ in range(40)]

        assert {reply.status for reply in replies} == {200}
        until(lambda: len(logged(log)) == 40)
        counted = 'kedge_predictions_total{model="plain",status="200",version="unknown"}'
        assert served.metric(counted) == 40
        assert served.stop() == 0
    assert len({event["id"] for event in logged(log)}) == 40


def test_a_worker_that_dies_is_replaced(model_folders: Path, tmp_path: Path) -> None:
    with serving(tmp_path, model_uri=str(model_folders / "plain"), workers=2) as served:
        before = children(served)
        os.kill(before[0], signal.SIGKILL)

        until(lambda: len(set(children(served)) - set(before)) == 1)
        until(lambda: ask(f"{served.url}/ping").status == 200)
        assert served.stop() == 0


def test_workers_end_with_a_parent_that_was_killed(model_folders: Path, tmp_path: Path) -> None:
    with serving(tmp_path, model_uri=str(model_folders / "plain"), workers=2) as served:
        workers = children(served)
        served.process.kill()
        served.process.wait()

        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


def test_a_log_that_somebody_moves_is_made_anew(model_folders: Path, tmp_path: Path) -> None:
    log = tmp_path / "predictions.jsonl"
    with serving(tmp_path, model_uri=str(model_folders / "plain"), log=log) as served:
        ask(f"{served.url}/invocations", ROW)
        until(lambda: len(logged(log)) == 1)
        log.rename(tmp_path / "moved.jsonl")

        began = time.time()
        ask(f"{served.url}/invocations", ROW)
        until(lambda: len(logged(log)) == 1)

    (event,) = logged(log)
    assert event["features"] == {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}
    assert began - 1 < event["ts"] < time.time()
    assert json.dumps(event["prediction"]) == "1"
