"""A bounded file of the lines that could not be used, for whoever looks for the reason."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from collectors.batch import Rejection

BYTES_MAX = 10 * 1024 * 1024


class Quarantine:
    """Rejected lines, appended as JSON lines: ``time``, ``source``, ``reason``, ``line``.

    It never raises and never stops the flow: what cannot be written is counted in `dropped`.
    The lines carry what the events carried, so the file is readable by its owner alone.

    Parameters
    ----------
    path
        The file; made, with its folder, when the first line comes.
    bytes_max
        When the file has grown to this size, it becomes ``<path>.1``, and an older ``.1`` is
        gone: the two together stay near twice this size.
    """

    def __init__(self, path: Path, bytes_max: int = BYTES_MAX) -> None:
        self._path = path
        self._bytes_max = bytes_max
        self.written = 0
        self.dropped = 0

    def write(self, source: str, rejections: Sequence[Rejection], now: float) -> None:
        """Append the lines that `source` handed out and that were rejected at `now`, seconds."""
        time = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
        text = "".join(
            json.dumps(
                {
                    "time": time,
                    "source": source,
                    "reason": rejection.reason,
                    "line": rejection.line.decode(errors="backslashreplace"),
                },
            )
            + "\n"
            for rejection in rejections
        )
        try:
            self._append(text.encode())
        except OSError:
            self.dropped += len(rejections)
        else:
            self.written += len(rejections)

    def _append(self, data: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_size + len(data) > self._bytes_max:
                self._path.replace(self._path.with_name(self._path.name + ".1"))
        descriptor = os.open(
            self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        with os.fdopen(descriptor, "ab", buffering=0) as file:
            file.write(data[: self._bytes_max])
