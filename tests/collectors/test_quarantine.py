from __future__ import annotations

import json
from pathlib import Path

from collectors.batch import Rejection
from collectors.quarantine import Quarantine


def test_a_rejected_line_is_kept_with_its_reason_time_and_source(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "state" / "quarantine.jsonl")

    quarantine.write("main", [Rejection("malformed", b'{"a": \xff\n')], 1_772_618_400.5)

    (line,) = (tmp_path / "state" / "quarantine.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        "time": "2026-03-04T10:00:00.500+00:00",
        "source": "main",
        "reason": "malformed",
        "line": '{"a": \\xff\n',
    }
    assert (quarantine.written, quarantine.dropped) == (1, 0)


def test_the_file_is_turned_over_once_and_stays_bounded(tmp_path: Path) -> None:
    path = tmp_path / "quarantine.jsonl"
    quarantine = Quarantine(path, bytes_max=2000)

    for i in range(100):
        quarantine.write("main", [Rejection("malformed", b"%d" % i)], 0.0)

    assert sorted(one.name for one in tmp_path.iterdir()) == [path.name, f"{path.name}.1"]
    assert all(one.stat().st_size <= 2000 for one in tmp_path.iterdir())
    assert json.loads(path.read_text().splitlines()[-1])["line"] == "99"


def test_its_lines_are_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "quarantine.jsonl"

    Quarantine(path).write("main", [Rejection("malformed", b"x")], 0.0)

    assert path.stat().st_mode & 0o077 == 0


def test_what_cannot_be_written_is_counted_and_raises_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    quarantine = Quarantine(tmp_path / "file" / "quarantine.jsonl")

    quarantine.write("main", [Rejection("malformed", b"x")] * 3, 0.0)

    assert (quarantine.written, quarantine.dropped) == (0, 3)
