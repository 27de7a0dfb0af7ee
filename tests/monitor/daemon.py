"""A real `kedge run` as a process, for tests: started on a port the system picks, always ended."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

DEADLINE_S = 60.0


def eventually(
    probe: Callable[[], T], *, what: str, deadline_s: float = DEADLINE_S, pause_s: float = 0.02
) -> T:
    """Return what the probe returns as soon as that is true; fail loudly when it never is."""
    ends = time.monotonic() + deadline_s
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > ends:
            raise AssertionError(f"{what}: not within {deadline_s:g} s; last seen: {found!r}")
        time.sleep(pause_s)


@dataclass(slots=True)
class Kedge:
    """A running daemon."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON of any shape
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return json.load(answer)

    def page(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return str(answer.read().decode())

    def totals(self) -> dict[str, int]:
        return dict(self.get("/api/v1/status")["totals"]["all"])

    def counted(self, lines: int, *, deadline_s: float = DEADLINE_S) -> None:
        """Wait until so many lines were counted, used or not."""
        eventually(
            lambda: sum(self.totals()[key] for key in ("events", "rejected")) >= lines,
            what=f"{lines} lines counted",
            deadline_s=deadline_s,
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextlib.contextmanager
def running(config: Path) -> Iterator[Kedge]:
    """Start the daemon and wait until it is ready; end it with the block."""
    log = config.with_suffix(".log")
    with log.open("ab") as output:
        begins = output.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "monitor.cli", "run", "-c", str(config)],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
        )
    try:
        kedge = Kedge(process, _address(process, log, begins), log)
        eventually(lambda: _ready(kedge), what="the daemon is ready")
        yield kedge
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _address(process: subprocess.Popen[bytes], log: Path, begins: int) -> str:
    def found() -> str | None:
        said = log.read_bytes()[begins:].decode(errors="replace")
        if process.poll() is not None:
            raise AssertionError(f"the daemon ended with {process.returncode}:\n{said}")
        match = re.search(r"listening on (http://[^\s\x22]+)", said)
        return match[1] if match else None

    return eventually(found, what="the daemon says where it listens") or ""


def _ready(kedge: Kedge) -> bool:
    try:
        return bool(kedge.get("/readyz")["status"] == "ok")
    except (urllib.error.URLError, ConnectionError):
        return False
