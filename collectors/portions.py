"""Lines in portions that stay small as columns: a few bytes of text can name hundreds of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

#: Values (rows by columns) that are made of one portion, about: 8 MB of numbers. A chunk of
#: ordinary events is one portion; one of events that each name a column of their own, of all
#: the columns that a log may have, would take hundreds of MB at once.
VALUES_MAX = 1 << 20


def portions(
    lines: bytes, columns: Callable[[], int], values_max: int = VALUES_MAX
) -> Iterator[bytes]:
    r"""Cut whole lines into portions of at most about `values_max` values.

    Parameters
    ----------
    lines
        Whole lines; nothing for nothing.
    columns
        Columns that a line becomes; asked anew for each portion, because the one before may
        have taught new ones.

    Examples
    --------
    >>> list(portions(b"1\n2\n3\n4\n", lambda: 3, values_max=6))
    [b'1\n2\n', b'3\n4\n']
    """
    start = 0
    left = lines.count(b"\n")
    while start < len(lines):
        rows = max(1, values_max // max(1, columns()))
        if left <= rows:
            yield lines[start:] if start else lines
            return
        # Lines are of much the same length; exactly so many would mean to look at each.
        aim = start + (len(lines) - start) * rows // left
        end = lines.rfind(b"\n", start, aim) + 1 or lines.find(b"\n", aim) + 1 or len(lines)
        yield lines[start:end]
        left -= lines.count(b"\n", start, end)
        start = end
