"""A reader of a tailed log for tests: clocks that stand still, positions that survive."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collectors.source import Chunk
from collectors.tail.tail import LOOK_S, Tail, TailSettings


class Following:
    """Polls a `Tail`, keeps what it handed out, and can be restarted like a daemon.

    Every poll is committed at once: what was handed out and its position are kept together.
    """

    def __init__(self, pattern: Path, *, files_open_max: int = 512, **settings: Any) -> None:  # noqa: ANN401
        self.settings = TailSettings(path=str(pattern), **settings)
        self.files_open_max = files_open_max
        self.now = 1_000.0
        self.wall = 0.0  # every file was written in the future: all are live
        self.lines: list[bytes] = []
        self.chunks: list[Chunk] = []
        self.skipped: list[bytes] = []
        self.positions: dict[str, Mapping[str, Any]] = {}
        self.tail = self._tail()

    def _tail(self) -> Tail:
        tail = Tail(
            self.settings,
            monotonic=lambda: self.now,
            wall=lambda: self.wall,
            files_open_max=self.files_open_max,
        )
        tail.restore(self.positions)
        return tail

    def poll(self) -> list[bytes]:
        """Poll once; return the new lines."""
        before = len(self.lines)
        for chunk in self.tail.poll():
            assert chunk.lines == b"" or chunk.lines.endswith(b"\n")
            self.chunks.append(chunk)
            self.lines += chunk.lines.splitlines()
            self.skipped += chunk.skipped
            self.positions[chunk.stream] = json.loads(json.dumps(chunk.position))
        for gone in self.tail.retired():
            self.positions.pop(gone, None)
        return self.lines[before:]

    def look(self) -> list[bytes]:
        """Poll with a new look at the folder, and until nothing more comes; return new lines."""
        before = len(self.lines)
        for _ in range(2):  # a rotation noticed in reading is sorted out by the next look
            self.now += LOOK_S
            while self.poll():
                pass
        return self.lines[before:]

    def restart(self) -> None:
        """End without a further word, and start again from the stored positions."""
        self.tail.close()
        self.tail = self._tail()


def append(path: Path, *lines: str, end: str = "\n") -> None:
    """Append lines to a file; with another `end` the last of them has none yet."""
    with path.open("a") as file:
        file.write("\n".join(lines) + end)


def ids(first: int, end: int) -> list[str]:
    """Return lines that are numbered, of different lengths."""
    return [f'{{"id": "{i:06d}", "filler": "{"x" * (i % 50)}"}}' for i in range(first, end)]


def found(following: Following) -> list[int]:
    """Return the numbers of the lines that were handed out."""
    return [int(line[8:14]) for line in following.lines]
