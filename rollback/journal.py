"""The journal: every rollback, written down before each of its acts. The seam to the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rollback.record import RollbackRecord, Transition


class Journal(Protocol):
    """Where rollbacks are kept, outside of what a rollback may take down.

    An error that one of these raises passes through the controller: nothing is done that is not
    written.
    """

    async def open_records(self, model: str) -> Sequence[RollbackRecord]:
        """Return the rollbacks of a model that have no outcome yet."""
        ...

    async def write(self, record: RollbackRecord, transition: Transition) -> None:
        """Write the record and its transition, both or neither, durably before returning.

        The record's `revision` is one more than the one written before it (1 for the first); a
        journal with several writers refuses any other number.
        """
        ...

    async def recent(self, model: str, since: float) -> Sequence[RollbackRecord]:
        """Return the closed rollbacks of a model updated at or after a time, in any order."""
        ...

    async def get(self, record_id: str) -> RollbackRecord | None:
        """Return one rollback, or None."""
        ...
