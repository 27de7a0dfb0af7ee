"""A backlog's windows are closed in steps, each a transaction; the outcome is that of one."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collectors.formats.kedge import KedgeFormat
from collectors.quarantine import Quarantine
from collectors.tail.tail import Tail, TailSettings
from detectors.rules.rule import RuleSpec
from detectors.windows.window import Windows, WindowSpec
from monitor.counting import engine as engine_module
from monitor.counting.engine import Engine
from monitor.counting.streams import Stream
from monitor.judging.judging import Judge
from monitor.metrics.catalogue import Metrics
from monitor.references.references import NoReference
from monitor.store import database
from monitor.store.store import Change, Store, StoreUnavailable
from tests.monitor.events import append

BEGIN = 1_772_618_400.0
RULES = (
    RuleSpec(name="quiet", metric="events", below=5.0, needed=2, of=3),
    RuleSpec(name="gaps", metric="missing_ratio", columns=("*",), above=0.5, min_events=1),
)


class CountingStore:
    """A store that tells how many windows each transaction had."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.windows: list[int] = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the store has
        return getattr(self._store, name)

    def commit(self, change: Change) -> None:
        self._store.commit(change)
        self.windows.append(len(change.windows))


def log_of(folder: Path) -> None:
    """An hour of two versions, five and two events a minute, with a gap."""
    rows: list[dict[str, float | str]] = [
        {"ts": BEGIN + 12 * i, "version": "7", "prediction": i % 9, "status": 200}
        for i in range(300)
        if not 100 <= i < 160
    ]
    rows += [{"ts": BEGIN + 30 * i, "version": "8", "prediction": 1} for i in range(120)]
    lines = sorted((row["ts"], json.dumps(row)) for row in rows)
    append(folder / "log.jsonl", b"".join(line.encode() + b"\n" for _, line in lines))


@contextlib.contextmanager
def engine_over(folder: Path) -> Iterator[tuple[Engine, CountingStore]]:
    """Yield an engine as a start of the daemon makes it; its end is that of a kill."""
    store = CountingStore(Store.open(f"sqlite:///{folder / 'kedge.db'}"))
    tail = Tail(TailSettings(path=str(folder / "log.jsonl")))
    engine = Engine(
        model="m",
        streams=[Stream("log", tail, KedgeFormat("m"))],
        windows=Windows(WindowSpec("time", 300.0, 60.0, lateness_s=30.0), "m"),
        references=NoReference(),
        judge=Judge(rules=RULES, confidence=0.95, psi_bins=10),
        store=store,
        metrics=Metrics(columns_max=10, versions_max=10),
        quarantine=Quarantine(folder / "quarantine.jsonl"),
        commit_interval_s=0.0,
        idle_s=1e9,
        wall=lambda: BEGIN + 7200,
    )
    try:
        engine.restore(store.load())
        yield engine, store
    finally:
        tail.close()
        store.close()


def run_on(engine: Engine) -> None:
    while engine.turn().busy:
        pass


def stored(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All that the store holds, but for positions and the time when it was written."""
    connection = sqlite3.connect(folder / "kedge.db")
    found = {}
    for table, columns in {
        "windows": "id, version, begins, ends, events, rejected, late",
        "measurements": "*",
        "incidents": "id, at, kind, version, rule, evidence",
        "rules": "*",
        "totals": "*",
        "versions": "*",
        "panes": "*",
        "states": "*",
    }.items():
        found[table] = connection.execute(f"SELECT {columns} FROM kedge_{table}").fetchall()
    connection.close()
    return found


@pytest.fixture
def expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[tuple[Any, ...]]]:
    """What comes of all windows but the first two in one transaction."""
    folder = tmp_path / "at once"
    folder.mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(engine_module, "MEASUREMENTS_MAX", 1 << 40)
        log_of(folder)
        with engine_over(folder) as (engine, store):
            run_on(engine)
    found = stored(folder)
    assert len(found["windows"]) > 100
    assert found["incidents"]
    # The two that end first, to learn how many measurements a window has; then the rest.
    assert store.windows[:2] == [2, len(found["windows"]) - 2]
    return found


def test_a_backlog_closed_in_steps_gives_what_one_transaction_gives(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    expected: dict[str, list[tuple[Any, ...]]],
) -> None:
    monkeypatch.setattr(engine_module, "MEASUREMENTS_MAX", 60)
    log_of(tmp_path)

    with engine_over(tmp_path) as (engine, store):
        run_on(engine)

    # Windows that end together are closed together.
    assert max(store.windows) <= 60 // 9 + 1
    assert stored(tmp_path) == expected


def test_a_kill_between_any_two_steps_repeats_and_loses_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    expected: dict[str, list[tuple[Any, ...]]],
) -> None:
    monkeypatch.setattr(engine_module, "MEASUREMENTS_MAX", 60)
    log_of(tmp_path)

    busy, starts = True, 0
    while busy:
        with engine_over(tmp_path) as (engine, _):
            busy = engine.turn().busy
        starts += 1

    assert starts > 20
    assert stored(tmp_path) == expected


def test_lines_that_come_while_a_backlog_is_closed_are_judged_as_if_it_were_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "MEASUREMENTS_MAX", 60)
    log_of(tmp_path)

    with engine_over(tmp_path) as (engine, _):
        engine.turn()
    # Of a pane whose windows are due, and not closed yet.
    append(
        tmp_path / "log.jsonl", b'{"ts": %d, "version": "7", "prediction": 1}\n' % (BEGIN + 3000)
    )
    with engine_over(tmp_path) as (engine, _):
        before = engine.turn(), engine.committed.totals["log"].late
        run_on(engine)
        engine.stop()
        after = engine.committed.totals["log"].late

    assert before[0].judged
    assert (before[1], after) == (0, 1)


def test_a_commit_that_fails_between_two_steps_is_tried_again_as_it_was(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    expected: dict[str, list[tuple[Any, ...]]],
) -> None:
    monkeypatch.setattr(engine_module, "MEASUREMENTS_MAX", 60)
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 50)
    log_of(tmp_path)

    with engine_over(tmp_path) as (engine, _):
        engine.turn()
        blocker = sqlite3.connect(tmp_path / "kedge.db", isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable):
            engine.turn()
        blocker.close()
        assert engine.turn().judged
        run_on(engine)

    assert stored(tmp_path) == expected
