"""Whatever happens to a log, in whatever order: a model beside the real files."""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from collectors.tail.tailed_files import COPY_WAIT_S
from tests.collectors.following import Following

KEPT_FILES = 4


class RotatedLog(RuleBasedStateMachine):
    """A log that is written, rotated by rename, compressed, and followed by a killed reader.

    Parameters are small on purpose: a handful of open files at most, and rotated files that
    are deleted as soon as the reader has had a look at them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.log = self.folder / "log.jsonl"
        self.written: list[int] = []
        self.partial = ""
        self.late: Path | None = None

    @initialize(
        files_open_max=st.sampled_from([2, 3, 512]), pattern=st.sampled_from(["log.jsonl", "*"])
    )
    def begin(self, files_open_max: int, pattern: str) -> None:
        self.following = Following(self.folder / pattern, files_open_max=files_open_max)
        # The first look is another matter: as long as no position is stored, each is the first.
        self.write_lines(1)
        self.following.look()

    def _line(self) -> str:
        number = len(self.written)
        self.written.append(number)
        return f'{{"id": {number:06d}, "filler": "{"x" * (number * 7 % 90)}"}}\n'

    def _append(self, path: Path, text: str) -> None:
        with path.open("a") as file:
            file.write(text)

    def _complete(self) -> None:
        if self.partial:
            self._append(self.log, self.partial)
            self.partial = ""

    @rule(lines=st.integers(1, 40))
    def write_lines(self, lines: int) -> None:
        self._complete()
        self._append(self.log, "".join(self._line() for _ in range(lines)))

    @rule(share=st.floats(0.05, 0.95))
    def write_part_of_a_line(self, share: float) -> None:
        self._complete()
        line = self._line()
        cut = max(1, int(len(line) * share))
        self._append(self.log, line[:cut])
        self.partial = line[cut:]

    @rule()
    def rotate(self) -> None:
        self._complete()
        if not self.log.exists():
            return
        for k in range(60, 0, -1):
            for ending in ("", ".gz"):
                old = self.folder / f"log.jsonl.{k}{ending}"
                if old.exists():
                    old.rename(self.folder / f"log.jsonl.{k + 1}{ending}")
        self.log.rename(self.folder / "log.jsonl.1")

    @precondition(lambda self: not self.partial)
    @rule(in_between=st.sampled_from(["nothing", "look", "poll", "kill"]), data=st.data())
    def compress(self, in_between: str, data: st.DataObject) -> None:
        plain = [path for path in self._rotated() if path.suffix != ".gz"]
        if not plain:
            return
        path = data.draw(st.sampled_from(plain))
        temporary = Path(f"{path}.tmp")
        temporary.write_bytes(gzip.compress(path.read_bytes()))
        temporary.rename(f"{path}.gz")
        match in_between:
            case "look":
                self.following.look()
            case "poll":
                self.following.poll()
            case "kill":
                self.following.restart()
        path.unlink()

    def _rotated(self) -> list[Path]:
        """Rotated files, the newest first."""
        rotated = self.folder.glob("log.jsonl.*")
        return sorted(rotated, key=lambda path: int(path.name.split(".")[2]))

    @precondition(lambda self: not self.partial)
    @rule()
    def write_late_to_the_rotated_file(self) -> None:
        if (old := self.folder / "log.jsonl.1").exists():
            self._append(old, self._line())

    @rule()
    def look_and_delete_the_oldest(self) -> None:
        self.following.look()
        rotated = self._rotated()
        if len(rotated) > KEPT_FILES or (rotated and not self.partial):
            # Once more: with few files open at a time, one look does not see all.
            for _ in range(2 * len(rotated) + 2):
                self.following.look()
            rotated[-1].unlink()

    @rule()
    def poll(self) -> None:
        self.following.poll()

    @rule()
    def look(self) -> None:
        self.following.look()

    @rule()
    def kill(self) -> None:
        self.following.restart()

    def teardown(self) -> None:
        self._complete()
        for _ in range(40):
            self.following.look()
        self.following.now += COPY_WAIT_S
        self.following.look()
        numbers = [int(line[7:13]) for line in self.following.lines]
        self.following.tail.close()
        shutil.rmtree(self.folder)
        assert sorted(numbers) == self.written


class CopiedLog(RuleBasedStateMachine):
    """A log that is rotated by copying and truncating, in two steps."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.log = self.folder / "log.jsonl"
        self.log.touch()
        self.written = 0
        self.copies = 0
        self.copied = False
        self.killed = False
        # Whether what was written since the last truncation was looked at: a copy that is made
        # before that may be read twice, as the module says.
        self.seen = True
        self.following = Following(self.log)
        self.following.look()

    @precondition(lambda self: not self.copied)
    @rule(lines=st.integers(1, 40))
    def write_lines(self, lines: int) -> None:
        with self.log.open("a") as file:
            for _ in range(lines):
                filler = "x" * (self.written * 7 % 90)
                file.write(f'{{"id": {self.written:06d}, "filler": "{filler}"}}\n')
                self.written += 1

    @precondition(lambda self: not self.copied and self.seen and self.log.stat().st_size > 0)
    @rule(in_two=st.booleans())
    def copy(self, in_two: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        self.copies += 1
        copy, whole = self.folder / f"log.jsonl.{self.copies}", self.log.read_bytes()
        if in_two:
            copy.write_bytes(whole[: len(whole) // 2])
            self.following.look()
        copy.write_bytes(whole)
        self.copied = True

    @precondition(lambda self: self.copied)
    @rule()
    def truncate(self) -> None:
        os.truncate(self.log, 0)
        self.copied = self.seen = False

    @rule()
    def poll(self) -> None:
        self.following.poll()

    @rule()
    def look(self) -> None:
        self.following.look()
        self.seen = self.seen or self.log.stat().st_size > 0

    @rule()
    def kill(self) -> None:
        self.killed = True
        self.following.restart()

    def teardown(self) -> None:
        for _ in range(3):
            self.following.now += COPY_WAIT_S
            self.following.look()
        numbers = [int(line[7:13]) for line in self.following.lines]
        self.following.tail.close()
        shutil.rmtree(self.folder)
        assert sorted(set(numbers)) == list(range(self.written))
        assert self.killed or len(numbers) == self.written


TestRotatedLog = RotatedLog.TestCase
TestRotatedLog.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestCopiedLog = CopiedLog.TestCase
TestCopiedLog.settings = settings(max_examples=120, stateful_step_count=30, deadline=None)
