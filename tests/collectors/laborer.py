"""A process that uses known amounts of processor, memory, files and threads when told to."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

# Each command is a line of a word and a number; each is answered when it is done.
_PROGRAM = """
import subprocess, sys, threading, time
kept, child = [], None
stop = threading.Event()
for line in sys.stdin:
    word, _, rest = line.strip().partition(" ")
    if word == "burn":
        until = time.process_time() + float(rest)
        while time.process_time() < until:
            pass
    elif word == "grow":
        kept.append(bytearray(b"x") * (int(rest) << 20))
    elif word == "open":
        kept.extend(open("/dev/null", "rb") for _ in range(int(rest)))
    elif word == "threads":
        for _ in range(int(rest)):
            threading.Thread(target=stop.wait, daemon=True).start()
    elif word == "child":
        burn = (f"import sys, time\\nwhile time.process_time() < {rest}: pass\\n"
                "print('done', flush=True)\\nsys.stdin.read()")
        child = subprocess.Popen([sys.executable, "-c", burn],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert child.stdout.readline() == b"done\\n"
    elif word == "bury":
        child.communicate()
    print("done", flush=True)
"""


class Laborer:
    """The process; each method returns when it has done it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.pid = process.pid

    def burn(self, seconds: float) -> None:
        self._tell(f"burn {seconds}")

    def grow(self, mebibytes: int) -> None:
        self._tell(f"grow {mebibytes}")

    def open(self, files: int) -> None:
        self._tell(f"open {files}")

    def start_threads(self, count: int) -> None:
        self._tell(f"threads {count}")

    def start_child(self, burns_s: float) -> None:
        """Start a child, which burns so much and then stays."""
        self._tell(f"child {burns_s}")

    def end_child(self) -> None:
        self._tell("bury 0")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def _tell(self, command: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"


@contextlib.contextmanager
def laborer(*arguments: str) -> Iterator[Laborer]:
    """Start one, with arguments for its command line; end it, and its children, with the block."""
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Laborer(process)
        finally:
            process.kill()
