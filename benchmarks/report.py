"""A report of many columns and windows: bytes of the file, time, memory, bytes in the store.

    python -m benchmarks.report [--columns 100] [--windows 500] [--keep FILE]

Fills a SQLite store in a temporary folder through the store itself, with distributions of real
counts, and writes a report of it. The goal is a file of less than 5 MB. Also what keeping the
distributions costs a window.
"""

from __future__ import annotations

import argparse
import re
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from collectors.batch import CategoryColumn, NumberColumn, Schema
from detectors.columns.column_counts import add_column
from detectors.columns.profile import CategoryProfile, NumberProfile
from detectors.kinds import measure
from detectors.reference.reference import Reference
from detectors.windows.pane import Pane
from detectors.windows.window import ClosedWindow
from monitor.pictures.distributions import Distributions
from monitor.reports.from_store import stored_facts
from monitor.reports.page import html
from monitor.store.store import Change, Store, WindowRow

BEGIN = 1_772_618_400.0
WINDOW_S = 300.0
ROWS = 1_000
MODEL = "flight-delay"
METRICS = ("drift", "invalid_ratio", "ks", "missing_ratio", "new_category_ratio", "psi")
OF_WINDOW = ("error_ratio", "latency_p50", "latency_p99", "throughput", "accuracy")
GOAL_BYTES = 5_000_000


def reference_of(columns: int, rng: np.random.Generator) -> Reference:
    """Every fifth column of categories, the others of numbers."""
    profiles: dict[str, NumberProfile | CategoryProfile] = {}
    for number in range(columns):
        if number % 5 == 4:
            counts = np.arange(30, 0, -1) * 20
            profiles[f"feature_{number:03d}"] = CategoryProfile(
                tuple(f"value {i}" for i in range(30)), counts, 0, 12, 0
            )
        else:
            points, rows = np.unique(rng.normal(40, 1 + number, 2_000), return_counts=True)
            profiles[f"feature_{number:03d}"] = NumberProfile(points, rows, 5, 0)
    return Reference(profiles, 2_000, BEGIN, "benchmark")


def pane_of(reference: Reference, rng: np.random.Generator, shift: float) -> Pane:
    """One window's counts."""
    pane = Pane(reference, Schema({name: one.kind for name, one in reference.columns.items()}))
    pane.events = pane.answered = ROWS
    for number, counts in enumerate(pane.columns.values()):
        if counts.kind == "category":
            values = [f"value {i}" for i in rng.integers(0, 31, ROWS)]
            add_column(counts, CategoryColumn(values))
        else:
            drawn = rng.normal(40 + shift * number, 1 + number, ROWS)
            add_column(counts, NumberColumn(drawn))
    return pane


def rows_of(
    reference: Reference, number: int, windows: int, rng: np.random.Generator
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a window and what is measured of it, as rows of the store."""
    ends = BEGIN + number * WINDOW_S
    frame = {"model": MODEL, "version": "8", "begins": ends - WINDOW_S, "ends": ends}
    counts = {"events": ROWS, "requests": ROWS, "errors": 3, "rejected": 0, "late": 0}
    series = [(name, metric) for name in reference.columns for metric in METRICS]
    late = number > windows * 0.8
    measured = []
    for column, metric in [*series, *((None, metric) for metric in OF_WINDOW)]:
        value = float(rng.random()) * (0.9 if late else 0.2)
        judged = metric == "drift"
        measured.append(
            frame
            | {"column": column, "metric": metric, "value": value, "p_value": None, "n": ROWS}
            | {"low": value * 0.9, "high": value * 1.1, "threshold": 0.5 if judged else None}
            | {"verdict": ("breach" if value * 0.9 > 0.5 else "ok") if judged else "unknown"}
        )
    return frame | counts, measured


def fill(url: str, columns: int, windows: int) -> None:
    """Write windows with their distributions, some to a transaction."""
    rng = np.random.default_rng(3)
    reference, made = reference_of(columns, rng), Distributions()
    panes = [pane_of(reference, rng, shift) for shift in (0.0, 1.0)]
    store = Store.open(url)
    change = Change()
    for number in range(windows):
        frame, measured = rows_of(reference, number, windows, rng)
        pane = panes[number > windows * 0.8]
        window = ClosedWindow(MODEL, "8", frame["begins"], frame["ends"], pane, WINDOW_S)
        change.windows.append(WindowRow(frame, measured, made.of(window, reference, None)))
        if len(change.windows) == 50 or number == windows - 1:
            store.commit(change)
            change = Change()
    store.close()


def cost_of_a_window(columns: int) -> str:
    """Say what distributions add to a window: processor time beside measuring, and bytes."""
    rng = np.random.default_rng(3)
    reference, made = reference_of(columns, rng), Distributions()
    pane = pane_of(reference, rng, 0.0)
    window = ClosedWindow(MODEL, "8", BEGIN, BEGIN + WINDOW_S, pane, WINDOW_S)
    spent: dict[str, list[float]] = {"measuring": [], "distributions": []}
    kept = None
    for _ in range(9):
        began = time.process_time()
        measure(pane, reference, seconds=WINDOW_S, confidence=0.95, psi_bins=10)
        measured = time.process_time()
        kept = made.of(window, reference, None)
        spent["measuring"].append(measured - began)
        spent["distributions"].append(time.process_time() - measured)
    assert kept is not None
    ms = {name: 1e3 * statistics.median(times) for name, times in spent.items()}
    return (
        f"a window: {ms['distributions']:.1f} ms for distributions beside "
        f"{ms['measuring']:.1f} ms of measuring; {len(kept.payload):,} bytes, and "
        f"{len(kept.cut_payload):,} once for the reference"
    )


def main() -> None:
    """Print a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--windows", type=int, default=500)
    parser.add_argument("--keep", type=Path, help="where to leave the report")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/kedge.db"
        fill(url, asked.columns, asked.windows)
        began = time.perf_counter()
        facts = stored_facts(url, model=MODEL, length_s=asked.windows * WINDOW_S)
        read = time.perf_counter()
        page = html(facts)
        written = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(cost_of_a_window(asked.columns))
    print(f"{facts.windows} windows of {asked.columns} columns")
    print(f"facts read in {read - began:.1f} s, page made in {written - read:.1f} s, {peak} MB")
    print(f"report of {len(page) / 1e6:.2f} MB (goal: less than {GOAL_BYTES / 1e6:.0f} MB)")
    pictures = re.findall(rb"<svg.*?</svg>", page, re.DOTALL)
    print(f"{len(pictures)} pictures of {sum(map(len, pictures)) / 1e6:.2f} MB in all")
    if asked.keep:
        asked.keep.write_bytes(page)


if __name__ == "__main__":
    main()
