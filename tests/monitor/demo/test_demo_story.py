"""What the demo sets up, tells and concludes, without the programs that it starts."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from monitor.demo import story
from monitor.demo.configuration import RULE, render
from monitor.demo.play import faults_of, figures, order_of, tell_phase
from monitor.demo.processes import DemoError
from monitor.demo.timeline import Timeline
from monitor.demo.traffic import Counts, Tally
from monitor.demo.watching import Rollback, measurement_of, rollback_of

RECORD: Mapping[str, Any] = {
    "id": "01J",
    "model": "car-loan",
    "state": "RESOLVED",
    "from": "2",
    "to": "1",
    "reason": "prediction-drift: psi of prediction above 0.25 in 2 of 3 windows",
    "dry_run": False,
    "detail": "",
    "evidence": {"cause": {"origin": "world", "because": "car_value drifted", "columns": []}},
    "gates": [{"gate": "target", "passed": True, "detail": "version 1 is READY"}],
    "steps": [{"step": "mlflow-alias", "state": "done", "attempts": 1, "detail": ""}],
    "timings": {"confirmed": 105.0, "acting": 105.2, "verifying": 105.5, "resolved": 112.0},
}


def record(**changes: object) -> Rollback:
    return rollback_of({**RECORD, **changes})


def good_counts() -> Counts:
    return Counts(
        requests=1200,
        tallies={
            ("quiet", "2"): Tally(700, 91),
            ("shifted", "2"): Tally(100, 51),
            ("shifted", "1"): Tally(400, 108),
        },
        first_answer={"2": 90.0, "1": 106.25},
        serving="1",
    )


def test_a_verified_rollback_without_a_failed_request_has_no_fault() -> None:
    assert faults_of(record(), "1", good_counts()) == []


@pytest.mark.parametrize(
    ("rollback", "alias", "changes", "told"),
    [
        (record(state="ESCALATED", detail="no traffic"), "1", {}, "ended as ESCALATED: no traffic"),
        (record(to="3"), "1", {}, "from 2 to 3"),
        (record(), "2", {}, "points to version 2"),
        (record(), None, {}, "points to version None"),
        (record(), "1", {"serving": "2"}, "answered by version 2"),
        (record(), "1", {"failed": 1, "failures": ["status 503"]}, "1 requests failed: status 503"),
    ],
    ids=["not verified", "other target", "alias moved on", "no alias", "not swapped", "a failure"],
)
def test_whatever_is_not_as_it_should_be_is_a_fault(
    rollback: Rollback, alias: str | None, changes: Mapping[str, Any], told: str
) -> None:
    counts = good_counts()
    for name, value in changes.items():
        setattr(counts, name, value)

    (fault,) = faults_of(rollback, alias, counts)

    assert told in fault


def test_the_figures_are_differences_of_recorded_times_and_shares_by_label() -> None:
    told = dict(figures(100.0, record(), good_counts()))

    assert told == {
        "from the shift to the confirmed breach": "5.00 s",
        "from the confirmed breach to the alias moved and read back": "0.50 s",
        "from the alias moved to the first answer of version 1": "0.75 s",
        "from the shift to the verified recovery": "12.00 s",
        "requests, of them failed": "1200, 0",
        "wrong answers of version 2 before the shift, by the labels": "13.0% of 700",
        "wrong answers of version 2 after the shift, by the labels": "51.0% of 100",
        "wrong answers of version 1 after the shift, by the labels": "27.0% of 400",
    }


def test_phases_are_told_in_the_order_in_which_they_came_about() -> None:
    at = {"acting": 2.0, "confirmed": 1.0, "gated": 1.0, "intended": 2.0, "contested": 3.0}
    rollback = record(timings=at)

    told = sorted(at, key=lambda phase: order_of(phase, rollback))

    assert told == ["confirmed", "gated", "intended", "acting", "contested"]


def test_a_phase_is_told_with_what_is_known_of_it() -> None:
    rollback = record()

    assert "psi of prediction above 0.25" in tell_phase("confirmed", rollback)
    assert "likely the world: car_value drifted" in tell_phase("confirmed", rollback)
    assert "target: passed (version 1 is READY)" in tell_phase("gated", rollback)
    assert tell_phase("intended", rollback) == (
        "intended: version 2 -> 1, written to the journal as 01J"
    )
    assert tell_phase("acting", rollback) == "acting: mlflow-alias: done"
    assert tell_phase("contested", record(detail="moved by hand")) == "contested: moved by hand"


def test_a_measurement_is_read_as_the_interface_has_it() -> None:
    row = {
        "window_start": "2026-03-04T10:00:00Z",
        "window_end": "2026-03-04T10:00:02Z",
        "model": "car-loan",
        "version": "2",
        "column": "prediction",
        "metric": "psi",
        "value": 0.0123,
        "low": 0.0,
        "high": None,
        "p_value": None,
        "n": 500,
        "threshold": 0.25,
        "verdict": "ok",
    }

    told = measurement_of(row).describe()

    assert told == "0.012, between 0.000 and unknown, n = 500, threshold 0.250: ok"


def test_the_configuration_watches_the_prediction_and_acts() -> None:
    tree = tomllib.loads(render("http://127.0.0.1:5001", 9464))

    assert tree["model"]["tracking_uri"] == "http://127.0.0.1:5001"
    assert tree["http"]["listen"] == "127.0.0.1:9464"
    assert tree["reference"]["path"] == "references/{version}.kedge"
    assert tree["rollback"]["mode"] == "act"
    (rule,) = tree["rules"]
    assert (rule["metric"], rule["column"], rule["above"]) == (
        RULE.metric,
        RULE.column,
        RULE.above,
    )


def test_the_timeline_is_plain_lines_where_there_is_no_terminal() -> None:
    output = io.StringIO()
    timeline = Timeline(Console(file=output, soft_wrap=True, highlight=False))

    timeline.say("breach", "version 2 [PSI] 8.31\nsecond line")
    timeline.table("What happened", [("requests", "12")])

    first, second, *rest = output.getvalue().splitlines()
    assert first.startswith("   0.0 s  breach    version 2 [PSI] 8.31")
    assert second == " " * first.index("version") + "second line"
    assert [line.split() for line in rest if line.strip()] == [
        ["What", "happened"],
        ["requests", "12"],
    ]
    assert "\x1b" not in output.getvalue()


def test_a_port_in_use_is_a_fault_before_anything_is_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        status = story.run(tmp_path / "data", port, once=True)

    assert status == 1
    assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().out
    assert not (tmp_path / "data").exists()


def test_every_run_has_a_folder_of_its_own(tmp_path: Path) -> None:
    folders = {story._fresh_folder(tmp_path / "data") for _ in range(3)}

    assert len(folders) == 3
    assert all(folder.is_dir() and folder.parent == tmp_path / "data" for folder in folders)


def test_a_data_dir_that_cannot_be_made_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")

    with pytest.raises(DemoError, match="cannot make"):
        story._fresh_folder(tmp_path / "data")


@contextlib.contextmanager
def as_in_the_foreground(number: signal.Signals) -> Iterator[None]:
    """Undo what a shell and nohup do to a run in the background: the signal is ignored there."""
    inherited = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(number, inherited)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_being_told_to_end_is_an_interrupt(number: signal.Signals) -> None:
    def told_to_end() -> None:
        with story._ends_as_interrupt():
            os.kill(os.getpid(), number)
            signal.pause()

    with as_in_the_foreground(number):
        with pytest.raises(KeyboardInterrupt):
            told_to_end()

        assert signal.getsignal(number) == signal.SIG_DFL
