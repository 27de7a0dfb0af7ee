"""CPU time of drift between two tables: Kedge, scipy by hand, Evidently, NannyML, whylogs.

    python -m benchmarks.column_statistics [--peers] [--environments DIR]

First part: KS of 20 columns of numbers and PSI of these and 5 of categories, 100,000 rows against
100,000, everything from the start of the interpreter to its end. Every side reads the same file.
Kedge builds the reference of one table and counts the other against it, as its daemon does; what
NannyML and whylogs have no PSI for is another distance.

Second part: every metric that is measured by default, of windows of 10,000 rows and 100 columns of
numbers, counting included, the reference kept; and what each metric costs a column.

Without `--peers` only Kedge and scipy by hand run, both in this environment. With it, peers run in
environments of their own, made by pip in a temporary folder, or in DIR to find them again.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.kedge_statistics import batch_of, reference_of
from benchmarks.peers import PINNED, PeerMissing, environment, last_line
from collectors.batch import NumberColumn, Schema
from detectors.columns.profile import NumberProfile
from detectors.kinds import COLUMN_DEFAULTS, COLUMN_METRICS, measure
from detectors.windows.pane import Pane

ROWS, NUMBERS = 100_000, 20
LEVELS = (3, 8, 20, 50, 200)
SCRIPT = Path(__file__).with_name("peer_statistics.py")
RUNS = 3
#: A library's threads that wait for one another on busy cores would count as work.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

PEERS = ("pandas", "evidently", "whylogs", "nannyml")


def write_tables(path: Path) -> None:
    """Two tables of one law, but for five columns of numbers."""
    random = np.random.default_rng(1)
    arrays: dict[str, np.ndarray] = {}
    for side in ("reference", "window"):
        numbers = random.normal(size=(NUMBERS, ROWS))
        numbers[10:] = np.exp(numbers[10:])
        if side == "window":
            numbers[::4] += 0.1
        arrays[f"{side}_numbers"] = numbers
        arrays[f"{side}_codes"] = np.array([random.integers(0, n, ROWS) for n in LEVELS])
    np.savez(path, **arrays)  # type: ignore[arg-type]  # arrays only


def whole(command: Sequence[str], bytecode: Path) -> tuple[float, dict[str, float]]:
    """CPU seconds of a whole process, the least of some runs, and what it printed.

    Parameters
    ----------
    bytecode
        Where Python keeps what it compiled: compiling is of the first run only, on every side.

    Raises
    ------
    PeerMissing
        It does not run.
    """
    best, told = float("inf"), {}
    environment = os.environ | ONE_THREAD | {"PYTHONPYCACHEPREFIX": str(bytecode)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    for _ in range(RUNS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        ran = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
        if ran.returncode:
            raise PeerMissing(f"it does not run: {last_line(ran.stderr)}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if seconds < best:
            best, told = seconds, json.loads(ran.stdout.splitlines()[-1])
    return best, told


def compared(environments: Path | None) -> None:
    with tempfile.TemporaryDirectory() as name:
        path, bytecode = Path(name) / "tables.npz", Path(name) / "bytecode"
        write_tables(path)
        command = [sys.executable, "-m", "benchmarks.kedge_statistics", str(path)]
        ours, told = whole(command, bytecode)
        print(f"{ROWS:,} rows against {ROWS:,}, {NUMBERS} numbers and {len(LEVELS)} categories")
        print(f"{'':<18}{'CPU s, whole':>14}{'computing':>12}{'statistics':>12}{'of Kedge':>10}")
        show("Kedge", ours, told, ours)
        print(f"{'':<18}of it the window alone, the reference kept: {told['window']:.3f} s")
        seconds, found = whole([*command, "joint"], bytecode)
        show("correlations, too", seconds, found, ours)
        for peer in PEERS if environments else ("pandas",):
            try:
                python = environment(peer, environments, PINNED[peer]) if environments else None
                seconds, found = whole(
                    [str(python or sys.executable), str(SCRIPT), peer, str(path)], bytecode
                )
                show(peer if peer != "pandas" else "scipy by hand", seconds, found, ours)
            except (PeerMissing, OSError, subprocess.SubprocessError) as error:
                print(f"{peer:<18}left out: {error}", flush=True)


def show(name: str, seconds: float, told: dict[str, float], ours: float) -> None:
    print(
        f"{name:<18}{seconds:>14.2f}{told['computing']:>12.2f}{told['statistics']:>12.0f}"
        f"{seconds / ours:>10.1f}",
        flush=True,
    )


def defaults(columns: int = 100, rows: int = 10_000, reference_rows: int = 100_000) -> None:
    random = np.random.default_rng(2)
    names = [f"x{number}" for number in range(columns)]
    reference = reference_of(
        {name: NumberColumn(random.normal(size=reference_rows)) for name in names}
    )
    window = batch_of({name: NumberColumn(random.normal(size=rows)) for name in names})
    times = []
    for _ in range(2 * RUNS):
        began = time.process_time()
        pane = Pane(reference, Schema({}))
        pane.add(window)
        for counts in pane.columns.values():
            counts.state()
        counted = time.process_time()
        measure(pane, reference, seconds=60.0, confidence=0.99, metrics=COLUMN_DEFAULTS)
        times.append((time.process_time() - began, counted - began))
    total, counting = min(times)
    print(f"\nall default metrics, {columns} columns of numbers, {rows:,} rows, CPU ms")
    print(f"{'whole':<22}{1e3 * total:>8.1f}\n{'of it counting':<22}{1e3 * counting:>8.1f}")
    profile = reference.columns["x0"]
    assert isinstance(profile, NumberProfile)
    print(f"\na metric, per column of {profile.counts.size:,} points, CPU ms")
    for metric in COLUMN_METRICS:
        best = float("inf")
        for _ in range(RUNS):
            began = time.process_time()
            measure(pane, reference, seconds=60.0, confidence=0.99, metrics=(metric,))
            best = min(best, time.process_time() - began)
        print(f"{metric:<22}{1e3 * best / columns:>8.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", action="store_true", help="Evidently, NannyML and whylogs, too")
    parser.add_argument("--environments", type=Path, help="folder of the peers' environments")
    arguments = parser.parse_args()
    if arguments.environments is not None:
        compared(arguments.environments)
    elif arguments.peers:
        with tempfile.TemporaryDirectory() as name:
            compared(Path(name))
    else:
        compared(None)
    defaults()


if __name__ == "__main__":
    main()
