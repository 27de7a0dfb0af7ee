"""What every format is: bytes of whole lines in, columns out."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

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


@runtime_checkable
class Holding(Protocol):
    """A format that keeps something back between chunks: halves of events, a table's header.

    What it keeps is stored in the transaction that stores the positions of the lines it came
    from. So each line has its effect once, over any crash.
    """

    def expire(self, wall: float, silent_s: float) -> Decoded:
        """Give up what was kept back for too long.

        Parameters
        ----------
        wall
            Seconds since the epoch.
        silent_s
            How long no line has come, in seconds.
        """

    def encode(self) -> bytes | None:
        """Return what to keep over a restart; None for nothing."""

    def restore(self, state: bytes) -> None:
        """Go on where `encode` stood; what cannot be read is dropped."""
