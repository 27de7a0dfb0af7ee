"""`kedge calibrate` prints rules that can be pasted, and says what they rest on."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from monitor.settings.quantities import parse_false_alarms
from tests.monitor.events import events, lines

BEGIN = 1_772_618_400.0
CONFIG = """
[model]
name = "m"

[[collect]]
type = "tail"
path = "predictions.jsonl"

[reference]
from = "first"
events = 2000

[windows]
length = "2s"
slide = "1s"
min_events = 50
lateness = "1s"

[[rules]]
name = "prediction"
metric = "ks"
column = "prediction"
above = 0.4
for = "2 of 3"
action = "rollback"

[[rules]]
name = "slow"
metric = "latency_p99"
above = 1000
clear = 900

[[rules]]
name = "quiet"
metric = "throughput"
below = 1

[[rules]]
name = "cpu"
metric = "cpu_ratio"
above = 2
"""

pytestmark = pytest.mark.real


def calibrate(
    folder: Path, *arguments: str, rules: str = CONFIG
) -> subprocess.CompletedProcess[str]:
    (folder / "kedge.toml").write_text(rules)
    return subprocess.run(
        [sys.executable, "-m", "monitor.cli", "calibrate", "-c", "kedge.toml", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_it_prints_rules_that_fire_no_more_often_on_the_same_logs_than_it_says(
    tmp_path: Path,
) -> None:
    log = tmp_path / "healthy.jsonl"
    log.write_bytes(lines(events(30_000, version="7", begins=BEGIN)))

    done = calibrate(tmp_path, "healthy.jsonl", "--false-alarms", "1 per 60 windows")
    head = CONFIG[: CONFIG.index("[[rules]]")]
    again = calibrate(tmp_path, "healthy.jsonl", rules=head + done.stdout)
    replayed = subprocess.run(
        [sys.executable, "-m", "monitor.cli", "replay", "-c", "kedge.toml", "--json", log.name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    rules = {rule["name"]: rule for rule in tomllib.loads(done.stdout)["rules"]}
    assert done.returncode == 0, done.stderr
    assert 0 <= rules["prediction"]["above"] < 0.2
    assert (rules["prediction"]["for"], rules["prediction"]["action"]) == ("2 of 3", "rollback")
    assert 10 < rules["slow"]["above"] < 30
    assert 100 < rules["quiet"]["below"] < 130  # the upper bound of 100 requests a second
    assert "cpu" not in rules
    assert '# rule "cpu": ' in done.stdout
    assert "# clear = 900.0 was" in done.stdout
    assert "# counted: " in done.stdout
    assert again.returncode == 0, again.stderr
    fired = Counter(one["rule"] for one in json.loads(replayed.stdout)["fired"])
    told = [int(found) for found in re.findall(r"; (\d+) alarms", done.stdout)]
    assert fired["prediction"] <= told[0] <= 300 / 60
    assert fired["slow"] <= told[1] <= 300 / 60


def test_logs_that_are_too_short_for_the_rate_are_told_to_be(tmp_path: Path) -> None:
    (tmp_path / "healthy.jsonl").write_bytes(lines(events(30_000, version="7", begins=BEGIN)))

    done = calibrate(tmp_path, "healthy.jsonl")

    assert done.returncode == 0
    assert "TOO SHORT to prove 1 per 30d" in done.stdout
    assert "EXTRAPOLATED" in done.stdout or "Too few peaks" in done.stdout


def test_wrong_use_is_told_in_one_line_with_exit_2_and_no_window_with_exit_1(
    tmp_path: Path,
) -> None:
    (tmp_path / "few.jsonl").write_bytes(lines(events(100, version="7", begins=BEGIN)))

    rate = calibrate(tmp_path, "few.jsonl", "--false-alarms", "often")
    missing = calibrate(tmp_path, "gone.jsonl")
    ruleless = calibrate(tmp_path, "few.jsonl", rules=CONFIG[: CONFIG.index("[[rules]]")])
    few = calibrate(tmp_path, "few.jsonl")

    assert [done.returncode for done in (rate, missing, ruleless, few)] == [2, 2, 2, 1]
    assert "1 per 30d" in rate.stderr
    assert "gone.jsonl" in missing.stderr
    assert "[[rules]]" in ruleless.stderr
    assert "no window closed" in few.stderr
    assert not any("Traceback" in done.stderr for done in (rate, missing, ruleless, few))


def test_a_reference_of_which_the_logs_hold_no_column_is_named(tmp_path: Path) -> None:
    healthy, other = (events(3_000, version="7", begins=BEGIN + 60 * i) for i in range(2))
    (tmp_path / "healthy.jsonl").write_bytes(lines(healthy))
    renamed = ({**one, "features": {"x": 1.0}, "prediction": None} for one in other)
    (tmp_path / "other.jsonl").write_bytes(lines(renamed))
    build = ["reference", "build", "--from", "healthy.jsonl", "--out", "r.kedge"]
    subprocess.run([sys.executable, "-m", "monitor.cli", *build], cwd=tmp_path, check=True)
    filed = CONFIG.replace('from = "first"\nevents = 2000', 'path = "r.kedge"')
    of_columns = filed[: filed.index('[[rules]]\nname = "slow"')]

    alone = calibrate(tmp_path, "other.jsonl", rules=of_columns)
    among = calibrate(tmp_path, "other.jsonl", rules=filed)

    why = f"the logs hold no column of the reference {tmp_path / 'r.kedge'}"
    assert (alone.returncode, among.returncode) == (1, 0)
    assert f"nothing to propose: {why}" in alone.stderr
    assert f'# rule "prediction": {why}; it stays as it is.' in among.stdout
    assert "slow" in {rule["name"] for rule in tomllib.loads(among.stdout)["rules"]}


def test_rates_are_read_by_time_and_by_windows() -> None:
    assert parse_false_alarms("1 per 30d").per_window(60.0) == 60 / (30 * 86_400)
    assert parse_false_alarms("2 per 1000 windows").per_window(60.0) == 0.002
    for wrong in ("often", "0 per 30d", "1 per 0 windows", "1 per -3d", "per 30d"):
        with pytest.raises(ValueError):
            parse_false_alarms(wrong)
