"""A journal in memory that keeps what a real one would: JSON, revisions, nothing by halves."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rollback.record import RollbackRecord, Transition


class MemoryJournal:
    """Outlives the controllers of a test, as a database outlives the process."""

    def __init__(self) -> None:
        self._rows: dict[str, str] = {}
        self.transitions: list[Transition] = []

    async def open_records(self, model: str) -> Sequence[RollbackRecord]:
        return [r for r in self.records if r.model == model and r.open]

    async def write(self, record: RollbackRecord, transition: Transition) -> None:
        before = await self.get(record.id)
        assert record.revision == (before.revision if before else 0) + 1, "written by two"
        self._rows[record.id] = json.dumps(record.to_json(), allow_nan=False)
        self.transitions.append(transition)

    async def recent(self, model: str, since: float) -> Sequence[RollbackRecord]:
        return [r for r in self.records if r.model == model and not r.open and r.updated >= since]

    async def get(self, record_id: str) -> RollbackRecord | None:
        row = self._rows.get(record_id)
        return None if row is None else RollbackRecord.from_json(json.loads(row))

    @property
    def records(self) -> list[RollbackRecord]:
        return [RollbackRecord.from_json(json.loads(row)) for row in self._rows.values()]

    @property
    def states(self) -> list[str]:
        """What was written, in order."""
        return [t.after for t in self.transitions]
