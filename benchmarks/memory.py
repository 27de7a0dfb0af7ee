"""Memory of a running daemon, from the first hundred thousand events to the last million.

    python -m benchmarks.memory [--events 1000000] [--columns 23] [--ahead 5000]
                                [--events-per-s 100]

A real `kedge run` reads a log that grows as fast as it is read (with --ahead 100000: that is far
ahead of it, so that there is a backlog all the time) and is rotated by renaming; its
resident memory is read from
/proc. Two figures: how flat it stays once warm (goal: within 5 MB of its middle from 100,000
events on), and the most it ever takes (goal: 130 MB with 100 columns). With few events a second
of event time (--events-per-s 0.1) a backlog has many windows that close at once.

The reference is a file, windows and detectors are those that `kedge init` writes. Rotated
files are deleted behind the reader, so the disk holds a few hundred MB at most.
"""

from __future__ import annotations

import argparse
import itertools
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from collectors.formats.kedge import KedgeFormat
from detectors.reference import reference_file
from detectors.reference.reference import ReferenceBuilder

MODEL = "flight-delay"
TS = 1772618400.0
EVENTS_PER_S = 100
#: Lines that differ; the log repeats them with times of their own.
BODIES = 20_000
#: Events a file of the log, and events written at a time.
PART_EVENTS, STEP_EVENTS = 50_000, 5_000
WARM_EVENTS = 100_000
SAMPLE_S = 0.02
FLAT_MB, TOTAL_MB = 5.0, 130.0

CONFIG = """
[model]
name = "{model}"

[[collect]]
type = "tail"
path = "log.jsonl"
linger = "1s"

[reference]
path = "reference.kedge"

[[rules]]
name = "drift"
metric = "psi"
columns = ["*"]
above = 0.25

[store]
commit_interval = "100ms"

[http]
listen = "127.0.0.1:0"
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """Resident memory in MB when so many events had been counted."""

    events: int
    rss_mb: float


def bodies(columns: int, seed: int = 7) -> list[bytes]:
    """Events without their time: an eighth of the columns strings, the others numbers."""
    chance = random.Random(seed)
    strings = columns // 8
    made = []
    for number in range(BODIES):
        features: dict[str, object] = {
            f"n{i:03d}": round(chance.gauss(0.0, 1.0), 4) for i in range(columns - strings)
        }
        features |= {
            f"c{i:02d}": chance.choice(("gold", "silver", "basic")) for i in range(strings)
        }
        event = {
            "id": f"request-{number}",
            "version": "7",
            "latency_ms": round(chance.lognormvariate(2.0, 0.5), 2),
            "features": features,
            "prediction": round(chance.random(), 4),
        }
        made.append(msgspec.json.encode(event)[1:])
    return made


def reference(lines: list[bytes]) -> bytes:
    builder = ReferenceBuilder()
    log = b"".join(b'{"ts":%d,%b\n' % (TS, line) for line in lines)
    for batch in KedgeFormat(MODEL).decode(log).batches:
        builder.add(batch.columns)
    return reference_file.dump(builder.build(created=TS, origin="benchmark"))


class Log:
    """A log that is written, and rotated by renaming, as fast as it is read."""

    def __init__(
        self, folder: Path, lines: list[bytes], events: int, ahead: int, events_per_s: float
    ) -> None:
        self._log = folder / "log.jsonl"
        self._numbers = iter(range(events))
        self._lines = itertools.cycle(lines)
        self._rotated: list[tuple[int, Path]] = []
        self._ahead = ahead
        self._events_per_s = events_per_s
        self.written = 0
        self.events = events

    def follow(self, counted: int) -> None:
        """Write on until as far ahead of `counted` as may be; delete what is behind it."""
        while self.written < self.events and self.written < counted + self._ahead:
            if self.written and self.written % PART_EVENTS == 0:
                rotated = self._log.with_name(f"{self._log.name}.{self.written:08d}")
                self._log.rename(rotated)
                self._rotated.append((self.written, rotated))
            with self._log.open("ab") as part:
                part.writelines(self._step())
        for last, rotated in self._rotated:
            if last < counted:
                rotated.unlink(missing_ok=True)

    def _step(self) -> Iterator[bytes]:
        for number in itertools.islice(self._numbers, STEP_EVENTS):
            self.written = number + 1
            yield b'{"ts":%.3f,%b\n' % (TS + number / self._events_per_s, next(self._lines))


class Daemon:
    """A `kedge run` of its own."""

    def __init__(self, config: Path) -> None:
        self._log = config.with_suffix(".log")
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "monitor.cli", "run", "-c", str(config)],
                stdout=output,
                stderr=output,
            )
        self._url = ""

    def wait_until_up(self) -> None:
        while not self._url:
            found = re.search(r"listening on (http://[^\s\x22]+)", self._log.read_text())
            if found:
                self._url = found[1]
            if self.process.poll() is not None:
                raise SystemExit(self._log.read_text())
            time.sleep(0.05)

    def counted(self) -> int:
        with urllib.request.urlopen(self._url + "/api/v1/status", timeout=30) as answer:
            return int(msgspec.json.decode(answer.read())["totals"]["all"]["events"])

    def rss_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return int(found[1]) / 1024 if found else 0.0

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def watched(
    folder: Path, columns: int, events: int, ahead: int, events_per_s: float
) -> list[Sample]:
    """Run the daemon over a log of so many events, and watch its memory."""
    lines = bodies(columns)
    (folder / "reference.kedge").write_bytes(reference(lines))
    config = folder / "kedge.toml"
    config.write_text(CONFIG.format(model=MODEL))
    log = Log(folder, lines, events, ahead, events_per_s)
    daemon = Daemon(config)
    samples: list[Sample] = []
    try:
        daemon.wait_until_up()
        samples.append(Sample(0, daemon.rss_mb()))
        while samples[-1].events < events:
            log.follow(samples[-1].events)
            time.sleep(SAMPLE_S)
            samples.append(Sample(daemon.counted(), daemon.rss_mb()))
    finally:
        daemon.stop()
    return samples


def report(samples: list[Sample], columns: int, seconds: float) -> None:
    events = samples[-1].events
    print(f"{events:,} events of {columns} columns in {seconds:.0f} s; resident memory:")
    shown = [0, *(10**k * m for k in range(4, 8) for m in (1, 2, 5)), events]
    for mark in sorted({mark for mark in shown if mark <= events}):
        at = next(sample for sample in samples if sample.events >= mark)
        print(f"{at.events:>12,} events {at.rss_mb:8.1f} MB")
    warm = [sample.rss_mb for sample in samples if sample.events >= WARM_EVENTS]
    most = max(sample.rss_mb for sample in samples)
    if warm:
        spread = (max(warm) - min(warm)) / 2
        print(f"flat from {WARM_EVENTS:,} events on within {spread:.1f} MB", end=" ")
        print(f"(goal {FLAT_MB:g}: {'met' if spread <= FLAT_MB else 'not met'})")
    print(f"at most {most:.1f} MB", end="")
    goal = f" (goal {TOTAL_MB:g} with 100 columns: {'met' if most <= TOTAL_MB else 'not met'})"
    print(goal if columns == 100 else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=23)
    parser.add_argument("--ahead", type=int, default=STEP_EVENTS)
    parser.add_argument("--events-per-s", type=float, default=EVENTS_PER_S)
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        samples = watched(
            Path(name),
            arguments.columns,
            arguments.events,
            arguments.ahead,
            arguments.events_per_s,
        )
    report(samples, arguments.columns, time.monotonic() - began)


if __name__ == "__main__":
    main()
