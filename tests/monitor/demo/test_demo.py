"""`kedge demo` as a user runs it: the whole loop with real processes, from outside."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "monitor.cli", "demo", "--port", "0"]


def children_of(folder: Path) -> list[str]:
    """Commands of processes that work in the folder, or were told of it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            works_in = str((process / "cwd").readlink())
        except OSError:
            continue
        if str(folder) in command or works_in.startswith(str(folder)):
            found.append(command)
    return found


@pytest.mark.real
@pytest.mark.timeout(240)
def test_the_demo_ends_with_a_verified_rollback_and_leaves_nothing_running(tmp_path: Path) -> None:
    data = tmp_path / "data"

    done = subprocess.run(
        [*COMMAND, "--once", "--data-dir", str(data)],
        capture_output=True,
        text=True,
        timeout=230,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = data.iterdir()
    # The registry's own database, after everything was ended.
    with closing(sqlite3.connect(run / "mlflow" / "mlflow.db")) as registry:
        aliases = registry.execute("SELECT alias, version FROM registered_model_aliases").fetchall()
    assert [(alias, str(version)) for alias, version in aliases] == [("champion", "1")]
    versions = [
        json.loads(line)["version"] for line in (run / "predictions.jsonl").read_text().splitlines()
    ]
    swap = versions.index("1")
    assert set(versions[:swap]) == {"2"}
    # Of a thousand at least; what was asked before the swap may be written down after it.
    assert versions[-900:] == ["1"] * 900
    assert re.search(r"requests, of them failed +\d+, 0\n", done.stdout)
    assert children_of(data) == []


@pytest.mark.real
@pytest.mark.timeout(120)
def test_an_interrupted_demo_ends_everything_that_it_started(tmp_path: Path) -> None:
    data = tmp_path / "data"
    demo = subprocess.Popen(
        [*COMMAND, "--data-dir", str(data)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        deadline = time.monotonic() + 60
        while not [command for command in children_of(data) if "mlflow" in command]:
            assert demo.poll() is None
            assert time.monotonic() < deadline, "no registry was started"
            time.sleep(0.05)

        demo.send_signal(signal.SIGTERM)
        output, _ = demo.communicate(timeout=60)
    finally:
        demo.kill()
        demo.wait()

    assert demo.returncode == 1
    assert b"interrupted before the rollback was verified" in output
    assert children_of(data) == []
