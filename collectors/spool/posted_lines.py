"""What a sender posted, as the lines of a spool: a light look at the door, no judgement of events.

Lines that are no JSON object are kept with the rest, so that the format counts them among the
rejected and the quarantine shows them; here they are only counted for the sender's answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from collectors.spool.event_key import NotAnObjectError, event_key
from collectors.spool.spool import Batch
from collectors.tail.line_cutting import SKIPPED_BYTES_MAX

_BOM = b"\xef\xbb\xbf"

_array = msgspec.json.Decoder(list[msgspec.Raw])


class UnreadableBodyError(ValueError):
    """A body that is neither lines nor an array; the text says why."""


@dataclass(slots=True)
class Posted:
    """Lines for the spool, and what is answered.

    Parameters
    ----------
    accepted
        JSON objects that are not too long.
    malformed
        Lines that are no JSON object, kept for the quarantine.
    """

    lines: list[bytes] = field(default_factory=list)
    keys: list[int | None] = field(default_factory=list)
    too_long: list[bytes] = field(default_factory=list)
    accepted: int = 0
    malformed: int = 0

    @property
    def batch(self) -> Batch:
        """What is spooled."""
        return Batch(self.lines, self.keys, self.too_long)

    @property
    def rejected(self) -> int:
        """Lines that cannot be used."""
        return self.malformed + len(self.too_long)

    def take(self, line: bytes, bytes_max: int) -> None:
        """Take a line that has no end."""
        if len(line) > bytes_max:
            self.too_long.append(line[:SKIPPED_BYTES_MAX])
            return
        try:
            key = event_key(line)
        except NotAnObjectError:
            key = None
            self.malformed += 1
        else:
            self.accepted += 1
        self.lines.append(line)
        self.keys.append(key)


def posted(body: bytes, *, line_bytes_max: int) -> Posted:
    r"""Return the events of a body: a JSON array of them, one a line, or a single one.

    Raises
    ------
    UnreadableBodyError
        There is nothing in it, or it begins like an array and is none.

    Examples
    --------
    >>> posted(b'{"id": "a"}\n[1]\n\n{"id": "b"}', line_bytes_max=100).accepted
    2
    >>> posted(b'[{"id": "a"}, 1]', line_bytes_max=100).rejected
    1
    """
    body = body.removeprefix(_BOM).strip()
    if not body:
        raise UnreadableBodyError("the body is empty")
    found = Posted()
    for line in _elements(body) if body.startswith(b"[") else _lines(body):
        found.take(line, line_bytes_max)
    return found


def one_line(text: bytes) -> bytes:
    """Put a JSON text on one line; within it, line ends stand between tokens only."""
    return text.replace(b"\n", b" ").replace(b"\r", b" ").strip()


def _elements(body: bytes) -> Sequence[bytes]:
    try:
        return [one_line(bytes(element)) for element in _array.decode(body)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableBodyError(f"the body is not a JSON array: {error}") from error


def _lines(body: bytes) -> Sequence[bytes]:
    lines = [stripped for line in body.split(b"\n") if (stripped := line.strip())]
    if len(lines) > 1 and not _is_object(lines[0]):
        # One event, written over several lines.
        whole = one_line(body)
        if _is_object(whole):
            return [whole]
    return lines


def _is_object(text: bytes) -> bool:
    try:
        event_key(text)
    except NotAnObjectError:
        return False
    return True
