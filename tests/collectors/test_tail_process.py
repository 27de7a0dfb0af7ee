"""Another process writes and rotates, in its own time, while the log is followed."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from collectors.tail.tail import Tail, TailSettings

LINES = 30_000

# Writes in torn pieces, and rotates every so often; logrotate's naming, no line ever twice.
WRITER = """
import os, random, sys, time
log, lines, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng = random.Random(seed)
file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
rest = b""
for i in range(lines):
    rest += b'{"id": %08d, "filler": "%s"}\\n' % (i, b"x" * rng.randrange(200))
    if rng.random() < 0.05:
        cut = rng.randrange(len(rest) + 1)
        os.write(file, rest[:cut])
        rest = rest[cut:]
    if rng.random() < 0.0005:
        for k in range(100, 0, -1):
            if os.path.exists(f"{log}.{k}"):
                os.rename(f"{log}.{k}", f"{log}.{k + 1}")
        os.rename(log, log + ".1")
        if rng.random() < 0.5:
            time.sleep(rng.random() * 0.05)
        os.write(file, rest)  # late, into the file that was renamed
        rest = b""
        os.close(file)
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    if rng.random() < 0.002:
        time.sleep(rng.random() * 0.02)
os.write(file, rest)
"""


@pytest.mark.parametrize("seed", [1, 2])
def test_each_line_of_another_process_is_read_once_over_rotations_and_restarts(
    tmp_path: Path, seed: int
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"id": -0000001, "filler": ""}\n')
    rng = random.Random(seed)
    positions: dict[str, dict[str, object]] = {}
    numbers: list[int] = []
    settings = TailSettings(path=str(log))
    tail = Tail(settings)
    tail.restore(positions)

    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(log), str(LINES), str(seed)])
    deadline = time.monotonic() + 60.0
    restart_at = time.monotonic()
    while len(numbers) <= LINES and time.monotonic() < deadline:
        for chunk in tail.poll():
            numbers += [int(line[7:15]) for line in chunk.lines.splitlines()]
            positions[chunk.stream] = dict(chunk.position)
        time.sleep(0.005)
        if time.monotonic() > restart_at:
            restart_at += rng.random() * 0.3
            tail.close()
            tail = Tail(settings)
            tail.restore(positions)
    writer.wait(60)
    tail.close()

    assert len(list(tmp_path.iterdir())) > 5
    assert sorted(numbers) == list(range(-1, LINES))
