"""Reading and writing the store at size: queries of the API, commits, bytes on the disk.

    python -m benchmarks.store [--rows 1000000] [--columns 23 100] [--url URL] [--keep]

Fills a store with so many measurements of 1-minute windows (five metrics a column), then times

* what ``/api/v1/measurements`` asks, over and over, each with its median and 95th percentile;
  the goal is a median under 50 ms at 10,000,000 rows;
* commits of one window, through the store as the daemon does it, durable;
* what a day of windows takes on the disk.

Without a URL it is SQLite in a temporary folder. On Postgres give an empty database.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from monitor.store import tables
from monitor.store.database import sqlite_path, writer_engine
from monitor.store.queries import Filter, Queries
from monitor.store.store import Change, Store, Totals, WindowRow

BEGIN = 1_772_618_400.0
WINDOW_S = 60.0
WINDOWS_PER_DAY = 1_440
METRICS = ("invalid_ratio", "ks", "missing_ratio", "new_category_ratio", "psi")
OF_WINDOW = (
    "error_ratio",
    "latency_p50",
    "latency_p90",
    "latency_p95",
    "latency_p99",
    "throughput",
)
#: The version changes so often: the newest one has the last tenth of the rows.
VERSIONS = 10
GOAL_MS = 50.0
BATCH_WINDOWS = 200


def window(number: int, windows: int, columns: int, rng: random.Random) -> WindowRow:
    """One window with what is measured of it."""
    ends = BEGIN + number * WINDOW_S
    frame = {
        "model": "flight-delay",
        "version": str(1 + number * VERSIONS // windows),
        "begins": ends - WINDOW_S,
        "ends": ends,
    }
    counts = {"events": 6000, "requests": 6000, "errors": 3, "rejected": 0, "late": 0}
    series = [(f"feature_{i:03d}", metric) for i in range(columns) for metric in METRICS]
    return WindowRow(
        frame | counts,
        [
            {
                "column": column,
                "metric": metric,
                "value": (value := rng.random()),
                "low": value * 0.9,
                "high": value * 1.1,
                "p_value": value if metric == "ks" else None,
                "n": 6000,
                "threshold": 0.25,
                "verdict": "ok",
            }
            for column, metric in [*series, *((None, metric) for metric in OF_WINDOW)]
        ],
    )


def fill(url: str, rows: int, columns: int) -> int:
    """Write measurements as quickly as the database takes them; return how many windows."""
    Store.open(url).close()
    rng = random.Random(3)
    windows = max(1, rows // (columns * len(METRICS) + len(OF_WINDOW)))
    pattern = window(0, windows, columns, rng).measurements
    engine = writer_engine(url)
    with engine.connect() as connection:
        for first in range(0, windows, BATCH_WINDOWS):
            numbers = range(first, min(windows, first + BATCH_WINDOWS))
            _fill_batch(connection, numbers, windows, pattern, rng)
        keys = [{"column": m["column"] or "", "metric": m["metric"]} for m in pattern]
        connection.execute(sa.insert(tables.series), keys)
        connection.commit()
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(
                f"SELECT setval(pg_get_serial_sequence('kedge_windows', 'id'), {windows})"
            )
            connection.exec_driver_sql("VACUUM ANALYZE")
    engine.dispose()
    return windows


def _fill_batch(
    connection: sa.Connection,
    numbers: range,
    windows: int,
    pattern: Any,  # noqa: ANN401 - rows of measurements
    rng: random.Random,
) -> None:
    frames = [
        {**window(number, windows, 0, rng).window, "id": number + 1, "stored": BEGIN}
        for number in numbers
    ]
    connection.execute(sa.insert(tables.windows), frames)
    names = [column.name for column in tables.measurements.columns]
    measured = sorted((m["column"] or "", m["metric"]) for m in pattern)
    rows = (
        (n + 1, column, metric, (v := rng.random()), v * 0.9, v * 1.1, None, 6000, 0.25, "ok")
        for n in numbers
        for column, metric in measured
    )
    driver = connection.connection.dbapi_connection
    assert driver is not None
    quoted = ", ".join(f'"{name}"' for name in names)
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(names))
        driver.executemany(f"INSERT INTO kedge_measurements ({quoted}) VALUES ({marks})", rows)
    else:
        statement = f"COPY kedge_measurements ({quoted}) FROM STDIN"
        with driver.cursor().copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    connection.commit()


def questions(windows: int, columns: int) -> Iterator[tuple[str, Filter]]:
    """What dashboards, pages and people ask; the worst that can be asked, too."""
    last = BEGIN + windows * WINDOW_S
    middle = BEGIN + windows * WINDOW_S / 2
    column = f"feature_{columns // 2:03d}"
    yield "the latest 1000", Filter()
    yield "the latest 10000", Filter(limit=10_000)
    yield "a column's PSI, the latest 1000", Filter(column=column, metric="psi")
    yield (
        "a column's PSI, a day long ago",
        Filter(column=column, metric="psi", since=middle, until=middle + 86_400),
    )
    yield "a column's PSI, of an old version", Filter(column=column, metric="psi", version="2")
    yield "a version, the latest 1000", Filter(version="3")
    yield "a version, the last day", Filter(version=str(VERSIONS), since=last - 86_400)
    yield "a column, all metrics", Filter(column=column)
    yield "PSI of all columns", Filter(metric="psi")
    yield "throughput, the latest 1000", Filter(column="", metric="throughput")
    yield "throughput, by metric alone", Filter(metric="throughput")
    yield "a column that never was", Filter(column="absent", metric="psi")
    yield "a version that never was", Filter(version="absent")
    yield "a model that never was", Filter(model="absent", column=column, metric="psi")


def timed_ms(act: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median and 95th percentile, in milliseconds."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        act()
        taken.append(1000 * (time.perf_counter() - began))
    return statistics.median(taken), statistics.quantiles(taken, n=20)[-1]


def report_queries(url: str, windows: int, columns: int, rounds: int) -> None:
    queries = Queries(url)
    print(f"{'query':<40} {'rows':>6} {'median ms':>10} {'p95 ms':>8} {'of 50 ms':>9}")
    for name, wanted in questions(windows, columns):
        rows = len(queries.measurements(wanted))
        median, p95 = timed_ms(partial(queries.measurements, wanted), rounds)
        print(f"{name:<40} {rows:>6} {median:>10.1f} {p95:>8.1f} {median / GOAL_MS:>9.0%}")
    queries.close()


def report_commits(url: str, columns: int, rounds: int) -> None:
    store, rng = Store.open(url), random.Random(5)
    changes = iter(
        Change(
            positions={("tail", "a"): {"offset": number}},
            panes={("7", number): bytes(8 * columns * 10)},
            totals={"tail": Totals(events=number)},
            windows=[window(number, rounds + 1, columns, rng)],
        )
        for number in range(rounds)
    )
    median, p95 = timed_ms(lambda: store.commit(next(changes)), rounds)
    print(f"commit of a window, {columns:>4} columns: median {median:.1f} ms, p95 {p95:.1f} ms")
    store.close()


def bytes_on_disk(url: str) -> int:
    path = sqlite_path(url)
    if path is not None:
        return sum(file.stat().st_size for file in path.parent.glob(path.name + "*"))
    engine = sa.create_engine(writer_engine(url).url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        size = connection.exec_driver_sql("SELECT pg_database_size(current_database())")
        return int(size.scalar_one())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, nargs="+", default=[23, 100])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--url", default="", help="an empty Postgres database")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # A single store is filled with the widest windows; commits are timed on the full store.
        columns = max(arguments.columns)
        url = arguments.url or f"sqlite:///{Path(folder) / 'kedge.db'}"
        began = time.perf_counter()
        windows = fill(url, arguments.rows, columns)
        size = bytes_on_disk(url)
        print(
            f"{arguments.rows:,} measurements in {windows:,} windows of {columns} columns, "
            f"filled in {time.perf_counter() - began:.0f} s"
        )
        print(
            f"{size / 2**20:,.0f} MiB, {size / arguments.rows:.0f} bytes a measurement; a day of "
            f"1-minute windows: {size / windows * WINDOWS_PER_DAY / 2**20:.0f} MiB"
        )
        report_queries(url, windows, columns, arguments.rounds)
        for number in arguments.columns:
            report_commits(url, number, arguments.rounds)


if __name__ == "__main__":
    main()
