"""What is done to the process itself: stopped, frozen, killed while it starts, started twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.scene import configure, exactly, unready, write
from tests.monitor.daemon import eventually, running

pytestmark = pytest.mark.real

#: Well below the 30 s that Kubernetes gives a pod.
STOP_S_MAX = 5.0


def test_killed_again_and_again_while_it_starts_it_counts_every_line_once(tmp_path: Path) -> None:
    chance = random.Random(3)
    config = configure(tmp_path)
    write(tmp_path, 3_000)

    for _ in range(12):
        process = subprocess.Popen(
            [sys.executable, "-m", "monitor.cli", "run", "-c", str(config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(chance.uniform(0.05, 1.2))
        process.kill()
        process.wait()

    with running(config) as kedge:
        exactly(kedge, 3_000)


def test_frozen_for_seconds_and_thawed_it_goes_on_and_is_ready(tmp_path: Path) -> None:
    config = configure(tmp_path)
    write(tmp_path, 300)

    with running(config) as kedge:
        kedge.counted(300)
        kedge.process.send_signal(signal.SIGSTOP)
        write(tmp_path, 700, after=300)
        time.sleep(4.0)  # what is tested: that much time without it
        kedge.process.send_signal(signal.SIGCONT)
        exactly(kedge, 1_000)
        reason = unready(kedge)

    assert reason is None


def test_asked_to_stop_in_the_middle_of_a_backlog_it_stops_soon_and_loses_nothing(
    tmp_path: Path,
) -> None:
    config = configure(tmp_path)
    write(tmp_path, 100_000)

    with running(config) as kedge:
        kedge.counted(1)
        asked = time.monotonic()
        status = kedge.stop()
        took_s = time.monotonic() - asked
    with running(config) as kedge:
        kedge.counted(100_000)
        totals = kedge.totals()

    assert status == 0
    assert took_s < STOP_S_MAX
    assert totals == {"events": 100_000, "rejected": 0, "late": 0, "shed": 0}


def test_of_several_daemons_started_at_once_exactly_one_runs(tmp_path: Path) -> None:
    config = configure(tmp_path)
    write(tmp_path, 1_000)
    arguments = [sys.executable, "-m", "monitor.cli", "run", "-c", str(config)]
    started = [
        subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    try:
        ended = eventually(
            lambda: (done := [one for one in started if one.poll() is not None])[1:] and done,
            what="two of three have ended",
        )
        said = [one.stderr.read().decode() for one in ended if one.stderr]
    finally:
        for one in started:
            one.terminate()
            one.communicate(timeout=30)

    with running(config) as kedge:
        exactly(kedge, 1_000)

    assert [one.returncode for one in ended] == [1, 1]
    assert all("another Kedge" in text for text in said)
