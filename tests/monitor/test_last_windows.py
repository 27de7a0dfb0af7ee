"""The last window of each version is kept beside its reference, within bounds and over restarts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from collectors.batch import CategoryColumn, NumberColumn, Schema
from detectors.pane import Pane
from detectors.reference import Reference, ReferenceBuilder
from detectors.window import ClosedWindow
from monitor.last_windows import VERSIONS_MAX, LastWindows, last_window
from tests.monitor.daemon import eventually, running
from tests.monitor.events import append, events, lines
from tests.monitor.test_daemon import BEGIN, configuration


def reference() -> Reference:
    builder = ReferenceBuilder()
    ages = np.random.default_rng(7).normal(40, 10, 500)
    builder.add({"age": NumberColumn(ages), "plan": CategoryColumn(["gold", "tin"] * 250)})
    return builder.build(created=0.0, origin="example")


def window(version: str, ends: float, rows: int = 100, segment: str = "") -> ClosedWindow:
    known = reference()
    pane = Pane(known, Schema({}))
    pane.answered = pane.events = rows
    for name in known.columns:
        pane._counts(name)
    return ClosedWindow("m", version, ends - 60, ends, pane, 60.0, segment)


def test_what_is_kept_is_found_again_after_a_restart() -> None:
    before, after = LastWindows(), LastWindows()
    before.note(window("7", 60.0), None)

    after.restore(before.changed())

    found = last_window(after.encoded, "7")
    assert found == last_window(before.encoded, "7")
    assert found is not None
    assert (found.ends, found.rows, sorted(found.columns)) == (60.0, 100, ["age", "plan"])


def test_the_version_that_was_silent_for_longest_makes_room() -> None:
    kept = LastWindows()
    states: dict[str, bytes] = {}

    for number in range(VERSIONS_MAX + 3):
        kept.note(window(str(number), 60.0 * number), None)
        states.update(kept.changed())

    assert sorted(kept.encoded) == [str(number) for number in range(3, VERSIONS_MAX + 3)]
    assert len(states) == VERSIONS_MAX


def test_what_trickles_in_while_traffic_is_switched_does_not_replace_the_full_picture() -> None:
    kept = LastWindows()
    kept.note(window("7", 60.0), None)
    kept.changed()

    kept.note(window("7", 120.0, rows=9), None)
    changed = kept.changed()

    assert changed == {}


def test_traffic_that_stays_low_is_shown_in_the_end() -> None:
    kept = LastWindows()
    kept.note(window("7", 60.0), None)

    kept.note(window("7", 60.0 + 3_600, rows=9), None)
    kept.changed()

    found = last_window(kept.encoded, "7")
    assert found is not None
    assert found.rows == 9


def test_a_segment_and_a_window_without_rows_are_not_kept() -> None:
    kept = LastWindows()

    kept.note(window("7", 60.0, segment="country=DE"), None)
    kept.note(window("7", 60.0, rows=0), None)

    assert kept.changed() == {}


def test_a_damaged_picture_is_let_go_of() -> None:
    kept = LastWindows()

    kept.restore({"last-window-0": b"\xff"})

    assert kept.encoded == {}


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
    assert before["bins"][-1]["current"] > 50 > before["bins"][-1]["reference"]
