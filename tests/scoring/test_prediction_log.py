"""The prediction log: every answered row in it once, whatever the disk and its owner do."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from scoring.log.log_file import LogFile
from scoring.log.prediction_log import Answered, PredictionLog, events_of
from scoring.protocol.table import Block, Columns, Table
from tests.scoring.served import ROOT, logged, until


class Count:
    """Counts, as a metric does."""

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1) -> None:
        self.value += amount


def answered(
    request_id: str = "r",
    table: Table | None = None,
    predictions: object = None,
    *,
    status: int = 200,
    trace_id: str = "",
) -> Answered:
    return Answered(request_id, 1.5, "m", "2", 3.25, status, table, predictions, trace_id)


def block(*rows: list[float]) -> Block:
    return Block(("a", "b"), np.array(rows))


def events(request: Answered) -> list[dict[str, Any]]:
    from msgspec.json import encode  # noqa: PLC0415 - here it is the reader's side

    return [json.loads(encode(event)) for event in events_of(request)]


def log_to(path: Path, **limits: int) -> tuple[PredictionLog, Count, Count]:
    shed, failures = Count(), Count()
    log = PredictionLog(LogFile(path), shed=shed, failures=failures, **limits)
    return log, shed, failures


def test_a_single_row_has_the_plain_request_id() -> None:
    request = answered("abc", block([1.0, 2.0]), [1], trace_id="0af7651916cd43dd8448eb211c80319c")

    assert events(request) == [
        {
            "id": "abc",
            "ts": 1.5,
            "model": "m",
            "version": "2",
            "features": {"a": 1.0, "b": 2.0},
            "latency_kind": "server",
            "latency_ms": 3.25,
            "status": 200,
            "prediction": 1,
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
        }
    ]


def test_parameters_of_the_request_stand_in_each_of_its_rows() -> None:
    request = answered(table=block([1, 2], [3, 4]), predictions=[0.1, 0.2])

    plain = events(request)
    given = events(structs.replace(request, params={"factor": 5.0}))

    assert [one.get("params") for one in plain] == [None, None]
    assert [one["params"] for one in given] == [{"factor": 5.0}] * 2


def test_rows_are_numbered_and_latency_and_status_are_told_once() -> None:
    first, *others = events(answered("abc", block([1, 2], [3, 4], [5, 6]), [0, 1, 2]))

    assert (first["id"], first["latency_ms"], first["status"]) == ("abc#0", 3.25, 200)
    assert [event["id"] for event in others] == ["abc#1", "abc#2"]
    assert not any("latency_ms" in event or "status" in event for event in others)
    assert [event["prediction"] for event in (first, *others)] == [0, 1, 2]


def test_a_request_that_fitted_no_signature_is_one_event_without_features() -> None:
    (event,) = events(answered(table=None, status=400))

    assert (event["features"], event["status"]) == ({}, 400)
    assert "prediction" not in event


def test_a_model_that_failed_leaves_features_and_no_prediction() -> None:
    (event,) = events(answered(table=block([1, 2]), status=400))

    assert event["features"] == {"a": 1.0, "b": 2.0}
    assert "prediction" not in event


def test_only_scalars_are_logged_and_nan_is_null() -> None:
    table = Columns(
        {"n": np.array([float("nan")]), "s": ["x"], "array": [[1, 2]], "bytes": [b"x"]}, 1
    )

    (event,) = events(answered(table=table, predictions=[None]))

    assert event["features"] == {"n": None, "s": "x"}
    assert event["prediction"] is None


@pytest.mark.parametrize(
    ("predictions", "expected"),
    [([[0.25, 0.75]], [0.25, 0.75]), ({"mean": 2}, {"mean": 2}), (0.5, 0.5)],
)
def test_the_answer_to_a_single_row_may_have_any_shape(
    predictions: object, expected: object
) -> None:
    (event,) = events(answered(table=block([1, 2]), predictions=predictions))

    assert event["prediction"] == expected


@settings(deadline=None, max_examples=30)  # every example is a thread and a file
@given(st.lists(st.integers(0, 3), max_size=30))
def test_every_row_gets_into_the_file_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
) -> None:
    path = tmp_path_factory.mktemp("log") / "predictions.jsonl"
    log, shed, _ = log_to(path)
    requests = [
        answered(f"r{n}", Block(("a", "b"), np.zeros((rows, 2)))) for n, rows in enumerate(sizes)
    ]

    log.start()
    for request in requests:
        log.append(request)
    log.close(10)

    expected = [event.id for request in requests for event in events_of(request)]
    assert [event["id"] for event in logged(path)] == expected
    assert shed.value == 0


def test_an_event_is_written_while_the_server_goes_on(tmp_path: Path) -> None:
    log, _, _ = log_to(tmp_path / "new" / "predictions.jsonl")
    log.start()

    log.append(answered("first"))

    until(lambda: len(logged(tmp_path / "new" / "predictions.jsonl")) == 1)
    log.close(5)


def test_a_backlog_that_is_full_drops_and_counts_rows() -> None:
    log, shed, _ = log_to(Path("/dev/full"), backlog_rows_max=5)

    for _ in range(4):
        log.append(answered(table=block([1, 2], [3, 4])))

    assert shed.value == 4


def test_a_disk_that_is_full_is_counted_and_tried_again() -> None:
    log, shed, failures = log_to(Path("/dev/full"))
    log.start()

    log.append(answered(table=block([1, 2], [3, 4])))
    until(lambda: failures.value >= 2)
    log.close(5)

    assert shed.value == 2


def test_a_disk_that_comes_back_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    path.mkdir()
    log, shed, failures = log_to(path)
    log.start()
    log.append(answered("kept"))
    until(lambda: failures.value >= 1)

    path.rmdir()

    until(lambda: path.is_file() and len(logged(path)) == 1)
    log.close(5)
    assert shed.value == 0


def test_a_row_that_json_cannot_carry_is_counted_and_the_next_one_written(tmp_path: Path) -> None:
    log, shed, _ = log_to(tmp_path / "log")
    log.start()

    log.append(answered("broken", Columns({"s": ["\ud800"]}, 1)))
    log.append(answered("long", Columns({"s": ["x" * 1024 * 1024]}, 1)))
    log.append(answered("whole", Columns({"s": ["x"]}, 1)))
    log.close(5)

    assert [event["id"] for event in logged(tmp_path / "log")] == ["whole"]
    assert shed.value == 2


def test_a_file_that_somebody_moved_is_made_anew(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "log")
    file.append(b"1\n")
    (tmp_path / "log").rename(tmp_path / "moved")

    file.append(b"2\n")

    assert (tmp_path / "moved").read_bytes() == b"1\n"
    assert (tmp_path / "log").read_bytes() == b"2\n"
    file.close()


def test_half_a_line_that_a_crash_left_is_ended_first(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b'1\n{"half')

    file = LogFile(tmp_path / "log")
    file.append(b"2\n")
    file.close()

    assert (tmp_path / "log").read_bytes() == b'1\n{"half\n2\n'


def test_a_file_that_has_grown_moves_aside_and_the_oldest_goes(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "log", bytes_max=4, keep=2)

    for number in range(4):
        file.append(f"{number}...\n".encode())
        file.rotate()
    file.append(b"last\n")
    file.close()

    contents = {path.name: path.read_text() for path in tmp_path.glob("log*")}
    assert contents == {"log": "last\n", "log.1": "3...\n", "log.2": "2...\n"}


def test_processes_that_share_a_log_tear_no_line_and_lose_none(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from scoring.log.log_file import LogFile\n"
        "file = LogFile(Path(sys.argv[1]), bytes_max=100_000, keep=100)\n"
        "for n in range(500):\n"
        "    file.append(f'{sys.argv[2]} {n} {\"x\" * 200}\\n'.encode()); file.rotate()\n"
    )
    arguments = [sys.executable, "-c", program, str(tmp_path / "log")]
    processes = [subprocess.Popen([*arguments, str(who)], cwd=ROOT) for who in range(3)]

    assert [process.wait(60) for process in processes] == [0, 0, 0]

    lines = [line for path in tmp_path.glob("log*") for line in path.read_text().splitlines()]
    assert sorted(line.rpartition(" ")[0] for line in lines) == sorted(
        f"{who} {n}" for who in range(3) for n in range(500)
    )


def test_closing_waits_for_no_disk_that_hangs(tmp_path: Path) -> None:
    class Hanging(LogFile):
        def append(self, lines: bytes) -> bytes:
            released.wait(60)
            return b""

    released = threading.Event()
    shed = Count()
    log = PredictionLog(Hanging(tmp_path / "log"), shed=shed, failures=Count())
    log.start()
    log.append(answered(table=block([1, 2], [3, 4])))

    log.close(0.1)

    assert shed.value == 2
    released.set()
