"""Strings out of the data, made fit to become labels, category names and rows of a store."""

from __future__ import annotations

#: Characters a name from the data may have; longer ones are cut. Bounds labels and store keys.
TEXT_CHARS_MAX = 128

_REPLACEMENT = "\ufffd"


def clean_text(text: str) -> str:
    r"""Return `text` without NUL and lone surrogates, at most `TEXT_CHARS_MAX` characters long.

    A NUL is refused by PostgreSQL, and one lone surrogate in a label makes every scrape of
    ``/metrics`` fail. Both become U+FFFD. Nothing else is changed: two spellings of one
    letter stay two categories.

    Examples
    --------
    >>> clean_text("gold")
    'gold'
    >>> clean_text("a\0b")
    'a\ufffdb'
    """
    if text.isprintable() and len(text) <= TEXT_CHARS_MAX:
        return text  # isprintable() is false for NUL and for surrogates
    cut = text[:TEXT_CHARS_MAX].replace("\0", _REPLACEMENT)
    return "".join(_REPLACEMENT if "\ud800" <= char <= "\udfff" else char for char in cut)
