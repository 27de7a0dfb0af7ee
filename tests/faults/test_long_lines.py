"""A line without an end: bounded memory, one rejection, and on with the next line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.scene import configure, rss_mb, sample, write
from tests.monitor.daemon import eventually, running
from tests.monitor.events import append

pytestmark = pytest.mark.real

LINE_MB = 64
GROWTH_MB_MAX = 24.0


def test_64_mib_without_a_newline_take_bounded_memory_and_count_as_one_line(
    tmp_path: Path,
) -> None:
    config = configure(tmp_path)
    log = tmp_path / "predictions.jsonl"
    write(tmp_path, 500)

    with running(config) as kedge:
        kedge.counted(500)
        before = rss_mb(kedge)
        append(log, b'{"note": "')
        most = before
        for _ in range(LINE_MB):
            append(log, b"x" * (1 << 20))
            most = max(most, rss_mb(kedge))
        read = 'kedge_ingest_backlog_bytes{source="tail"}'
        eventually(lambda: kedge.totals()["rejected"] == 1, what="the line is rejected")
        append(log, b'"}\n')
        write(tmp_path, 500, after=500)
        kedge.counted(1_001)
        most = max(most, rss_mb(kedge))
        eventually(lambda: sample(kedge.page("/metrics"), read) == 0, what="all is read")
        totals, page = kedge.totals(), kedge.page("/metrics")

    assert most - before < GROWTH_MB_MAX
    assert (totals["events"], totals["rejected"]) == (1_000, 1)
    assert sample(page, 'kedge_rejected_events_total{reason="too_long",source="tail"}') == 1
    assert (tmp_path / "quarantine.jsonl").stat().st_size < 16 << 10


def test_killed_inside_such_a_line_it_is_still_one_line(tmp_path: Path) -> None:
    config = configure(tmp_path)
    log = tmp_path / "predictions.jsonl"
    with running(config) as kedge:
        append(log, b"x" * (8 << 20))
        eventually(lambda: kedge.totals()["rejected"] == 1, what="the line is rejected")
        kedge.kill()
    append(log, b"y" * (4 << 20) + b"\n")
    write(tmp_path, 100)

    with running(config) as kedge:
        kedge.counted(101)
        totals = kedge.totals()

    assert (totals["events"], totals["rejected"]) == (100, 1)
