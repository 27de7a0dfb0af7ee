"""The rehearsal of a load, as a process."""

from __future__ import annotations

import json
import subprocess
import sys

_BESIDE_A_THREAD = """
import runpy, sys, threading, time
threading.Thread(target=time.sleep, args=(600,)).start()
sys.argv = ["rehearse", sys.argv[1]]
runpy.run_module("scoring.rehearse", run_name="__main__")
"""


def test_a_thread_that_a_model_left_behind_does_not_keep_the_answer_from_ending() -> None:
    rehearsal = subprocess.run(
        [sys.executable, "-c", _BESIDE_A_THREAD, "/nowhere/at/all"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert rehearsal.returncode == 1
    assert json.loads(rehearsal.stdout)["ok"] is False
