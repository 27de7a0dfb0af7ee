"""A file that a source cannot read is told of once, and stands in a gauge while it is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.monitor.daemon import eventually, running
from tests.monitor.events import append, events, lines
from tests.monitor.test_daemon import BEGIN, configuration

pytestmark = pytest.mark.real

GAUGE = 'kedge_unreadable_files{source="tail"}'


def test_a_damaged_file_is_logged_once_and_counted_until_it_is_gone(tmp_path: Path) -> None:
    append(tmp_path / "predictions.jsonl", lines(events(100, version="7", begins=BEGIN)))
    damaged = tmp_path / "predictions.jsonl.1.gz"

    with running(configuration(tmp_path)) as kedge:
        kedge.counted(100)
        damaged.write_bytes(b"not compressed\n")
        eventually(lambda: f"{GAUGE} 1.0" in kedge.page("/metrics"), what="the file is counted")
        append(tmp_path / "predictions.jsonl", lines(events(50, version="7", begins=BEGIN)))
        kedge.counted(150)
        damaged.unlink()
        eventually(lambda: f"{GAUGE} 0.0" in kedge.page("/metrics"), what="it is gone")
        said = kedge.log.read_text()

    assert said.count(f"{damaged} cannot be read: damaged") == 1
