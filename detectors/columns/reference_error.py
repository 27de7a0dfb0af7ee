"""What is wrong with a reference."""

from __future__ import annotations


class ReferenceError(ValueError):  # noqa: A001 - the builtin is about weak references
    """A reference, or a file of one, that cannot be used; the message says why."""
