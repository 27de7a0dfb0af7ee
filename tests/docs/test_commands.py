"""Every command in the README and in the book runs, in the order of its page.

A page has a folder of its own, in which its blocks run one after the other, with the `kedge` of
this checkout. What cannot run says why, where its reader does not see it.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import MARKS, ROOT, Block, blocks_of, pages
from tests.docs.scenes import SCENES

BLOCKS = {page.relative_to(ROOT).as_posix(): blocks_of(page) for page in pages()}
RUN = [
    name
    for name, blocks in BLOCKS.items()
    if any(b.is_shell and not {"not run", "run by"} & b.marks.keys() for b in blocks)
]
#: The port of the pages stands in every example; several tests run at once.
PORT = "9464"
PATIENCE_S = 120.0
#: Programs that a reader is told to type.
PROGRAMS = ("kedge", "make", "pip", "curl", "kubectl", "helm", "docker", "python")


class Reader:
    """Types what stands on a page, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self._background: list[subprocess.Popen[bytes]] = []
        self._environment = _environment(folder)

    def type(self, block: Block) -> None:
        for scene in filter(None, block.marks.get("given", "").split(", ")):
            SCENES[scene](self.folder)
        text = block.text.replace(f"127.0.0.1:{PORT}", f"127.0.0.1:{self.port}")
        if "write" in block.marks:
            path = self.folder / block.marks["write"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif block.is_shell and "background, until" in block.marks:
            self._start(block, text)
        elif block.is_shell:
            self._run(block, text)
        for path in self.folder.glob("*.toml"):
            written = path.read_text(encoding="utf-8")
            path.write_text(written.replace(f":{PORT}", f":{self.port}"), encoding="utf-8")

    def _run(self, block: Block, text: str) -> None:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        where = f"{block.page}:{block.line}\n{text}\n{done.stdout}"
        assert done.returncode == int(block.marks.get("exits", "0")), where
        assert block.marks.get("prints", "") in done.stdout, where

    def _start(self, block: Block, text: str) -> None:
        *before, last = block.commands
        if before:
            self._run(block, "\n".join(before))
        last = last.replace(f"127.0.0.1:{PORT}", f"127.0.0.1:{self.port}")
        heard = self.folder / f"background-{len(self._background)}.txt"
        with heard.open("wb") as out:
            self._background.append(
                subprocess.Popen(
                    ["bash", "-c", f"exec env {last}"],
                    cwd=self.folder,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                )
            )
        wanted, deadline = block.marks["background, until"], time.monotonic() + PATIENCE_S
        while wanted not in heard.read_text(encoding="utf-8"):
            said = f"{block.page}:{block.line}\n{text}\n{heard.read_text(encoding='utf-8')}"
            assert self._background[-1].poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.1)

    def leave(self) -> None:
        for process in self._background:
            process.terminate()
        for process in self._background:
            process.wait(30)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _environment(folder: Path) -> dict[str, str]:
    programs = folder.parent / f"{folder.name}-bin"
    programs.mkdir()
    for name, words in (("kedge", "-m monitor.cli"), ("python", "")):
        path = programs / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n', encoding="utf-8")
        path.chmod(0o755)
    kept = {key: os.environ[key] for key in ("LANG", "LC_ALL", "TMPDIR") if key in os.environ}
    return kept | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}:{folder / 'site'}",
        "HOME": str(folder),
        "COLUMNS": "120",
        "OMP_NUM_THREADS": "1",
        # A test installs nothing.
        "PIP_NO_INDEX": "1",
    }


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    folder = tmp_path / "work"
    folder.mkdir()
    reader = Reader(folder)
    yield reader
    reader.leave()


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_a_page_run(page: str, reader: Reader) -> None:
    for block in BLOCKS[page]:
        if not {"not run", "run by"} & block.marks.keys():
            reader.type(block)


def test_what_is_run_elsewhere_stands_there() -> None:
    for blocks in BLOCKS.values():
        for block in blocks:
            if "run by" in block.marks:
                there = (ROOT / block.marks["run by"]).read_text(encoding="utf-8")
                missing = [line for line in block.commands if line not in there]
                assert missing == [], f"{block.page}:{block.line}"


def test_every_mark_is_known_and_every_reason_a_sentence() -> None:
    for blocks in BLOCKS.values():
        for block in blocks:
            where = f"{block.page}:{block.line}"
            assert block.marks.keys() <= MARKS, where
            assert len(block.marks.get("not run", "as long as that")) > 10, where


def test_no_command_hides_in_a_block_that_is_not_of_the_shell() -> None:
    typed = re.compile(rf"^\$? ?(?:{'|'.join(PROGRAMS)}) ", re.MULTILINE)

    hidden = [
        f"{block.page}:{block.line}"
        for blocks in BLOCKS.values()
        for block in blocks
        if block.language == "" and typed.search(block.text)
    ]

    assert hidden == []
