"""Kills the daemon again and again while another process writes and rotates the log.

    python -m benchmarks.crash [--kills 100] [--rotation rename] [--seed 1]

The daemon is the real one, killed by SIGKILL at random instants between its start and some
seconds later. The writer never stops for it: it writes numbered events in torn pieces, and
rotates the log every second or so:

* ``rename``: ``log`` becomes ``log.1``, ``log.1`` becomes ``log.2``, and so on;
* ``rename-late``: as before, but it goes on in the renamed file for a while;
* ``rename-gzip``: as the kubelet does it, older files are compressed at the next rotation;
* ``copytruncate``: the log is copied and cut, with nothing written in between (what is written
  in between is lost by this kind of rotation, whoever reads).

Rotated files stay: on a busy machine the daemon is killed before it gets anywhere, and a rotator
that deletes what was not read yet loses it, whoever reads.

At the end each event has to be in its window once. Windows hold 100 events by their event time,
so a window with fewer has lost some, and one with more has counted some twice; the daemon's
totals have to agree. Exit status 1 unless lost = repeated = 0.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.monitor.daemon import eventually, running

ROTATIONS = ("rename", "rename-late", "rename-gzip", "copytruncate")
#: Event time of the first event; events are 10 ms apart.
BEGIN = 1_772_618_400
EVENTS_PER_WINDOW = 100
#: Events that become the reference: they are in no window.
REFERENCE_EVENTS = 100
#: The daemon is done when nothing has changed for so long; a busy machine may need seconds a turn.
REST_S = 10.0

CONFIGURATION = f"""
[model]
name = "m"

[[collect]]
type = "tail"
path = "log.jsonl"

[reference]
from = "first"
events = {REFERENCE_EVENTS}

[windows]
length = "1s"
lateness = "60s"
min_events = 50

[store]
commit_interval = "20ms"

[http]
listen = "127.0.0.1:0"
"""

WRITER = """
import gzip, json, os, random, shutil, signal, sys, time
log, rotation, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
rng, begin, rate = random.Random(seed), 1772618400, 3000
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(True))

def opened():
    return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def event(number):
    # Without an id: a prediction that has one, and no features, waits for its other half.
    return b'{"ts": %.2f, "version": "7", "prediction": %d, "number": %d, "filler": "%s"}\\n' % (
        begin + number / 100, number * 7919 % 1000, number, b"x" * rng.randrange(100))

def shift():
    # Rotated files move up by one; what is compressed stays so.
    for k in range(rotations, 0, -1):
        for ending in ("", ".gz"):
            if os.path.exists(f"{log}.{k}{ending}"):
                os.rename(f"{log}.{k}{ending}", f"{log}.{k + 1}{ending}")

file, number, rotations, rest = opened(), 1, 0, b""
rotate_at, due = 2000, time.monotonic()
while not stop:
    for _ in range(30):
        rest += event(number)
        number += 1
    cut = rng.randrange(len(rest) + 1)
    os.write(file, rest[:cut])
    rest = rest[cut:]
    if number >= rotate_at:
        rotate_at, rotations = number + rng.randrange(1500, 5000), rotations + 1
        if rotation == "copytruncate":
            os.write(file, rest)
            rest = b""
            shift()
            shutil.copyfile(log, log + ".1")
            time.sleep(rng.random() * 0.01)
            os.truncate(log, 0)
        else:
            if rotation == "rename-gzip" and os.path.exists(log + ".1"):
                with open(log + ".1", "rb") as plain, gzip.open(log + ".1.tmp", "wb") as packed:
                    shutil.copyfileobj(plain, packed)
                os.rename(log + ".1.tmp", log + ".1.gz")
                time.sleep(rng.random() * 0.01)
                os.unlink(log + ".1")
            shift()
            os.rename(log, log + ".1")
            if rotation == "rename-late":
                for _ in range(rng.randrange(200)):
                    rest += event(number)
                    number += 1
                    if rng.random() < 0.05:
                        os.write(file, rest)
                        rest = b""
                        time.sleep(0.005)
            os.write(file, rest)
            rest = b""
            os.close(file)
            time.sleep(rng.random() * 0.01)
            file = opened()
    due += 30 / rate
    time.sleep(max(0, due - time.monotonic()))
os.write(file, rest)
print(number, rotations)
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was written, and what became of it."""

    kills: int
    rotations: int
    lines: int
    lost: int
    repeated: int
    late: int

    def __str__(self) -> str:
        return (
            f"{self.kills} kills, {self.rotations} rotations, {self.lines} lines: "
            f"{self.lost} lost, {self.repeated} repeated ({self.late} late)"
        )


def crash(folder: Path, *, kills: int, rotation: str, seed: int) -> Outcome:
    """Run the writer and the daemon in a folder, kill the daemon, and count."""
    rng = random.Random(seed)
    config, log = folder / "kedge.toml", folder / "log.jsonl"
    config.write_text(CONFIGURATION)
    # Rotated files that are there when the daemon looks for the very first time are history.
    log.write_text(f'{{"ts": {BEGIN}, "version": "7", "prediction": 0}}\n')
    with running(config) as kedge:
        kedge.counted(1)
        kedge.kill()
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(log), rotation, str(seed)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        for _ in range(kills):
            _run_and_kill(config, rng)
        writer.terminate()
        lines, rotations = map(int, writer.communicate(timeout=60)[0].split())
    finally:
        writer.kill()
        writer.wait()
    # One event more, far ahead: every window before it closes.
    with log.open("a") as file:
        file.write(f'{{"ts": {BEGIN + lines / 100 + 3600}, "version": "7", "prediction": 1}}\n')
    with running(config) as kedge:
        _come_to_rest(lambda: (kedge.totals(), len(_windows(folder / "kedge.db"))))
        totals = kedge.totals()
        assert kedge.stop() == 0
    lost, repeated = _differences(folder / "kedge.db", lines)
    surplus = totals["events"] + totals["rejected"] - (lines + 1)
    return Outcome(
        kills,
        rotations,
        lines,
        max(lost, -surplus),
        max(repeated, surplus, totals["rejected"]),
        totals["late"],
    )


def _run_and_kill(config: Path, rng: random.Random) -> None:
    """Start the daemon, and kill it while it starts, catches up or follows."""
    output = config.with_suffix(".log")
    with output.open("ab") as said:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "monitor.cli", "run", "-c", str(config)],
            stdout=said,
            stderr=said,
            stdin=subprocess.DEVNULL,
        )
    begins = output.stat().st_size
    wait_s = rng.uniform(0.0, 1.5)
    if rng.random() < 0.9:
        # One in ten is killed at whatever it does while it starts.
        eventually(
            lambda: b"listening on" in output.read_bytes()[begins:] or daemon.poll() is not None,
            what="the daemon listens",
        )
    time.sleep(wait_s)
    if daemon.poll() is not None:
        raise RuntimeError(f"the daemon ended by itself:\n{output.read_text()[-2000:]}")
    daemon.kill()
    daemon.wait()


def _come_to_rest(standing: Callable[[], object]) -> None:
    """Wait until the totals, and the windows, have not changed for some seconds."""
    last, since = standing(), time.monotonic()
    while time.monotonic() - since < REST_S:
        time.sleep(0.2)
        if (now := standing()) != last:
            last, since = now, time.monotonic()


def _differences(store: Path, lines: int) -> tuple[int, int]:
    """Events missing from their windows, and events too many in them."""
    counted: dict[int, int] = {}
    for begins, events in _windows(store):
        window = round(begins) - BEGIN
        counted[window] = counted.get(window, 0) + events
    lost = repeated = 0
    for window in range(-(-lines // EVENTS_PER_WINDOW)):
        first = window * EVENTS_PER_WINDOW
        expected = min(lines, first + EVENTS_PER_WINDOW) - max(first, REFERENCE_EVENTS)
        difference = counted.get(window, 0) - max(0, expected)
        lost, repeated = lost + max(0, -difference), repeated + max(0, difference)
    return lost, repeated


def _windows(store: Path) -> list[tuple[float, int]]:
    """Return when each stored window begins, and its events; empty ones close for ever."""
    connection = sqlite3.connect(store)
    try:
        return connection.execute(
            "SELECT begins, events FROM kedge_windows WHERE events > 0"
        ).fetchall()
    finally:
        connection.close()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Kills the daemon while a log is rotated.")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--rotation", choices=ROTATIONS, default="rename")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="kedge-crash-") as folder:
        outcome = crash(
            Path(folder), kills=options.kills, rotation=options.rotation, seed=options.seed
        )
    print(f"{options.rotation}: {outcome}")
    return 0 if outcome.lost == outcome.repeated == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
