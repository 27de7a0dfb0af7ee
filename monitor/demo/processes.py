"""Child processes of the demo: each in a group of its own, with a log file, ended in every case."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: Above the daemon's own deadline for stopping, so that it may finish its step and commit.
STOP_TIMEOUT_S: Final = 35.0
POLL_S: Final = 0.1
LOG_LINES: Final = 15


class DemoError(RuntimeError):
    """The demo cannot go on; the message says why and where to look.

    - `ChildError`: a program that it started ended, or did not become ready.
    - `monitor.demo.story.StoryError`: everything runs, and something did not happen in time.
    """


class ChildError(DemoError):
    """A program that the demo started ended, or did not become ready in time."""


@dataclass(frozen=True, slots=True)
class Child:
    """A program that runs.

    Parameters
    ----------
    log
        Where its output goes.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raise `ChildError` if the program has ended."""
        status = self.process.poll()
        if status is not None:
            raise ChildError(f"{self.name} ended with status {status}; {log_tail(self.log)}")

    def wait(self, timeout_s: float) -> None:
        """Wait for the program to end well.

        Raises
        ------
        ChildError
            It ended with another status than 0, or did not end in time.
        """
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ChildError(
                f"{self.name} has not ended after {timeout_s:g} s; {log_tail(self.log)}"
            ) from None
        if status != 0:
            raise ChildError(f"{self.name} failed with status {status}; {log_tail(self.log)}")

    def wait_until_answers(self, url: str, timeout_s: float) -> None:
        """Wait until an HTTP GET of the URL answers 2xx.

        Raises
        ------
        ChildError
            The program ended, or the URL did not answer so in time.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            self.check()
            with contextlib.suppress(urllib.error.URLError, OSError):
                urllib.request.urlopen(url, timeout=2).close()  # noqa: S310 - http on loopback
                return
            time.sleep(POLL_S)
        raise ChildError(
            f"{self.name} is not ready: {url} did not answer 200 within {timeout_s:g} s; "
            f"{log_tail(self.log)}"
        )


@contextlib.contextmanager
def child(
    name: str,
    command: Sequence[str],
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    pipes: bool = False,
) -> Iterator[Child]:
    """Run a program for as long as a ``with`` block lasts, and end its whole group with it.

    Parameters
    ----------
    command
        Arguments to this Python interpreter, ``["-m", "monitor.cli", …]``.
    folder
        Its working directory; its output goes to ``<name>.log`` there.
    environment
        Variables on top of ours.
    pipes
        Connect standard input and output to us; the log then gets standard error alone.
    """
    log = folder / f"{name.replace(' ', '-')}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
            stdout=subprocess.PIPE if pipes else output,
            stderr=output,
            env=_inherited() | dict(environment or {}),
            # A terminal's Ctrl-C reaches only us: we end the programs, in an order.
            start_new_session=True,
        )
    try:
        yield Child(name, process, log)
    finally:
        end_group(process, STOP_TIMEOUT_S)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                # What it never read is of no interest any more.
                with contextlib.suppress(OSError):
                    pipe.close()


def end_group(process: subprocess.Popen[bytes], timeout_s: float) -> None:
    """Ask a process and its group to end, and make them after the time limit."""
    try:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout_s)
    finally:
        # Whatever of the group is left: its first process may have gone before the others, or
        # a second Ctrl-C cut the waiting short.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def log_tail(log: Path) -> str:
    """Return where the log is and how it ends, for an error's message."""
    try:
        lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
    except OSError:
        lines = []
    if not lines:
        return f"its log {log} is empty"
    return "\n".join([f"its log {log} ends:", *(f"    {line}" for line in lines)])


def _inherited() -> dict[str, str]:
    """Return our environment, without a user's MLflow and with this very Kedge to import."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    here = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (here, kept.get("PYTHONPATH", ""))))
    return kept | {
        "PYTHONPATH": path,
        # A log that stays empty until its program ends helps nobody.
        "PYTHONUNBUFFERED": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }
