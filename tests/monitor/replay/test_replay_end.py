"""The end of a log is not lost in a replay: every event of it is in its windows."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

BEGIN = 1_772_618_400.0
CONFIG = """
[model]
name = "m"

[[collect]]
type = "tail"
path = "none.jsonl"

[windows]
length = "10s"
slide = "1s"
lateness = "5s"

[limits]
max_columns = 2000
"""
PANES = 10


def windows(folder: Path, events: Iterator[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    (folder / "kedge.toml").write_text(CONFIG)
    (folder / "old.jsonl").write_text("".join(json.dumps(one) + "\n" for one in events))
    done = subprocess.run(
        [sys.executable, "-m", "monitor.cli", "replay", "-c", "kedge.toml", "old.jsonl", "--json"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found: list[Mapping[str, Any]] = json.loads(done.stdout)["windows"]
    return found


def test_windows_of_many_columns_that_close_at_the_end_are_all_told(tmp_path: Path) -> None:
    # So many measurements a window that few windows are closed in one turn.
    columns = {f"c{number}": float(number) for number in range(1_500)}

    told = windows(tmp_path, ({"ts": BEGIN + i, "features": columns} for i in range(20)))

    assert [one["events"] for one in told[-PANES:]] == [*range(PANES, 0, -1)]
    assert sum(one["events"] for one in told) == 20 * PANES


def test_events_that_waited_in_vain_for_their_other_half_are_in_the_last_windows(
    tmp_path: Path,
) -> None:
    halves = ({"id": str(i), "ts": BEGIN + i, "features": {"x": i}} for i in range(30))

    told = windows(tmp_path, halves)

    assert sum(one["events"] for one in told) == 30 * PANES
