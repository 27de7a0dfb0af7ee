"""More files than may be open, and files that may not be opened."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.collectors.following import Following, append

FILES = 2_000

# Reads all there is, says so, and once more after each line on standard input.
READER = """
import os, resource, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
from collectors.tail.tail import TailSettings
tail = TailSettings(path=sys.argv[1]).build("tail")
tail.restore({})
lines, most = 0, 0
for wanted in sys.stdin:
    deadline = time.monotonic() + 60
    while lines < int(wanted) and time.monotonic() < deadline:
        lines += sum(chunk.lines.count(b"\\n") for chunk in tail.poll())
        most = max(most, len(os.listdir("/proc/self/fd")))
        time.sleep(0.005)
    began, cpu = time.monotonic(), time.process_time()
    while time.monotonic() < began + 2:
        lines += sum(chunk.lines.count(b"\\n") for chunk in tail.poll())
        time.sleep(0.25)
    busy = (time.process_time() - cpu) / (time.monotonic() - began)
    unread = sum(tail.unread_bytes().values())
    print(lines, most, f"{busy:.3f}", unread, len(tail.unreadable), flush=True)
"""


def test_two_thousand_files_are_read_with_256_descriptors(tmp_path: Path) -> None:
    for i in range(FILES):
        append(tmp_path / f"{i:04}.jsonl", f"first of {i}")
    (tmp_path / "empty.jsonl").touch()

    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(tmp_path / "*.jsonl")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdin is not None
    assert reader.stdout is not None
    reader.stdin.write(f"{FILES}\n")
    reader.stdin.flush()
    first = reader.stdout.readline().split()
    for i in range(FILES):
        append(tmp_path / f"{i:04}.jsonl", f"second of {i}", f"third of {i}")
    reader.stdin.write(f"{3 * FILES}\n")
    reader.stdin.close()
    second = reader.stdout.readline().split()
    reader.wait(60)
    reader.stdout.close()

    for expected, (lines, most, busy, lag, unreadable) in (
        (FILES, first),
        (3 * FILES, second),
    ):
        assert int(lines) == expected
        assert int(most) < 256
        assert float(busy) < 0.5
        assert (int(lag), int(unreadable)) == (0, 0)


def test_when_the_process_runs_out_of_descriptors_files_at_rest_are_closed(
    tmp_path: Path, follow: Callable[..., Following]
) -> None:
    for i in range(40):
        append(tmp_path / f"{i:02}.jsonl", f"line of {i}")
    taken: list[int] = []
    following = follow(tmp_path / "*.jsonl", files_open_max=1_000)
    limit = len(list(Path("/proc/self/fd").iterdir())) + 300
    soft, hard = _set_limit(limit)

    try:
        while len(taken) < 2_000:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        for _ in range(10):
            os.close(taken.pop())
    try:
        for _ in range(30):
            following.look()
    finally:
        for descriptor in taken:
            os.close(descriptor)
        _set_limit(soft, hard)

    assert sorted(following.lines) == sorted(f"line of {i}".encode() for i in range(40))
    assert following.tail.unreadable == {}


def _set_limit(soft: int, hard: int | None = None) -> tuple[int, int]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1] if hard is None else hard))
    return before


def test_files_without_a_whole_line_do_not_keep_others_from_being_read(
    tmp_path: Path, follow: Callable[..., Following]
) -> None:
    for i in range(20):
        (tmp_path / f"a{i:02}.jsonl").touch()
        append(tmp_path / f"b{i:02}.jsonl", f"part of {i}", end="")
    append(tmp_path / "c.jsonl", "whole")
    following = follow(tmp_path / "*.jsonl", files_open_max=3)
    for _ in range(40):
        following.look()
    assert following.lines == [b"whole"]

    for i in range(20):
        append(tmp_path / f"a{i:02}.jsonl", f"late {i}")
        append(tmp_path / f"b{i:02}.jsonl", " and the rest")
    for _ in range(40):
        following.look()

    late = [f"late {i}" for i in range(20)]
    completed = [f"part of {i} and the rest" for i in range(20)]
    assert sorted(following.lines) == sorted(line.encode() for line in ("whole", *late, *completed))


@pytest.fixture
def nobody() -> Iterator[None]:
    """Run as a user whom permissions apply to."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_without_permission_is_told_of_and_read_once_it_may_be(
    follow: Callable[..., Following], nobody: None
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        log = Path(folder) / "predictions.jsonl"
        append(log, "one")
        log.chmod(0)
        append(log.with_name("predictions-1.jsonl"), "history")
        following = follow(log)

        assert following.look() == []
        assert following.tail.unreadable == {str(log): "Permission denied"}
        log.chmod(0o400)

        assert following.look() == [b"one"]
        assert following.tail.unreadable == {}
        following.tail.close()
