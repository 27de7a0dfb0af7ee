"""One log read ahead of another makes no row of the other late."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

from collectors.tail.tail import Tail, TailSettings
from monitor.traffic.watermark import PATIENCE_TURNS, Watermark
from tests.monitor.daemon import eventually, running
from tests.monitor.events import append


def test_while_there_is_a_backlog_the_slowest_stream_counts() -> None:
    watermark = Watermark()
    watermark.note("a", "file", 100.0)
    watermark.note("b", "file", 60.0)

    assert watermark.end_turn({"a": {"file"}, "b": {"file"}}) == 60.0


def test_once_all_is_read_the_newest_event_counts() -> None:
    watermark = Watermark()
    watermark.note("a", "file", 100.0)
    watermark.note("b", "file", 60.0)

    assert watermark.end_turn({"a": (), "b": ()}) == 100.0


def test_a_source_that_was_read_to_its_end_does_not_hold_back_one_that_was_not() -> None:
    watermark = Watermark()
    watermark.note("quiet", "file", 60.0)
    watermark.note("busy", "file", 100.0)

    assert watermark.end_turn({"busy": {"file"}}) == 100.0


def test_a_backlog_that_was_not_begun_may_begin_anywhere() -> None:
    watermark = Watermark()
    watermark.note("a", "file", 100.0)

    assert watermark.end_turn({"a": {"file"}, "b": {"file"}}) == -math.inf


def test_a_stream_that_never_goes_on_is_given_up() -> None:
    watermark = Watermark()
    watermark.note("a", "old", 10.0)

    for turn in range(PATIENCE_TURNS + 1):
        watermark.note("a", "new", 100.0 + turn)
        told = watermark.end_turn({"a": {"old", "new"}})

    assert told == 100.0 + PATIENCE_TURNS


def test_a_retired_stream_holds_nothing_back() -> None:
    watermark = Watermark()
    watermark.note("a", "old", 10.0)
    watermark.note("a", "new", 100.0)
    watermark.retire("a", "old")

    assert watermark.end_turn({"a": {"new"}}) == 100.0


def test_a_stream_that_was_read_to_its_end_does_not_hold_back_its_own_source() -> None:
    watermark = Watermark()
    watermark.note("a", "rotated", 60.0)
    watermark.note("a", "live", 100.0)

    assert watermark.end_turn({"a": {"live"}}) == 100.0


def test_a_file_that_comes_next_goes_on_where_the_one_before_it_ended() -> None:
    watermark = Watermark()
    watermark.note("a", "rotated", 60.0)
    watermark.note("b", "file", 100.0)

    assert watermark.end_turn({"a": {"live"}, "b": ()}) == 60.0


def test_a_rotated_file_that_was_read_holds_event_time_back_no_longer(tmp_path: Path) -> None:
    line = b"%d " + b"x" * 1000 + b"\n"
    path = tmp_path / "log"
    append(path, b"".join(line % ts for ts in range(1_000)))
    tail = Tail(TailSettings(path=str(path)), monotonic=itertools.count().__next__)
    watermark = Watermark()
    told: list[float] = []

    while chunks := tail.poll():
        if not told:
            path.rename(tmp_path / "log.1")
            append(path, b"".join(line % ts for ts in range(1_000, 9_000)))
        for chunk in chunks:
            for row in chunk.lines.splitlines():
                watermark.note("tail", chunk.stream, float(row.split()[0]))
        told.append(watermark.end_turn({"tail": tail.unread_bytes()}))
    tail.close()

    assert told[0] == 999
    assert told[1] > 999 + 3_000
    assert told[-1] == 8_999


def test_two_backlogs_of_the_same_hour_lose_nothing_to_lateness(tmp_path: Path) -> None:
    begins = 1_772_618_400.0
    for pod, rows in (("a", 30_000), ("b", 6_000)):
        hour = [begins + 3600 * row / rows for row in range(rows)]
        data = b"".join(
            json.dumps({"ts": ts, "version": "7", "prediction": 1.0, "pad": "x" * 200}).encode()
            + b"\n"
            for ts in hour
        )
        append(tmp_path / f"{pod}.jsonl", data)
    config = tmp_path / "kedge.toml"
    config.write_text(
        """
[model]
name = "m"
[[collect]]
type = "tail"
path = "a.jsonl"
[[collect]]
type = "tail"
path = "b.jsonl"
[windows]
length = "1m"
lateness = "5s"
[http]
listen = "127.0.0.1:0"
"""
    )

    with running(config) as kedge:
        kedge.counted(36_000)
        totals = kedge.totals()
        windows = eventually(
            lambda: (found := kedge.get("/api/v1/windows")["windows"])[58:] and found,
            what="an hour of windows",
        )

    assert totals["late"] == 0
    assert all(row["events"] == 600 for row in windows)
