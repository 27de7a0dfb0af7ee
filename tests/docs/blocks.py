"""The fenced blocks of a page, and what its hidden comments say of them.

A comment right before a block says what a test is to do with it; several stand one a line::

    <!-- write: kedge.toml -->                 the block is written into this file
    <!-- given: predictions -->                a scene of tests/docs/scenes.py is set up before
    <!-- background, until: listening on -->   it goes on while the rest of the page runs
    <!-- exits: 3 -->                          the status that its last command ends with
    <!-- prints: breach -->                    what its output has
    <!-- run by: .ci/run -->                   every line of it stands in that file
    <!-- not run: needs a cluster -->          why it cannot run here
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHELL = frozenset({"sh", "console", "bash", "shell"})
MARKS = frozenset({"write", "given", "background, until", "exits", "prints", "run by", "not run"})

_FENCE = re.compile(r"^(?P<fence>`{3,})(?P<info>[^`]*)$")
_COMMENT = re.compile(r"^<!-- *(?P<mark>[a-z, ]+?): *(?P<text>.*?) *-->$")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: where it begins, its language, its text, and what comments say of it."""

    page: str
    line: int
    language: str
    text: str
    marks: Mapping[str, str]

    @property
    def is_shell(self) -> bool:
        return self.language in SHELL

    @property
    def commands(self) -> list[str]:
        """Its lines without comments and prompts."""
        lines = [line.partition("  #")[0].strip() for line in self.text.splitlines()]
        return [line for line in lines if line and not line.startswith("#")]


def pages() -> list[Path]:
    """Every page that a reader may type commands from."""
    made = ROOT / "docs" / "generated"
    docs = [path for path in (ROOT / "docs").rglob("*.md") if made not in path.parents]
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(docs)]


def blocks_of(page: Path) -> list[Block]:
    return list(_blocks(page.relative_to(ROOT).as_posix(), page.read_text(encoding="utf-8")))


def _blocks(page: str, text: str) -> Iterator[Block]:
    marks: dict[str, str] = {}
    fence, begun, language, inside = "", 0, "", list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        opening = _FENCE.match(line)
        if fence:
            if line.strip() == fence:
                yield Block(page, begun, language, "\n".join(inside) + "\n", marks)
                fence, marks = "", {}
            else:
                inside.append(line)
        elif opening is not None:
            fence, begun, inside = opening["fence"], number, []
            language = opening["info"].strip()
        elif comment := _COMMENT.match(line):
            marks[comment["mark"]] = comment["text"]
        elif line.strip():
            marks = {}
