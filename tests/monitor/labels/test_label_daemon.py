"""The daemon with labels that others write, days later by their own clock."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.monitor.daemon import Kedge, eventually, running
from tests.monitor.events import events, lines
from tests.monitor.test_spool_daemon import configuration as sent_to
from tests.monitor.test_spool_daemon import post

BEGIN = 1_772_618_400.0

pytestmark = pytest.mark.real

#: Writes predictions "0" or "1", and for each a label two days later: right ones, and from `bad`
#: on every third one wrong. Labels go to a file of their own, some before their predictions.
WRITER = """
import sys, json, time, os
folder, count, bad = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
predictions = open(os.path.join(folder, "predictions.jsonl"), "ab", buffering=0)
labels = open(os.path.join(folder, "labels.jsonl"), "ab", buffering=0)
for number in range(count):
    answer = number % 2
    truth = 1 - answer if number >= bad and number % 3 == 0 else answer
    lines = [
        (predictions, {"id": f"r{number}", "ts": 1772618400 + number / 10, "version": "7",
                       "prediction": answer}),
        (labels, {"id": f"r{number}", "ts": 1772791200 + number / 10, "label": truth}),
    ]
    for file, line in lines[:: 1 if number % 5 else -1]:
        file.write(json.dumps(line).encode() + b"\\n")
    if number % 20 == 0:
        time.sleep(0.002)
"""

RULE = """
[[rules]]
name = "right"
metric = "accuracy"
below = 0.9
for = "2 of 3"
"""


def configuration(folder: Path, *, labels: str = "", rules: str = RULE) -> Path:
    path = folder / "kedge.toml"
    path.write_text(
        f"""
[model]
name = "m"

[[collect]]
type = "tail"
name = "predictions"
path = "predictions*.jsonl"

[[collect]]
type = "tail"
name = "labels"
path = "labels*.jsonl"

[windows]
length = "200 events"
min_events = 100
idle = "1s"

[labels]
join = true
{labels}

[store]
commit_interval = "20ms"

[http]
listen = "127.0.0.1:0"
{rules}
"""
    )
    return path


def joined(kedge: Kedge) -> int:
    return sum(kedge.get("/api/v1/status")["labels"]["joined"].values())


def rule(kedge: Kedge) -> str:
    return str(kedge.get("/api/v1/status")["rules"][0]["state"])


def write(folder: Path, count: int, bad: int) -> subprocess.Popen[bytes]:
    arguments = [str(folder), str(count), str(bad)]
    return subprocess.Popen([sys.executable, "-c", WRITER, *arguments])


def test_killed_while_late_labels_come_every_pair_counts_once_and_the_drop_is_confirmed(
    tmp_path: Path,
) -> None:
    count, bad, chance = 6000, 4000, random.Random(3)
    config = configuration(tmp_path)
    writer = write(tmp_path, count, bad)

    for _ in range(4):
        with running(config) as kedge:
            time.sleep(chance.uniform(0.05, 0.4))
            kedge.kill()
    assert writer.wait(60) == 0
    with running(config) as kedge:
        eventually(lambda: joined(kedge) >= count, what="all labels joined")
        eventually(lambda: rule(kedge) == "breach", what="the breach of accuracy")
        status = kedge.get("/api/v1/status")
        measured = kedge.get("/api/v1/measurements?metric=accuracy")["measurements"]
        windows = kedge.get("/api/v1/windows")["windows"]
        incidents = kedge.get("/api/v1/incidents")["incidents"]
        page = kedge.page("/metrics")

    labels = status["labels"]
    assert labels["joined"] == {"7": count}
    assert labels["labels"]["joined"] == count
    assert labels["waiting"] == {"predictions": 0, "labels": 0, "pairs": count}
    assert status["totals"]["all"] == {"events": count, "rejected": 0, "late": 0, "shed": 0}
    assert [row["n"] for row in measured] == [200] * (count // 200)
    right = sum(row["value"] * row["n"] for row in measured)
    assert round(right) == count - sum(i % 3 == 0 for i in range(bad, count))
    assert all(row["column"] is None and row["threshold"] == 0.9 for row in measured)
    assert {row["verdict"] for row in measured} == {"ok", "breach"}
    assert all("accuracy" not in row for row in windows)
    assert "confirmed" in [row["kind"] for row in incidents]
    assert 'kedge_performance{metric="accuracy",model="m",version="7"}' in page
    assert 'kedge_labels_waiting{kind="pairs"} 6000.0' in page


def test_quantities_with_their_labels_are_measured_by_time_and_close_without_more(
    tmp_path: Path,
) -> None:
    config = configuration(tmp_path, rules=RULE.replace("accuracy", "r2"))
    config.write_text(config.read_text().replace('"200 events"', '"60s"\nlateness = "1s"'))
    chance = random.Random(1)
    with (tmp_path / "predictions.jsonl").open("w") as log:
        for number in range(300):
            truth = chance.gauss(50, 10)
            event = {"ts": BEGIN + number / 10, "version": "7", "prediction": truth + 1.5}
            print(json.dumps(event | {"label": truth}), file=log)

    with running(config) as kedge:
        [mae] = eventually(
            lambda: kedge.get("/api/v1/measurements?metric=mae")["measurements"], what="MAE"
        )
        page = kedge.page("/metrics")

    assert mae["n"] == 300
    assert mae["value"] == pytest.approx(1.5)
    assert 'kedge_labels_total{model="m",version="7"} 300.0' in page
    assert 'kedge_label_fates_total{fate="joined",kind="label"} 300.0' in page


def test_labels_that_are_sent_join_predictions_that_were_sent(tmp_path: Path) -> None:
    config = sent_to(tmp_path, '[windows]\nlength = "100 events"\n[labels]\njoin = true')
    predictions = list(events(100, version="7", begins=BEGIN))
    labels = [
        {"id": one["id"], "ts": one["ts"] + 3600, "label": one["prediction"] + 2}
        for one in predictions
    ]

    with running(config) as kedge:
        post(kedge, lines(iter(labels[:50])), "/api/v1/labels")
        post(kedge, lines(iter(predictions)))
        kedge.counted(100)
        kedge.kill()
    with running(config) as kedge:
        post(kedge, lines(iter(labels)), "/api/v1/labels")
        [mae] = eventually(
            lambda: kedge.get("/api/v1/measurements?metric=mae")["measurements"], what="MAE"
        )
        fates = kedge.get("/api/v1/status")["labels"]["labels"]

    assert (mae["n"], mae["value"]) == (100, pytest.approx(2))
    assert fates["joined"] == 100
    assert fates["expired"] == 0


def test_without_the_join_a_bare_label_is_a_line_that_lacks_a_key(tmp_path: Path) -> None:
    config = configuration(tmp_path, rules="")
    config.write_text(config.read_text().replace("join = true", ""))
    (tmp_path / "labels.jsonl").write_text('{"id": "a", "ts": 1772618400, "label": 1}\n')

    with running(config) as kedge:
        kedge.counted(1)
        status = kedge.get("/api/v1/status")

    assert status["totals"]["labels"]["rejected"] == 1
    assert "labels" not in status


def test_a_rule_on_labels_without_the_join_is_a_fault_of_the_configuration(
    tmp_path: Path,
) -> None:
    config = configuration(tmp_path)
    config.write_text(config.read_text().replace("join = true", ""))

    checked = subprocess.run(
        [sys.executable, "-m", "monitor.cli", "check", "-c", str(config)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 2
    assert 'rules[0].metric: "accuracy" needs [labels] join = true' in checked.stderr


def test_seldon_s_feedback_settles_with_its_predictions(tmp_path: Path) -> None:
    config = configuration(tmp_path, rules="")
    config.write_text(
        config.read_text().replace(
            'path = "predictions*.jsonl"', 'path = "predictions*.jsonl"\nformat = "seldon"'
        )
    )
    log = []
    for number in range(300):
        sides = {
            "inference.request": {"data": {"ndarray": [[number]]}},
            "inference.response": {"data": {"names": ["class"], "ndarray": [[number % 2]]}},
            "feedback": {"reward": 1, "truth": {"data": {"ndarray": [[1]]}}},
        }
        for side, data in sides.items():
            ce = {"id": f"{number}", "requestid": f"r{number}", "modelid": "classifier"}
            ce |= {"type": f"io.seldon.serving.{side}", "time": "2026-03-04T10:00:00Z"}
            log.append({"ce": ce, "data": data})
    (tmp_path / "predictions.jsonl").write_text("".join(json.dumps(one) + "\n" for one in log))

    with running(config) as kedge:
        eventually(lambda: joined(kedge) == 300, what="300 pairs")
        measured = eventually(
            lambda: [
                row["value"]
                for row in kedge.get("/api/v1/measurements?metric=accuracy")["measurements"]
            ],
            what="a window of labels",
        )

    assert measured == [0.5]
