"""The last window of each version is held beside its reference, within bounds and over restarts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from detectors.columns.side_by_side import Bars, Counted
from monitor.pictures.distributions import Distribution
from monitor.pictures.last_windows import SEGMENTS_MAX, VERSIONS_MAX, LastWindows, last_window
from monitor.store.store import Change, Store, WindowRow
from tests.monitor.daemon import eventually, running
from tests.monitor.events import append, events, lines
from tests.monitor.test_daemon import BEGIN, configuration

BARS = {"plan": Bars("categories", ("gold",), (9, 1), 0)}


def distribution(gold: int = 1) -> Distribution:
    counts = {"plan": Counted((gold, 0), 0, 0)}
    return Distribution("cut", msgspec.msgpack.encode(BARS), msgspec.msgpack.encode(counts))


def window(version: str, ends: float, rows: int = 100, segment: str = "") -> dict[str, Any]:
    frame = {"model": "m", "version": version, "segment": segment}
    counts = {"requests": rows, "errors": 0, "rejected": 0, "late": 0}
    return frame | counts | {"begins": ends - 60, "ends": ends, "events": rows}


def test_the_version_that_was_silent_for_longest_makes_room() -> None:
    last = LastWindows()

    for number in range(VERSIONS_MAX + 3):
        last.take(window(str(number), 60.0 * number), distribution())

    assert sorted(last.held) == [str(number) for number in range(3, VERSIONS_MAX + 3)]


def test_many_segments_take_no_room_from_the_versions() -> None:
    last = LastWindows()
    last.take(window("7", 60.0), distribution())

    for number in range(SEGMENTS_MAX + 3):
        last.take(window("7", 60.0, segment=f"shop={number}"), distribution())

    assert len(last.held) == 1 + SEGMENTS_MAX
    assert last_window(last.held, "7") is not None
    assert last_window(last.held, "7", "shop=2") is None
    assert last_window(last.held, "7", "shop=3") is not None


def test_what_trickles_in_while_traffic_is_switched_does_not_replace_the_full_picture() -> None:
    last = LastWindows()
    last.take(window("7", 60.0), distribution())
    before = last.held

    last.take(window("7", 120.0, rows=9), distribution())

    assert last.held is before


def test_traffic_that_stays_low_is_shown_in_the_end() -> None:
    last = LastWindows()
    last.take(window("7", 60.0), distribution())

    last.take(window("7", 60.0 + 3_600, rows=9), distribution())

    assert last.held["7"].events == 9


def test_a_window_without_a_distribution_replaces_nothing() -> None:
    last = LastWindows()
    last.take(window("7", 60.0), distribution())

    last.take(window("7", 120.0), None)

    assert last.held["7"].ends == 60.0


def test_a_damaged_picture_has_no_columns() -> None:
    last = LastWindows()

    last.take(window("7", 60.0), Distribution("cut", b"\xff", b"\xff"))

    found = last_window(last.held, "7")
    assert found is not None
    assert dict(found.columns) == {}


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = Store.open(url)
    yield store
    store.close()


def test_a_restart_takes_up_what_was_held(store: Store) -> None:
    last = LastWindows()
    history = [
        *((window("6", 60.0), 1), (window("7", 60.0), 2), (window("7", 120.0), 3)),
        (window("7", 180.0, rows=9), 4),  # a trickle
        *((window("7", 120.0, segment="country=DE"), 5), (window("7", 180.0, segment="n=1"), 6)),
    ]
    for row, gold in history:
        store.commit(Change(windows=[WindowRow(row, [], distribution(gold))]))
        last.take(row, distribution(gold))
    seen = {"model": "m", "events": 1, "first_seen": 0.0, "last_seen": 180.0}
    versions: list[Mapping[str, Any]] = [
        seen | {"version": name, "last_window": end} for name, end in (("6", 60.0), ("7", 180.0))
    ]
    store.commit(Change(versions=versions))

    again = LastWindows()
    again.restore(store.load().last_windows["m"])

    assert again.held == last.held
    shown = last_window(again.held, "7")
    assert shown is not None
    assert (shown.ends, shown.columns["plan"].bins[0].current) == (120.0, 3)


@pytest.mark.real
def test_the_api_shows_a_column_beside_its_reference_also_after_a_kill(tmp_path: Path) -> None:
    log = tmp_path / "predictions.jsonl"
    append(log, lines(events(2000, version="7", begins=BEGIN)))
    append(log, lines(events(300, version="7", begins=BEGIN + 100, shift=1.0)))

    with running(configuration(tmp_path)) as kedge:
        eventually(lambda: len(kedge.get("/api/v1/windows")["windows"]) == 13, what="13 windows")
        before = kedge.get("/api/v1/columns/age")
        listed = kedge.get("/api/v1/columns")
        kedge.kill()
    with running(configuration(tmp_path)) as kedge:
        after = kedge.get("/api/v1/columns/age?version=7")

    assert before == after
    assert [one["column"] for one in listed["columns"]] == ["age", "plan", "prediction"]
    assert before["current"]["rows"] == sum(one["current"] for one in before["bins"]) == 100
    assert before["reference"]["rows"] == sum(one["reference"] for one in before["bins"]) == 1000
    # Shifted by three standard deviations: most rows lie where a few of the reference do.
    upper = [one for one in before["bins"] if one["from"] is not None and one["from"] >= 60]
    assert sum(one["current"] for one in upper) > 50 > sum(one["reference"] for one in upper)
