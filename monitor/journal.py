"""The rollback journal in the store: a row is durable before the act that it announces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monitor.store import Store
from monitor.writer import Writer
from rollback.record import RollbackRecord, Transition


class StoreJournal:
    """A :class:`rollback.journal.Journal` over the store, written on the writer's thread."""

    def __init__(self, store: Store, writer: Writer) -> None:
        self._store = store
        self._writer = writer

    async def open_records(self, model: str) -> Sequence[RollbackRecord]:
        """Return the records that are not closed, oldest first."""
        return [record for record in await self._records(model, 0.0) if record.open]

    async def recent(self, model: str, since: float) -> Sequence[RollbackRecord]:
        """Return the closed records changed since then, oldest first."""
        return [record for record in await self._records(model, since) if not record.open]

    async def get(self, record_id: str) -> RollbackRecord | None:
        """Return one record; None when there is none."""
        row = await self._writer.run(lambda: self._store.rollback(record_id))
        return None if row is None else RollbackRecord.from_json(row)

    async def write(self, record: RollbackRecord, transition: Transition) -> None:
        """Write the record and the transition, both or neither."""
        row = {
            "id": record.id,
            "model": record.model,
            "state": record.state,
            "record": record.to_json(),
            "created": record.created,
            "updated": record.updated,
        }
        history = transition_row(transition)
        await self._writer.run(lambda: self._store.write_rollback(row, history))

    async def _records(self, model: str, since: float) -> list[RollbackRecord]:
        rows = await self._writer.run(lambda: self._store.rollbacks(model, since))
        return [RollbackRecord.from_json(row) for row in rows]


def transition_row(transition: Transition) -> dict[str, Any]:
    """Return a transition as JSON."""
    return {
        "at": transition.at,
        "before": transition.before,
        "after": transition.after,
        "why": transition.why,
        "gate": transition.gate,
    }
