"""Whole lines out of the bytes of a log, in bounded memory however long a line is."""

from __future__ import annotations

from dataclasses import dataclass

#: First bytes of a line that was too long that are kept for the quarantine.
SKIPPED_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class Cut:
    r"""What was made of some bytes.

    Parameters
    ----------
    lines
        Whole lines, each ended by ``\n``.
    skipped
        The first bytes of each line that was too long.
    end
        What is before it is done with; what is behind it is a line without its end.
    skipping
        The bytes ended inside a line that is too long: what comes next belongs to it.
    """

    lines: bytes
    skipped: tuple[bytes, ...]
    end: int
    skipping: bool


def cut(
    data: bytes, begin: int = 0, *, line_bytes_max: int, skipping: bool = False, full: bool = False
) -> Cut:
    r"""Cut bytes, from `begin` on and from the start of a line, into whole lines.

    NULs before a line are passed over: a writer that was not told of a truncation goes on at
    its old offset, and leaves a hole that reads as NULs.

    Parameters
    ----------
    line_bytes_max
        Longest line, without its end.
    skipping
        The bytes begin inside a line that is too long, and has been reported.
    full
        More bytes may follow right behind these.

    Examples
    --------
    >>> cut(b"one\ntwo\nth", line_bytes_max=9)
    Cut(lines=b'one\ntwo\n', skipped=(), end=8, skipping=False)
    """
    if skipping:
        found = data.find(b"\n", begin)
        if found < 0:
            return Cut(b"", (), len(data), skipping=True)
        begin = found + 1
    begin = _behind_hole(data, begin, full=full)
    end = max(begin, data.rfind(b"\n", begin) + 1)
    lines, skipped = _without_long(data[begin:end], line_bytes_max)
    end = _behind_hole(data, end, full=full)
    if len(data) - end > line_bytes_max:
        skipped.append(data[end : end + SKIPPED_BYTES_MAX])
        return Cut(lines, tuple(skipped), len(data), skipping=True)
    return Cut(lines, tuple(skipped), end, skipping=False)


def _behind_hole(data: bytes, begin: int, *, full: bool) -> int:
    """Pass over NULs, if it is certain that no text will be put there."""
    if not data.startswith(b"\0", begin):
        return begin
    end = len(data) - len(data[begin:].lstrip(b"\0"))
    return end if end < len(data) or full else begin


def _without_long(lines: bytes, line_bytes_max: int) -> tuple[bytes, list[bytes]]:
    """Take the lines that are too long out of whole lines."""
    kept, skipped = [], []
    start = at = 0
    # From line end to line end in steps as long as a line may be: without long lines a few
    # steps, not one a line.
    while len(lines) - at > line_bytes_max + 1:
        end = lines.rfind(b"\n", at, at + line_bytes_max + 1)
        if end < 0:
            end = lines.index(b"\n", at + line_bytes_max)
            kept.append(lines[start:at])
            skipped.append(lines[at : min(end, at + SKIPPED_BYTES_MAX)])
            start = end + 1
        at = end + 1
    if not skipped:
        return lines, skipped
    return b"".join([*kept, lines[start:]]), skipped
