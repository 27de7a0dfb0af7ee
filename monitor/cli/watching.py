"""Showing something again and again: on a terminal in place, elsewhere one after another."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import click
from rich.console import Console, ConsoleRenderable, Group
from rich.live import Live
from rich.text import Text

#: Looks at what is watched, and returns what is to be seen of it.
Look = Callable[[], ConsoleRenderable]
_END_KEYS = (b"q", b"Q", b"\x03", b"\x04")


def watch(look: Look, console: Console, interval_s: float) -> None:
    """Show what a look finds every `interval_s` until somebody presses q.

    A look that fails is shown as what it says, and the next one is taken all the same. Where
    there is no terminal, this ends with a signal only.
    """
    if not console.is_terminal:
        _repeat(look, console, interval_s)
        return
    with (
        _keys() as pressed,
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        while True:
            hint = f"every {interval_s:g} s, {_clock()}; q ends"
            live.update(Group(_looked(look), Text(hint, style="dim")), refresh=True)
            if pressed(interval_s):
                return


def _repeat(look: Look, console: Console, interval_s: float) -> None:
    while True:
        console.print(Text(_clock()))
        console.print(_looked(look))
        console.file.flush()
        time.sleep(interval_s)


def _looked(look: Look) -> ConsoleRenderable:
    try:
        return look()
    except click.UsageError:
        raise
    except click.ClickException as error:
        return Text(error.format_message(), style="bold red")


def _clock() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """Give a function that waits, and says whether a key that ends was pressed meanwhile."""
    number = sys.stdin.fileno() if sys.stdin.isatty() else None
    if number is None:
        yield _sleep
        return

    def pressed(seconds: float) -> bool:
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            if select.select([number], [], [], left)[0]:
                key = os.read(number, 1)
                # Nothing to read: the terminal has gone.
                if not key or key in _END_KEYS:
                    return True
        return False

    before = termios.tcgetattr(number)
    try:
        tty.setcbreak(number)
        yield pressed
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False
