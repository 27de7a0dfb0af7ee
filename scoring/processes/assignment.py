"""What a scoring process is told, and what it tells: lines of JSON, for as long as it runs.

Its standard input begins with one `Assignment`, and each `Order` is a line more; when it ends, the
parent is gone, and the process drains and ends too. Each `Word` is a line of its standard output.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import msgspec

from scoring.settings import ServeSettings

#: What became of an attempt to follow the alias: a closed set.
SwapOutcome: TypeAlias = Literal["swapped", "fetch_failed", "load_failed", "check_failed"]


class SwapError(Exception):
    """A version that was not swapped in; `outcome` says at which step it failed."""

    def __init__(self, outcome: SwapOutcome, why: object) -> None:
        super().__init__(str(why))
        self.outcome: SwapOutcome = outcome


class Pinned(msgspec.Struct, frozen=True):
    """A version whose files are on this machine, in `folder`."""

    name: str
    version: str
    folder: Path


class Assignment(msgspec.Struct, frozen=True):
    """What to serve, and how to come by the port.

    Parameters
    ----------
    target
        The version; None: what the settings' address names now.
    inherits
        Where another process will hand the port and its connections over: the model must score
        its own example before. None: a socket of its own is bound to the settings' port.
    follows
        Whether the process itself follows the alias.
    """

    settings: ServeSettings
    target: Pinned | None = None
    inherits: Path | None = None
    follows: bool = False


class HandOver(msgspec.Struct, frozen=True, tag=True):
    """Hand the port and all connections to the process that waits at `path`, then end."""

    path: Path


class Listen(msgspec.Struct, frozen=True, tag=True):
    """Do not wait for an inheritance: bind a socket."""


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The model is loaded and warm; `line` says for people what is served where."""

    line: str
    served: Pinned


class Failed(msgspec.Struct, frozen=True, tag=True):
    """It cannot be served, and the process ends."""

    why: str
    outcome: SwapOutcome = "load_failed"


class Took(msgspec.Struct, frozen=True, tag=True):
    """The process takes connections now."""


Order: TypeAlias = HandOver | Listen
Word: TypeAlias = Ready | Failed | Took


# The structures here hold no other types than JSON's and paths, so neither hook is asked for more;
# NotImplementedError is how a hook of msgspec says no.
def _text(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"cannot write a {type(value).__name__}")


def _path(kind: type, value: Any) -> object:  # noqa: ANN401 - any JSON
    if kind is Path:
        return Path(str(value))
    raise NotImplementedError(f"cannot read a {kind.__name__}")


_encode: Final = msgspec.json.Encoder(enc_hook=_text)
_assignment: Final = msgspec.json.Decoder(Assignment, dec_hook=_path)
_order: Final = msgspec.json.Decoder(HandOver | Listen, dec_hook=_path)
_word: Final = msgspec.json.Decoder(Ready | Failed | Took, dec_hook=_path)


def line_of(told: Assignment | Order | Word) -> bytes:
    """Return what goes over the pipe."""
    return _encode.encode(told) + b"\n"


def assignment_of(line: bytes) -> Assignment:
    """Read the first line of standard input."""
    return _assignment.decode(line)


def order_of(line: bytes) -> Order:
    """Read a later line of standard input."""
    order: Order = _order.decode(line)
    return order


def word_of(line: bytes) -> Word:
    """Read a line of standard output."""
    word: Word = _word.decode(line)
    return word
