"""Formats in a real daemon: halves over a kill, errors that are unknown, and access logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.monitor.daemon import Kedge, eventually, running
from tests.monitor.events import append

BEGIN = 1_772_618_400.0

pytestmark = pytest.mark.real


def configuration(folder: Path, collect: str, *, length: str = "10s") -> Path:
    path = folder / "kedge.toml"
    path.write_text(
        f"""
[model]
name = "m"

[[collect]]
type = "tail"
path = "log*.jsonl"
{collect}

[windows]
length = "{length}"
min_events = 1
idle = "1s"

[store]
commit_interval = "20ms"

[http]
listen = "127.0.0.1:0"

[[rules]]
name = "errors"
metric = "error_ratio"
above = 0.5
for = "1 of 1"
"""
    )
    return path


def half(side: str, number: int, at: float) -> bytes:
    ce = {
        "id": str(number),
        "type": f"org.kubeflow.serving.inference.{side}",
        "time": f"2026-03-04T10:00:{at:06.3f}Z",
    }
    data = {"instances": [[number]]} if side == "request" else {"predictions": [number / 10]}
    return json.dumps({"ce": ce, "data": data}).encode() + b"\n"


def measured(kedge: Kedge, metric: str) -> list[dict[str, Any]]:
    return list(kedge.get(f"/api/v1/measurements?metric={metric}")["measurements"])


def metric(kedge: Kedge, name: str) -> float:
    for line in kedge.page("/metrics").splitlines():
        if line.startswith(f"{name}{{"):
            return float(line.rpartition(" ")[2])
    return 0.0


def test_halves_meet_over_a_kill_and_each_request_counts_once(tmp_path: Path) -> None:
    config, log = configuration(tmp_path, 'format = "kserve"'), tmp_path / "log.jsonl"
    with running(config) as kedge:
        append(log, b"".join(half("request", i, i / 10) for i in range(40)))
        append(log, b"".join(half("response", i, i / 10 + 0.02) for i in range(10)))
        eventually(lambda: kedge.totals()["events"] == 10, what="whole requests are counted")
        kedge.kill()

    with running(config) as kedge:
        append(log, b"".join(half("response", i, i / 10 + 0.02) for i in range(10, 40)))
        eventually(lambda: kedge.totals()["events"] == 40, what="the rest met over the kill")

        assert kedge.totals()["rejected"] == 0
        assert kedge.stop() == 0


def test_a_half_that_stays_alone_is_counted_in_a_window(tmp_path: Path) -> None:
    config = configuration(tmp_path, 'format = "kedge"\njoin = "2s"', length="2 events")
    alone = {"id": "a", "ts": BEGIN + 1, "features": {"age": 41}}
    whole = {"id": "b", "ts": BEGIN + 2, "features": {"age": 23}, "prediction": 0.5}
    append(tmp_path / "log.jsonl", "".join(json.dumps(e) + "\n" for e in (alone, whole)).encode())

    with running(config) as kedge:
        eventually(lambda: measured(kedge, "events"), what="the window closes")

        assert [one["value"] for one in measured(kedge, "events")] == [2]
        assert kedge.totals() == {"events": 2, "rejected": 0, "late": 0, "shed": 0}
        eventually(
            lambda: metric(kedge, "kedge_unjoined_events_total") == 1, what="it counts as alone"
        )


def test_a_log_of_successes_leaves_the_error_ratio_unknown(tmp_path: Path) -> None:
    config = configuration(tmp_path, 'format = "auto"', length="20 events")
    log = tmp_path / "log.jsonl"
    for i in range(20):
        append(log, half("request", i, i / 10) + half("response", i, i / 10 + 0.02))

    with running(config) as kedge:
        eventually(lambda: measured(kedge, "error_ratio"), what="the window closes")

        (errors,) = measured(kedge, "error_ratio")
        assert (errors["value"], errors["verdict"]) == (None, "unknown")
        assert [one["n"] for one in measured(kedge, "latency_p50")] == [20]
        counted = 'kedge_predictions_total{model="m",status="unknown",version="unknown"} 20.0'
        eventually(lambda: counted in kedge.page("/metrics"), what="they count as unknown")


def test_an_access_log_tells_errors_and_latency_and_nothing_of_columns(tmp_path: Path) -> None:
    config = configuration(tmp_path, 'format = "nginx"\nversion = "7"', length="40 events")
    lines = [
        {"msec": BEGIN + i / 10, "status": 500 if i % 4 == 0 else 200, "method": "POST"}
        | {"upstream_response_time": "0.010"}
        for i in range(40)
    ]
    append(tmp_path / "log.jsonl", "".join(json.dumps(one) + "\n" for one in lines).encode())

    with running(config) as kedge:
        eventually(lambda: measured(kedge, "error_ratio"), what="the window closes")

        (errors,) = measured(kedge, "error_ratio")
        assert (errors["value"], errors["n"], errors["version"]) == (0.25, 40, "7")
        assert measured(kedge, "missing_ratio") == []


def test_parquet_files_are_counted_once_over_a_restart(tmp_path: Path) -> None:
    import pyarrow as pa  # noqa: PLC0415 - 40 MB, for this test alone
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    config = configuration(tmp_path, "")
    text = config.read_text().replace('type = "tail"', 'type = "parquet"')
    config.write_text(text.replace("log*.jsonl", "*.parquet"))

    def put(name: str, rows: int) -> None:
        ts = [BEGIN + i / 100 for i in range(rows)]
        table = pa.table({"ts": ts, "n": [1.0] * rows, "prediction": [0.5] * rows})
        pq.write_table(table, tmp_path / f".{name}")
        (tmp_path / f".{name}").rename(tmp_path / name)

    put("a.parquet", 2_500)
    with running(config) as kedge:
        eventually(lambda: kedge.totals()["events"] == 2_500, what="the file is counted")
        kedge.kill()

    put("b.parquet", 10)
    with running(config) as kedge:
        eventually(lambda: kedge.totals()["events"] >= 2_510, what="the other file is counted")
        assert kedge.totals()["events"] == 2_510
