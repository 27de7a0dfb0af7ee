"""The daemon as a process: it counts what others write, over rotation, crashes and bad lines."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.monitor.daemon import Kedge, eventually, running
from tests.monitor.events import append, events, lines

BEGIN = 1_772_618_400.0

pytestmark = pytest.mark.real


def configuration(folder: Path, *, windows: str = 'length = "100 events"', more: str = "") -> Path:
    path = folder / "kedge.toml"
    path.write_text(
        f"""
[model]
name = "m"

[[collect]]
type = "tail"
path = "predictions*.jsonl"

[reference]
from = "first"
events = 1000

[windows]
{windows}
min_events = 50
idle = "1s"

[store]
commit_interval = "20ms"

[http]
listen = "127.0.0.1:0"
{more}
"""
    )
    return path


PREDICTION_RULE = """
[[rules]]
name = "prediction"
metric = "ks"
column = "prediction"
above = 0.4
for = "2 of 3"
"""


def rule(kedge: Kedge, name: str = "prediction") -> str:
    found = {row["name"]: row["state"] for row in kedge.get("/api/v1/status")["rules"]}
    return str(found[name])


def test_a_log_of_another_process_becomes_windows_measurements_and_metrics(tmp_path: Path) -> None:
    log = tmp_path / "predictions.jsonl"
    append(log, lines(events(2000, version="7", begins=BEGIN)))

    with running(configuration(tmp_path, more=PREDICTION_RULE)) as kedge:
        kedge.counted(2000)
        windows = eventually(
            lambda: (found := kedge.get("/api/v1/windows")["windows"])[9:] and found,
            what="ten windows",
        )
        measured = kedge.get("/api/v1/measurements?column=prediction&metric=ks")["measurements"]
        page = kedge.page("/metrics")

    assert [row["events"] for row in windows] == [100] * 10
    assert all(row["latency_p50"] > 0 and row["version"] == "7" for row in windows)
    assert all(row["low"] <= row["value"] <= row["high"] for row in measured)
    assert all((row["threshold"], row["n"]) == (0.4, 100) for row in measured)
    assert 'kedge_predictions_total{model="m",status="200",version="7"} 2000.0' in page
    assert 'kedge_drift_statistic{column="prediction",metric="ks",model="m",version="7"}' in page


def test_a_shift_is_a_breach_and_quiet_windows_clear_it(tmp_path: Path) -> None:
    log = tmp_path / "predictions.jsonl"
    append(log, lines(events(1300, version="7", begins=BEGIN)))

    with running(configuration(tmp_path, more=PREDICTION_RULE)) as kedge:
        kedge.counted(1300)
        append(log, lines(events(300, version="7", begins=BEGIN + 100, shift=2.0)))
        kedge.counted(1600)
        eventually(lambda: rule(kedge) == "breach", what="the breach")
        append(log, lines(events(500, version="7", begins=BEGIN + 200)))
        kedge.counted(2100)
        eventually(lambda: rule(kedge) != "breach", what="the end of the breach")
        kinds = [row["kind"] for row in kedge.get("/api/v1/incidents")["incidents"]]

    assert "confirmed" in kinds
    assert "cleared" in kinds


def test_killed_between_two_windows_it_loses_and_repeats_nothing(tmp_path: Path) -> None:
    log = tmp_path / "predictions.jsonl"
    config = configuration(tmp_path)
    append(log, lines(events(1150, version="7", begins=BEGIN)))

    with running(config) as kedge:
        kedge.counted(1150)
        kedge.kill()
    append(log, lines(events(850, version="7", begins=BEGIN + 50)))
    with running(config) as kedge:
        kedge.counted(2000)
        windows = eventually(
            lambda: (found := kedge.get("/api/v1/windows")["windows"])[9:] and found,
            what="ten windows",
        )
        totals = kedge.totals()

    assert totals["events"] == 2000
    assert [row["events"] for row in windows] == [100] * 10


def test_killed_at_random_instants_while_the_log_grows_and_rotates_totals_equal_the_file(
    tmp_path: Path,
) -> None:
    script = """
import sys, os, time, json
folder, count = sys.argv[1], int(sys.argv[2])
path = os.path.join(folder, "predictions.jsonl")
log = open(path, "ab", buffering=0)
for number in range(count):
    log.write(json.dumps({"ts": 1772618400 + number / 100, "version": "7",
                          "prediction": (number * 7919) % 1000}).encode() + b"\\n")
    if number % 20 == 0:
        time.sleep(0.002)
    if number % 3000 == 2999:
        os.rename(path, os.path.join(folder, f"predictions.{number}.jsonl"))
        log = open(path, "ab", buffering=0)
"""
    count, chance = 20_000, random.Random(11)
    config = configuration(tmp_path, windows='length = "10s"\nlateness = "1s"')
    writer = subprocess.Popen([sys.executable, "-c", script, str(tmp_path), str(count)])

    for _ in range(6):
        with running(config) as kedge:
            time.sleep(chance.uniform(0.05, 0.5))
            kedge.kill()
    assert writer.wait(60) == 0
    with running(config) as kedge:
        kedge.counted(count)
        totals = kedge.totals()
        eventually(
            lambda: (
                sum(row["events"] for row in kedge.get("/api/v1/windows")["windows"])
                >= count - 1000 - totals["late"]
            ),
            what="every window closed",
        )
        counted = sum(row["events"] for row in kedge.get("/api/v1/windows")["windows"])

    assert totals["events"] == count
    assert totals["rejected"] == 0
    assert counted + 1000 + totals["late"] == count


BAD = [
    b"not json at all\n",
    b'{"ts": 1772618401}\n',
    b'{"ts": "yesterday", "prediction": 1}\n',
    b'{"ts": 1772618401, "prediction": NaN}\n',
    b'{"ts": 1772618401, "prediction": 1, "latency_ms": "fast"}\n',
    b'{"ts": 1772618401, "prediction": 1, "model": "another"}\n',
    b"\xff\xfe\x00\n",
    b'{"ts": 1772618401, "prediction": ' + b"[" * 2000 + b"]" * 2000 + b"}\n",
    b'{"ts": 1772618401, "prediction": 1, "note": "' + b"x" * 2 * 1024 * 1024 + b'"}\n',
]


def test_lines_that_cannot_be_used_are_counted_and_kept_and_stop_nothing(tmp_path: Path) -> None:
    log = tmp_path / "predictions.jsonl"
    good = lines(events(100, version="7", begins=BEGIN))
    usable = b'{"ts": 1772618401, "version": "7", "prediction": 1, "colour": "red"}\n'

    with running(configuration(tmp_path)) as kedge:
        append(log, good)
        for line in BAD:
            append(log, line)
        append(log, usable + good)
        kedge.counted(201 + len(BAD))
        totals = kedge.totals()
        page = kedge.page("/metrics")

    reasons = dict(re.findall(r'kedge_rejected_events_total\{reason="(\w+)",.*\} (\S+)', page))
    assert (totals["events"], totals["rejected"]) == (201, len(BAD))
    assert sum(float(count) for count in reasons.values()) == len(BAD)
    assert {"malformed", "missing_key", "bad_time", "wrong_type", "too_long"} <= set(reasons)
    assert 'kedge_unknown_keys_total{source="tail"} 1.0' in page
    kept = (tmp_path / "quarantine.jsonl").read_text().splitlines()
    assert len(kept) == len(BAD)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_commits_and_exits_with_0(tmp_path: Path, number: int) -> None:
    append(tmp_path / "predictions.jsonl", lines(events(150, version="7", begins=BEGIN)))
    config = configuration(tmp_path)

    with running(config) as kedge:
        kedge.counted(150)
        kedge.process.send_signal(number)
        status = kedge.process.wait(60)
    with running(config) as kedge:
        totals = kedge.totals()

    assert status == 0
    assert totals["events"] == 150


def test_asked_twice_it_ends_at_once_without_a_traceback_and_counts_nothing_twice(
    tmp_path: Path,
) -> None:
    append(tmp_path / "predictions.jsonl", lines(events(150, version="7", begins=BEGIN)))
    config = configuration(tmp_path)

    with running(config) as kedge:
        kedge.counted(150)
        kedge.process.send_signal(signal.SIGTERM)
        kedge.process.send_signal(signal.SIGINT)
        status = kedge.process.wait(60)
    log = kedge.log.read_text()
    with running(config) as kedge:
        kedge.counted(150)
        totals = kedge.totals()

    # It may have been through before the second one came.
    assert status in {0, 1}
    assert ("told to stop a second time" in log) == (status == 1)
    assert "Traceback" not in log
    assert totals["events"] == 150


def test_a_second_daemon_on_the_same_store_is_refused_in_one_line(tmp_path: Path) -> None:
    config = configuration(tmp_path)

    with running(config):
        second = subprocess.run(
            [sys.executable, "-m", "monitor.cli", "run", "-c", str(config)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert second.returncode == 1
    assert "another Kedge" in second.stderr
    assert "Traceback" not in second.stderr


def test_sighup_puts_changed_rules_in_force_and_keeps_the_old_ones_over_a_fault(
    tmp_path: Path,
) -> None:
    config = configuration(tmp_path, more=PREDICTION_RULE)
    before = config.read_text()

    with running(config) as kedge:
        config.write_text(before.replace("above = 0.4", 'above = "high"'))
        kedge.process.send_signal(signal.SIGHUP)
        eventually(lambda: "rules stay as they were" in kedge.log.read_text(), what="the complaint")
        kept = kedge.get("/api/v1/status")["rules"]
        config.write_text(before.replace("above = 0.4", "above = 0.5"))
        kedge.process.send_signal(signal.SIGHUP)
        eventually(
            lambda: kedge.get("/api/v1/status")["rules"][0]["threshold"] == 0.5,
            what="the changed threshold",
        )

    assert kept[0]["threshold"] == 0.4


def test_windows_of_event_time_close_without_further_events(tmp_path: Path) -> None:
    log = tmp_path / "predictions.jsonl"
    config = configuration(tmp_path, windows='length = "5s"\nlateness = "1s"')
    config.write_text(config.read_text().replace('from = "first"\nevents = 1000', ""))
    append(log, lines(events(1000, version="7", begins=BEGIN)))

    with running(config) as kedge:
        kedge.counted(1000)
        windows = eventually(
            lambda: (
                sum(row["events"] for row in (kedge.get("/api/v1/windows")["windows"] or []))
                == 1000
            ),
            what="all events in closed windows",
        )

    assert windows
