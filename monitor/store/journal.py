"""The rollback journal in the store: a row is durable before the act that it announces.

A record that cannot be read exactly is refused, and so is a write by who has not seen the last
one: a rollback that is misunderstood is worse than one that waits for a person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monitor.store.errors import StoreInUse, StoreSchemaError
from monitor.store.store import Store
from monitor.store.writer import Writer
from rollback.record import RollbackRecord, Transition


class StoreJournal:
    """A :class:`rollback.journal.Journal` over the store, written on the writer's thread.

    Reading raises `StoreSchemaError` where a record is that of a later Kedge, and writing
    `StoreInUse` where another Kedge has written the record since it was read.
    """

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
        return None if row is None else _record(row)

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

        def write() -> None:
            before = self._store.rollback(record.id)
            revision = 0 if before is None else _record(before).revision
            if record.revision != revision + 1:
                raise StoreInUse(
                    f"rollback {record.id} stands in the store at revision {revision}, and "
                    f"{record.revision} was to be written: another Kedge works on it; end one of "
                    "the two"
                )
            self._store.write_rollback(row, history)

        await self._writer.run(write)

    async def _records(self, model: str, since: float) -> list[RollbackRecord]:
        rows = await self._writer.run(lambda: self._store.rollbacks(model, since))
        return [_record(row) for row in rows]


def _record(row: Mapping[str, Any]) -> RollbackRecord:
    try:
        return RollbackRecord.from_json(row)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreSchemaError(
            f"rollback {row.get('id')} in the store is not one that this version of Kedge can "
            f"read ({error!r}): start the version that wrote it"
        ) from error


def transition_row(transition: Transition) -> dict[str, Any]:
    """Return a transition as JSON."""
    return {
        "at": transition.at,
        "before": transition.before,
        "after": transition.after,
        "why": transition.why,
        "gate": transition.gate,
    }
