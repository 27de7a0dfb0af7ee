"""One change is one transaction; a store is never shared, guessed at or silently remade."""

from __future__ import annotations

import math
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from monitor.store.database import parsed
from monitor.store.queries import Filter, Queries
from monitor.store.store import (
    Change,
    Store,
    StoreCorrupt,
    StoreError,
    StoreInUse,
    StoreUnavailable,
    Totals,
    WindowRow,
)

BEGIN = 1_772_618_400.0


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = Store.open(url)
    yield store
    store.close()


def window(ends: float, version: str = "7") -> WindowRow:
    frame = {"model": "m", "version": version, "begins": ends - 60, "ends": ends}
    counts = {"events": 10, "requests": 10, "errors": 1, "rejected": 0, "late": 0}
    measured = {"value": 0.1, "low": 0.05, "high": 0.2, "p_value": None, "n": 10}
    judged = {"threshold": 0.25, "verdict": "ok"}
    return WindowRow(
        frame | counts,
        [
            {**frame, "column": "age", "metric": "psi", **measured, **judged},
            {**frame, "column": None, "metric": "throughput", **measured, **judged},
        ],
    )


def behind(url: str, statement: str) -> None:
    """Change a store without its writer's knowing."""
    engine = sa.create_engine(parsed(url), poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)


def test_what_was_committed_is_what_a_restart_takes_up(url: str) -> None:
    first = Store.open(url)
    first.commit(
        Change(
            positions={("tail", "a"): {"offset": 17}},
            panes={("7", 29_543_640): b"\x00pane"},
            states={"windows": b"watermark"},
            rules={("drift", "7"): {"state": "suspect"}},
            totals={"tail": Totals(events=3, rejected=1)},
        )
    )
    first.close()

    again = Store.open(url)
    snapshot = again.load()
    again.close()

    assert snapshot.positions == {"tail": {"a": {"offset": 17}}}
    assert snapshot.panes == {("7", 29_543_640): b"\x00pane"}
    assert snapshot.states == {"windows": b"watermark"}
    assert snapshot.rules == {("drift", "7"): {"state": "suspect"}}
    assert snapshot.totals == {"tail": Totals(events=3, rejected=1)}


def test_a_change_that_fails_halfway_leaves_nothing(store: Store) -> None:
    store.commit(Change(positions={("tail", "a"): {"offset": 1}}))
    broken = WindowRow({"model": "m"}, [])

    with pytest.raises(Exception, match=r"(?i)not.null"):
        store.commit(Change(positions={("tail", "a"): {"offset": 2}}, windows=[broken]))

    assert store.load().positions == {"tail": {"a": {"offset": 1}}}


def test_a_later_position_replaces_the_earlier_and_a_retired_stream_goes(store: Store) -> None:
    store.commit(Change(positions={("tail", "a"): {"offset": 1}, ("tail", "b"): {"offset": 5}}))

    store.commit(Change(positions={("tail", "a"): {"offset": 2}}, retired=[("tail", "b")]))

    assert store.load().positions == {"tail": {"a": {"offset": 2}}}


def test_a_dropped_pane_is_gone_and_its_neighbour_stays(store: Store) -> None:
    store.commit(Change(panes={("7", 1): b"1", ("7", 2): b"2"}))

    store.commit(Change(dropped_panes=[("7", 1)]))

    assert store.load().panes == {("7", 2): b"2"}


def test_a_second_process_is_kept_out_and_told_who_holds_the_store(url: str) -> None:
    holder = Store.open(url)
    script = "import sys; from monitor.store.store import *; Store.open(sys.argv[1])"

    second = subprocess.run(
        [sys.executable, "-c", script, url], capture_output=True, text=True, check=False
    )
    holder.close()

    assert second.returncode != 0
    assert "StoreInUse" in second.stderr
    assert f"process {os.getpid()}" in second.stderr


def test_a_store_is_free_again_once_it_is_closed(url: str) -> None:
    Store.open(url).close()

    Store.open(url).close()


def test_the_same_process_cannot_open_a_store_twice_either(url: str, store: Store) -> None:
    with pytest.raises(StoreInUse):
        Store.open(url)


def test_a_file_that_is_no_database_is_refused_and_kept(sqlite_url: str, tmp_path: Path) -> None:
    text = b"this is a text file, and somebody may want it\n" * 100
    (tmp_path / "kedge.db").write_bytes(text)

    with pytest.raises(StoreCorrupt, match="Move it aside"):
        Store.open(sqlite_url)

    assert (tmp_path / "kedge.db").read_bytes() == text


def test_a_locked_database_is_bad_weather_and_the_same_change_succeeds_later(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.store.database.BUSY_TIMEOUT_MS", 50)
    store = Store.open(sqlite_url)
    other = sqlite3.connect(tmp_path / "kedge.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    wanted = Change(positions={("tail", "a"): {"offset": 9}})

    with pytest.raises(StoreUnavailable, match="locked"):
        store.commit(wanted)
    other.execute("ROLLBACK")
    other.close()
    store.commit(wanted)

    assert store.load().positions == {"tail": {"a": {"offset": 9}}}
    store.close()


def test_pruning_takes_old_windows_with_their_measurements_and_no_others(
    url: str,
) -> None:
    moments = iter([0.0, 100.0, 200.0, 300.0])
    store = Store.open(url, clock=lambda: next(moments))
    # A log of long ago, read today: what counts is when the window was stored.
    store.commit(Change(windows=[window(BEGIN), window(BEGIN - 1e8), window(BEGIN + 60)]))

    pruned = store.prune(200.0, rows_max=10)

    queries = Queries(url)
    assert pruned == 1
    assert len(queries.windows(Filter())) == 2
    assert len(queries.measurements(Filter(column="age"))) == 2
    queries.close()
    store.close()


def test_queries_filter_by_series_and_half_open_time(url: str, store: Store) -> None:
    store.commit(Change(windows=[window(BEGIN), window(BEGIN + 60, "8"), window(BEGIN + 120)]))
    queries = Queries(url)

    ends = [
        row["window_end"]
        for row in queries.measurements(
            Filter(version="7", metric="psi", column="age", since=BEGIN, until=BEGIN + 120)
        )
    ]

    assert ends == ["2026-03-04T10:00:00.000Z"]
    queries.close()


def test_a_window_is_answered_with_what_was_measured_of_it_as_a_whole(
    url: str, store: Store
) -> None:
    store.commit(Change(windows=[window(BEGIN)]))
    queries = Queries(url)

    [row] = queries.windows(Filter())

    assert row["throughput"] == 0.1
    assert row["events"] == 10
    assert "psi" not in row
    queries.close()


def test_the_queries_cannot_write(url: str, store: Store) -> None:
    queries = Queries(url)

    with pytest.raises(Exception, match=r"read.?only"), queries._engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM kedge_meta")

    queries.close()


def test_text_and_numbers_that_a_database_refuses_are_made_fit(url: str, store: Store) -> None:
    row = window(BEGIN, version="7\0\ud800" + "x" * 300)
    row.measurements[0].update({"column": "na\0me", "value": math.nan, "low": np.float64(0.5)})  # type: ignore[attr-defined] # a mapping that the test made
    broken = {"at": BEGIN, "kind": "opened", "model": "m\0", "evidence": {"k\0": math.nan}}

    store.commit(Change(windows=[row], incidents=[broken]))

    queries = Queries(url)
    [measured] = queries.measurements(Filter(column="na\0me", metric="psi"))
    [incident] = queries.incidents(Filter())
    assert (measured["column"], measured["value"], measured["low"]) == ("na\ufffdme", None, 0.5)
    assert measured["version"].startswith("7\ufffd\ufffdxxx")
    assert len(measured["version"]) == 128
    assert incident["evidence"] == {"k\ufffd": None}
    queries.close()


def test_a_path_that_is_not_utf_8_comes_back_as_it_was(url: str) -> None:
    path = os.fsdecode(b"/var/log/caf\xe9.jsonl")
    store = Store.open(url)

    store.commit(Change(positions={("tail", "a"): {"path": path}}))

    assert store.load().positions["tail"]["a"] == {"path": path}
    store.close()


def test_windows_that_end_together_are_answered_whole_and_the_later_first(
    url: str, store: Store
) -> None:
    store.commit(Change(windows=[window(BEGIN, str(version)) for version in range(20)]))
    queries = Queries(url)

    versions = [row["version"] for row in queries.measurements(Filter(limit=11))]

    assert versions == [v for n in range(19, 13, -1) for v in (str(n), str(n))][:11]
    queries.close()


def test_what_was_never_measured_is_answered_with_nothing(url: str, store: Store) -> None:
    store.commit(Change(windows=[window(BEGIN)]))
    queries = Queries(url)

    answers = [
        queries.measurements(wanted)
        for wanted in (Filter(column="x"), Filter(metric="x"), Filter(version="x"))
    ]

    assert answers == [[], [], []]
    queries.close()


def test_an_empty_column_asks_for_what_is_of_the_whole_window(url: str, store: Store) -> None:
    store.commit(Change(windows=[window(BEGIN)]))
    queries = Queries(url)

    [row] = queries.measurements(Filter(column=""))

    assert (row["column"], row["metric"], row["resolution"]) == (None, "throughput", "raw")
    queries.close()


def test_a_store_that_was_changed_behind_its_writer_is_written_no_further(
    url: str, store: Store
) -> None:
    store.commit(Change(positions={("tail", "a"): {"offset": 1}}))
    behind(url, "UPDATE kedge_writer SET commits = commits - 1")

    with pytest.raises(StoreError, match="not what this process left"):
        store.commit(Change(positions={("tail", "a"): {"offset": 2}}))

    assert store.load().positions == {"tail": {"a": {"offset": 1}}}


@pytest.mark.parametrize("bad", ["mysql://h/d", "nonsense", "postgresql://u:secret@h:port/d"])
def test_a_url_that_is_no_store_is_refused_without_repeating_it(bad: str) -> None:
    with pytest.raises(StoreError) as refused:
        Store.open(bad)

    assert "secret" not in str(refused.value)


def test_a_missing_driver_is_told_with_what_to_type() -> None:
    script = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from monitor.store.store import Store; Store.open('postgresql://localhost/kedge')"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert "pip install 'kedge[postgres]'" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(),
        Filter(column="age", metric="psi"),
        Filter(column="age"),
        Filter(metric="psi"),
        Filter(version="7"),
        Filter(version="7", column="age", metric="psi", since=BEGIN, until=BEGIN + 60),
        Filter(model="m", metric="throughput"),
    ],
    ids=["all", "series", "column", "metric", "version", "range", "of windows"],
)
def test_a_question_walks_windows_and_neither_reads_nor_sorts_every_measurement(
    sqlite_url: str, wanted: Filter
) -> None:
    store, queries = Store.open(sqlite_url), Queries(sqlite_url)
    store.commit(Change(windows=[window(BEGIN)]))
    asked: list[tuple[str, object]] = []
    sa.event.listen(
        queries._engine,
        "before_cursor_execute",
        lambda _c, _cursor, text, values, *_: asked.append((text, values)),
    )

    queries.measurements(wanted)

    with queries._engine.connect() as connection:
        plans = [
            str(step[3])
            for text, values in list(asked)
            for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)  # type: ignore[arg-type] # as the driver got them
        ]
    assert any(plan.startswith("SEARCH kedge_measurements") for plan in plans)
    assert [plan for plan in plans if plan.startswith("SCAN kedge_measurements")] == []
    assert [plan for plan in plans if "ORDER BY" in plan] == []
    queries.close()
    store.close()
