"""CPU time an event of Kedge and of its peers: the same log, the same batches of 10,000 events.

    python -m benchmarks.peers [--events 100000] [--environments DIR]

Kedge reads the log's file, measures PSI and exact KS of every column, latency and errors with
their bounds, and commits everything to SQLite. Each peer reads the same file with the standard
JSON parser into a pandas frame, measures KS and PSI (whylogs: KS and chi-square) of the same
columns, and keeps nothing. Imports and the reference are left out on all sides.

Peers live in environments of their own, made by this script with pip in a temporary folder, or
in DIR to find them again. A peer that cannot be installed is left out, with the reason.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import ingest
from detectors.reference import reference_file
from detectors.windows.window import WindowSpec

BATCH_EVENTS = 10_000
REFERENCE_EVENTS = 20_000
SCRIPT = Path(__file__).with_name("peer_batches.py")

#: Versions that work together; newer ones of what they build on break them (numpy 2, pandas 3).
#: Every benchmark makes its environments of these, so that one folder of them serves all.
PINNED: Mapping[str, Sequence[str]] = {
    "pandas": ("pandas==2.3.3", "scipy==1.17.1", "numpy<3"),
    "evidently": ("evidently==0.7.23", "pandas<3"),
    "whylogs": ("whylogs[viz]==1.6.4", "numpy<2", "pandas<3"),
    # It does not start without the second.
    "nannyml": ("nannyml==0.13.1", "statsmodels"),
    "river": ("river==0.26.1", "scipy", "pandas<3"),
}
#: Those that read the same log.
READERS = ("pandas", "evidently", "whylogs")


@dataclass(frozen=True, slots=True)
class Cost:
    """What so many events took."""

    seconds: float
    events: int
    statistics: int

    @property
    def microseconds(self) -> float:
        """CPU time an event, in microseconds."""
        return 1e6 * self.seconds / self.events


class PeerMissing(RuntimeError):  # noqa: N818 - a state, named as such
    """A peer that cannot be installed or run here; the message says why."""


def of_kedge(log: bytes, path: Path) -> Cost:
    reference = ingest.reference_of(b"".join(log.splitlines(keepends=True)[:REFERENCE_EVENTS]))
    profile = path.with_suffix(".kedge")
    profile.write_bytes(reference_file.dump(reference))
    spec = WindowSpec("events", BATCH_EVENTS, BATCH_EVENTS)
    run = ingest.whole_path(path, profile, path.parent, spec)
    began = time.process_time()
    run()
    seconds = time.process_time() - began
    events = log.count(b"\n")
    columns = 2 * (ingest.NUMBERS + 1) + ingest.CATEGORIES
    return Cost(seconds, events, events // BATCH_EVENTS * columns)


def of_peer(peer: str, log: Path, environments: Path) -> Cost:
    python = environment(peer, environments, PINNED[peer])
    arguments = [peer, str(log), str(REFERENCE_EVENTS), str(BATCH_EVENTS)]
    ran = subprocess.run(
        [str(python), str(SCRIPT), *arguments], capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise PeerMissing(f"it does not run: {last_line(ran.stderr)}")
    return Cost(**json.loads(ran.stdout))


def environment(peer: str, folder: Path, packages: Sequence[str]) -> Path:
    """The interpreter of a peer's environment, which is made where it is not there."""
    python = folder / peer / "bin" / "python"
    made = folder / peer / "installed"
    if made.exists():
        return python
    venv.create(folder / peer, with_pip=True, clear=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    installed = subprocess.run(
        [*pip, *packages], capture_output=True, text=True, check=False, timeout=900
    )
    if installed.returncode:
        raise PeerMissing(f"it cannot be installed: {last_line(installed.stderr)}")
    made.touch()
    return python


def last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1][:200]


def compared(environments: Path, events: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "log.jsonl"
        log = ingest.log_bytes(events)
        path.write_bytes(log)
        kedge = of_kedge(log, path)
        print(
            f"{events:,} events, {ingest.NUMBERS + ingest.CATEGORIES} features, batches of 10,000"
        )
        print(f"{'':<22}{'us of CPU an event':>20}{'statistics':>12}{'of Kedge':>10}")
        show("Kedge", kedge, kedge)
        for peer in READERS:
            try:
                show(peer, of_peer(peer, path, environments), kedge)
            except (PeerMissing, OSError, subprocess.SubprocessError) as error:
                print(f"{peer:<22}left out: {error}", flush=True)


def show(name: str, cost: Cost, kedge: Cost) -> None:
    ratio = cost.microseconds / kedge.microseconds
    print(f"{name:<22}{cost.microseconds:>20.1f}{cost.statistics:>12}{ratio:>10.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--environments", type=Path)
    arguments = parser.parse_args()
    if arguments.events < REFERENCE_EVENTS or arguments.events % BATCH_EVENTS:
        sys.exit(f"--events: expected a multiple of {BATCH_EVENTS}, at least {REFERENCE_EVENTS}")
    if arguments.environments is not None:
        compared(arguments.environments, arguments.events)
        return
    with tempfile.TemporaryDirectory() as name:
        compared(Path(name), arguments.events)


if __name__ == "__main__":
    main()
