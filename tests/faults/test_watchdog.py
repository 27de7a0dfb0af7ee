"""An event loop that stands still is told where, and given up; one that is only slow is not."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
import time

from monitor.watchdog import GIVEN_UP, MISSED_TOLD, Watchdog

STUCK = """
import asyncio, time
from monitor.watchdog import Watchdog

async def handler_that_never_yields():
    with Watchdog(asyncio.get_running_loop(), beat_s=0.02):
        time.sleep(3600)

asyncio.run(handler_that_never_yields())
"""


def test_a_loop_that_stands_still_is_shown_and_the_process_ended() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=120, check=False
    )

    assert ran.returncode == GIVEN_UP
    assert "handler_that_never_yields" in ran.stderr
    assert "stands still" in ran.stderr


async def test_a_loop_that_answers_late_but_answers_is_left_alone() -> None:
    ends: list[int] = []
    beat_s = 0.02
    watchdog = Watchdog(
        asyncio.get_running_loop(), beat_s=beat_s, end=ends.append, stacks=io.StringIO()
    )

    with watchdog:
        for _ in range(20):
            time.sleep(beat_s * MISSED_TOLD / 3)  # noqa: ASYNC251 - a handler that blocks a while
            await asyncio.sleep(2 * beat_s)

    assert not ends
