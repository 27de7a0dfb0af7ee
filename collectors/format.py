"""What every format is: bytes of whole lines in, columns out."""

from __future__ import annotations

from typing import Protocol

from collectors.batch import Decoded, Schema


class Format(Protocol):
    """A log format. Implementations do no I/O; they may remember the columns they have met."""

    @property
    def schema(self) -> Schema:
        """The columns that are decoded now; grows while it is open, never changes a kind."""

    @property
    def columns_overflow(self) -> int:
        """How many new columns were refused because there were too many."""

    def fix(self, schema: Schema) -> None:
        """From now on decode exactly the columns of `schema` (those of a reference)."""

    def learn(self, schema: Schema) -> None:
        """Start from the columns of `schema` (learnt before a restart), and go on learning."""

    def decode(self, lines: bytes) -> Decoded:
        """Columns of the usable lines, and what could not be used. Never raises over data."""
