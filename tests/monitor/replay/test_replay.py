"""A replay says of an old log what the daemon would have said, and touches nothing."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.monitor.daemon import eventually, running
from tests.monitor.events import events, lines

BEGIN = 1_772_618_400.0
TRAFFIC = 'length = "4s"\nslide = "2s"\nlateness = "1s"'

pytestmark = pytest.mark.real


def configuration(
    folder: Path,
    *,
    windows: str = TRAFFIC,
    reference: str = 'from = "first"\nevents = 1000',
    collect: str = "",
    more: str = "",
) -> Path:
    path = folder / "kedge.toml"
    path.write_text(
        f"""
[model]
name = "m"

[[collect]]
type = "tail"
path = "predictions.jsonl"
{collect}

[reference]
{reference}

[windows]
{windows}
min_events = 50
idle = "1s"

[store]
commit_interval = "20ms"

[http]
listen = "127.0.0.1:0"

[[rules]]
name = "prediction"
metric = "ks"
column = "prediction"
above = 0.4
for = "2 of 3"

[[rules]]
name = "slow"
metric = "latency_p99"
above = 1000
{more}
"""
    )
    return path


def replay(*arguments: object, status: int = 0) -> str:
    """Run `kedge replay` as a process of its own; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "monitor.cli", "replay", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if status != 2 else done.stderr


def found(*arguments: object, status: int = 0) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(replay("--json", *arguments, status=status))
    return said


Row = Mapping[str, Any]


def busy_day(*, shift: float = 2.0) -> list[Row]:
    """Traffic of two versions, out of order by a little and by a lot, with a gap and a shift."""
    chance = random.Random(3)
    rows = list(events(6000, version="7", begins=BEGIN))
    rows += events(2000, version="8", begins=BEGIN + 40, seed=8)
    rows += events(2000, version="8", begins=BEGIN + 90, seed=9, shift=shift)
    rows.sort(key=lambda row: row["ts"] + chance.uniform(0, 1.5))
    far = [rows.pop(chance.randrange(3000, 6000)) for _ in range(40)]
    rows = rows[:-300] + far + rows[-300:]
    # Long enough that some windows are closed before the rest is read.
    return [{**row, "trace_id": "x" * 600} for row in rows]


def as_one_map(measurements: Iterable[Row]) -> dict[tuple[Any, ...], Row]:
    keys = ("window_start", "window_end", "version", "column", "metric")
    return {tuple(one[key] for key in keys): one for one in measurements}


@pytest.mark.parametrize(
    "windows", [TRAFFIC, 'length = "1000 events"\nslide = "250 events"'], ids=["time", "events"]
)
def test_a_replay_says_what_the_daemon_says_of_the_same_log(tmp_path: Path, windows: str) -> None:
    rows = busy_day()
    text = lines(iter(rows[:5000])) + b"no event\n{}\n" + lines(iter(rows[5000:]))
    log = tmp_path / "predictions.jsonl"
    log.write_bytes(text)
    config = configuration(tmp_path, windows=windows)

    said = found("-c", config, log, "--processes", 1)
    replayed = as_one_map(row for one in said["windows"] for row in one["measurements"])
    with running(config) as kedge:
        kedge.counted(len(rows) + 2)
        path = "/api/v1/measurements?limit=10000"
        eventually(
            lambda: as_one_map(kedge.get(path)["measurements"]).keys() >= replayed.keys(),
            what="every window of the replay",
        )
        measured = as_one_map(kedge.get(path)["measurements"])
        totals = kedge.totals()
        incidents = kedge.get("/api/v1/incidents")["incidents"]

    assert len(said["windows"]) > 20
    assert said.keys() == {"windows", "fired"}
    assert all(
        one.keys() == {"start", "end", "events", "measurements", "rules"}
        and [rule.keys() for rule in one["rules"]] == [{"rule", "verdict"}] * 2
        for one in said["windows"]
    )
    assert {key: measured[key] for key in replayed} == replayed
    # What the daemon has beyond that is silence: windows behind the last event.
    last = max(key[1] for key in replayed)
    assert all(key in replayed for key in measured if key[1] <= last)
    confirmed = [row for row in incidents if row["kind"] == "confirmed"]
    fired = [(row["at"], row["rule"], row["version"]) for row in said["fired"]]
    assert sorted(fired) == sorted((row["at"], row["rule"], row["version"]) for row in confirmed)
    assert fired
    assert totals["rejected"] == 2
    if windows == TRAFFIC:
        assert totals["late"] >= 40
        in_time = len(rows) - 1000 - totals["late"]
        assert sum(one["events"] for one in said["windows"]) == 2 * in_time


def test_processes_that_decode_ahead_change_nothing(tmp_path: Path) -> None:
    rows: list[Row] = []
    for number, row in enumerate(busy_day()):
        rows.append(row)
        if number == 7000:  # a column that nobody knew
            rows.append({**row, "features": {**row["features"], "zip": "K1"}})
        if number in (6000, 8000):  # an event that comes in two
            half = {"id": f"half-{number}", "ts": row["ts"], "version": row["version"]}
            rows += [{**half, "features": row["features"]}, row, {**half, "prediction": 1.0}]
    log = tmp_path / "predictions.jsonl"
    log.write_bytes(b"nothing\n" + lines(iter(rows)) + b"nothing either")
    config = configuration(tmp_path, reference="events = 1000")

    alone = replay("-c", config, log, "--json", "--processes", 1)
    helped = replay("-c", config, log, "--json", "--processes", 2)

    assert helped == alone
    assert '"zip"' in alone


def test_every_file_that_holds_the_same_events_says_the_same(tmp_path: Path) -> None:
    import pyarrow as pa  # noqa: PLC0415 - only for this
    import pyarrow.parquet as pq  # noqa: PLC0415 - only for this
    from backports import zstd  # noqa: PLC0415 - only for this

    rows = busy_day()
    config = configuration(tmp_path)
    flat = [
        {"ts": row["ts"], "version": row["version"], "latency_ms": row["latency_ms"]}
        | {"status": 200, "prediction": row["prediction"]}
        | row["features"]
        for row in rows
    ]
    (tmp_path / "log.jsonl").write_bytes(lines(iter(rows)))
    (tmp_path / "log.jsonl.gz").write_bytes(gzip.compress(lines(iter(rows)), 1))
    (tmp_path / "log.jsonl.zst").write_bytes(zstd.compress(lines(iter(rows))))
    (tmp_path / "cri.log").write_bytes(
        b"".join(
            b"2026-03-04T10:00:00.123456789Z stdout F " + line + b"\n"
            for line in lines(iter(rows)).splitlines()
        )
    )
    pq.write_table(pa.Table.from_pylist(flat), tmp_path / "log.parquet")
    text = io.StringIO()
    writer = csv.DictWriter(text, flat[0])
    writer.writeheader()
    writer.writerows(flat)
    (tmp_path / "log.csv").write_text(text.getvalue())

    said = {
        name: found("-c", config, tmp_path / name)
        for name in ("log.jsonl", "log.jsonl.gz", "log.jsonl.zst", "cri.log")
    }
    tables = {name: found("-c", config, tmp_path / name) for name in ("log.csv", "log.parquet")}

    assert said["log.jsonl"]["fired"]
    assert said["log.jsonl.gz"] == said["log.jsonl"]
    assert said["log.jsonl.zst"] == said["log.jsonl"]
    # Shorter or longer lines are other turns of reading, and other rows are late by some.
    for other in (said["cri.log"], *tables.values()):
        at = [(row["at"], row["rule"], row["version"]) for row in other["fired"]]
        assert at == [
            (row["at"], row["rule"], row["version"]) for row in said["log.jsonl"]["fired"]
        ]


def test_logs_of_the_same_hours_make_none_of_each_others_rows_late(tmp_path: Path) -> None:
    rows = list(events(30_000, version="7", begins=BEGIN))
    whole = tmp_path / "whole.jsonl"
    whole.write_bytes(lines({**row, "trace_id": "x" * 300} for row in rows))
    for pod in range(3):
        part = lines({**row, "trace_id": "x" * 300} for row in rows[pod::3])
        (tmp_path / f"pod-{pod}.jsonl").write_bytes(part)
    late = tmp_path / "next-day.jsonl"
    late.write_bytes(lines(events(500, version="7", begins=BEGIN + 400)))
    config = configuration(tmp_path, reference="events = 1000")

    apart = found("-c", config, tmp_path / "pod-*.jsonl", late)
    together = found("-c", config, late, whole, "--processes", 2)

    assert [(one["start"], one["events"]) for one in apart["windows"]] == [
        (one["start"], one["events"]) for one in together["windows"]
    ]
    assert apart == together


def test_it_exits_with_3_where_a_breach_was_to_be_told_and_with_0_where_nothing_fired(
    tmp_path: Path,
) -> None:
    config = configuration(tmp_path)
    drifted, quiet = tmp_path / "drifted.jsonl", tmp_path / "quiet.jsonl"
    drifted.write_bytes(lines(iter(busy_day())))
    quiet.write_bytes(lines(iter(busy_day(shift=0.0))))

    table = replay("-c", config, drifted, "--fail-on-breach", status=3)
    replay("-c", config, drifted)
    nothing = replay("-c", config, quiet, "--fail-on-breach")

    assert "prediction" in table
    assert "nothing would have fired" in nothing
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("drifted.jsonl", "kedge.toml", "quiet.jsonl")
    ]


def test_what_is_not_there_or_wrong_is_named_in_one_line_with_exit_2(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"")

    missing = replay("-c", config, tmp_path / "gone.jsonl", status=2)
    unmatched = replay("-c", config, tmp_path / "*.gz", status=2)
    unknown = replay("-c", config, log, "--format", "kserv", status=2)
    config.write_text(config.read_text().replace("above = 0.4", 'above = "high"'))
    faulty = replay("-c", config, log, status=2)

    assert "gone.jsonl" in missing
    assert "*.gz" in unmatched
    assert '"kserve"' in unknown
    assert "rules[0].above: expected a number" in faulty
    assert all(said.count("\n") == 1 for said in (missing, unmatched, unknown, faulty))


def test_rules_of_labels_are_replayed(tmp_path: Path) -> None:
    labelled = [
        {**row, "id": f"{number}", "prediction": "yes", "label": "yes" if number < 3000 else "no"}
        for number, row in enumerate(events(6000, version="7", begins=BEGIN))
    ]
    log = tmp_path / "log.jsonl"
    log.write_bytes(lines(iter(labelled)))
    rule = '[labels]\njoin = true\n[[rules]]\nname = "right"\nmetric = "accuracy"\nbelow = 0.9\n'

    said = found("-c", configuration(tmp_path, more=rule), log)

    assert {one["rule"] for one in said["fired"]} == {"right"}
    judged = [one for one in said["windows"] if {"rule": "right", "verdict": "ok"} in one["rules"]]
    assert judged


def test_a_damaged_file_is_told_and_the_rest_is_shown(tmp_path: Path) -> None:
    config = configuration(tmp_path, reference="events = 1000")
    packed = gzip.compress(lines(events(30_000, version="7", begins=BEGIN)), 1)
    (tmp_path / "cut.jsonl.gz").write_bytes(packed[: len(packed) // 2])

    said = replay("-c", config, tmp_path / "cut.jsonl.gz", status=1)

    assert "windows of version 7" in said
