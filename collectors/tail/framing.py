r"""Lines as a container runtime wraps them, and what the container wrote.

* ``cri``, of containerd and CRI-O: ``2026-03-04T10:00:00.123456789Z stdout F {…}``. A line that
  was too long for the runtime comes in pieces, tagged ``P``, the last one ``F``.
* ``docker``, of Docker's json-file driver: ``{"log":"{…}\n","stream":"stdout","time":"…"}``.
  There a piece is a text that does not end with ``\n``.

Pieces of the two outputs of a container may be mixed; each output is joined by itself. Both are
handed on: which of their lines are events is for the format to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import msgspec

from collectors.tail.line_cutting import SKIPPED_BYTES_MAX

Framing: TypeAlias = Literal["lines", "cri", "docker"]
#: Output of a container to the beginning of a line of it; nothing once it has become too long.
Pieces: TypeAlias = Mapping[str, bytes | None]

# Time, output, tags (the first says whether the line is whole), text.
_CRI = re.compile(rb"(\d{4}-\d\d-\d\dT[^ \n]+) (stdout|stderr) ([FP])(?::[^ \n]*)? ")
_CRI_WHOLE = re.compile(
    rb"^\d{4}-\d\d-\d\dT[^ \n]+ (?:stdout|stderr) F(?::[^ \n]*)? ", re.MULTILINE
)


class _DockerLine(msgspec.Struct):
    log: str
    stream: Literal["stdout", "stderr"] = "stdout"


_docker = msgspec.json.Decoder(_DockerLine)


@dataclass(frozen=True, slots=True)
class Unwrapped:
    r"""What a container wrote.

    Parameters
    ----------
    lines
        Whole lines, each ended by ``\n``. Lines without the runtime's wrapping are handed on as
        they are.
    skipped
        The first bytes of each line that became too long when it was joined.
    pieces
        The beginnings of lines that have not ended yet.
    """

    lines: bytes
    skipped: tuple[bytes, ...] = ()
    pieces: Pieces = field(default_factory=dict)


def recognise(lines: bytes) -> Framing:
    """Tell the framing by the first of some lines."""
    if _CRI.match(lines):
        return "cri"
    if lines.startswith(b'{"log":'):
        first = lines[: lines.find(b"\n")]
        return "docker" if _unwrap_docker(first) is not None else "lines"
    return "lines"


def unwrap(framing: Framing, lines: bytes, pieces: Pieces, *, line_bytes_max: int) -> Unwrapped:
    """Take the wrapping off whole lines, and join pieces.

    Parameters
    ----------
    pieces
        Beginnings of lines that stood in what was unwrapped before.
    line_bytes_max
        Longest joined line, without its end. Longer ones are dropped to their end, and reported.
    """
    if framing == "lines":
        return Unwrapped(lines, (), pieces)
    if framing == "cri" and not pieces:
        text, whole = _CRI_WHOLE.subn(b"", lines)
        if whole == lines.count(b"\n"):
            return Unwrapped(text)
    return _join(lines, _UNWRAP[framing], dict(pieces), line_bytes_max)


def _join(
    lines: bytes,
    unwrap_line: Callable[[bytes], tuple[str, bytes, bool] | None],
    pieces: dict[str, bytes | None],
    line_bytes_max: int,
) -> Unwrapped:
    joined, skipped = [], []
    for line in _lines_of(lines):
        unwrapped = unwrap_line(line)
        if unwrapped is None:
            joined.append(line)
            continue
        output, text, ended = unwrapped
        before = pieces.pop(output, b"")
        if before is not None and len(before) + len(text) > line_bytes_max:
            skipped.append((before + text)[:SKIPPED_BYTES_MAX])
            before = None
        whole = None if before is None else before + text
        if not ended:
            pieces[output] = whole
        elif whole is not None:
            joined.append(whole)
    return Unwrapped(b"".join(line + b"\n" for line in joined), tuple(skipped), pieces)


def _lines_of(lines: bytes) -> Iterator[bytes]:
    return iter(lines.split(b"\n")[:-1])


def _unwrap_cri(line: bytes) -> tuple[str, bytes, bool] | None:
    match = _CRI.match(line)
    if match is None:
        return None
    return match[2].decode(), line[match.end() :], match[3] == b"F"


def _unwrap_docker(line: bytes) -> tuple[str, bytes, bool] | None:
    try:
        one = _docker.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    text = one.log.encode()
    # A line of a container may hold no line end but its last.
    return one.stream, text.rstrip(b"\n").replace(b"\n", b" "), text.endswith(b"\n")


_UNWRAP: Mapping[Framing, Callable[[bytes], tuple[str, bytes, bool] | None]] = {
    "cri": _unwrap_cri,
    "docker": _unwrap_docker,
}
