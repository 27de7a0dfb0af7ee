"""The journal in a real store: what it does not understand, it neither reads nor writes over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitor.store.errors import StoreInUse, StoreSchemaError
from monitor.store.journal import StoreJournal, transition_row
from monitor.store.store import Store
from monitor.store.writer import Writer
from rollback.record import RollbackRecord, Transition

RECORD = RollbackRecord(
    "r1", "m", "INTENDED", "a breach", 100.0, 100.0, 1000.0, "8", "7", revision=1
)
TRANSITION = Transition("m", 100.0, "GATED", "INTENDED", "a breach", record_id="r1")


@pytest.fixture
def store(tmp_path: Path) -> Any:  # noqa: ANN401 - a generator of one
    store = Store.open(f"sqlite:///{tmp_path / 'kedge.db'}")
    yield store
    store.close()


@pytest.fixture
async def journal(store: Store) -> AsyncIterator[StoreJournal]:
    writer = Writer()
    yield StoreJournal(store, writer)
    writer.close()


async def test_a_record_comes_back_as_it_was_written(journal: StoreJournal) -> None:
    await journal.write(RECORD, TRANSITION)
    acting = replace(RECORD, state="ACTING", revision=2)
    await journal.write(acting, TRANSITION)

    assert await journal.open_records("m") == [acting]
    assert await journal.get("r1") == acting


@pytest.mark.parametrize("revision", [0, 1, 3])
async def test_who_has_not_seen_the_last_revision_cannot_write(
    journal: StoreJournal, revision: int
) -> None:
    await journal.write(RECORD, TRANSITION)

    with pytest.raises(StoreInUse, match="stands in the store at revision 1"):
        await journal.write(replace(RECORD, state="ACTING", revision=revision), TRANSITION)

    assert await journal.get("r1") == RECORD


@pytest.mark.parametrize(
    "later",
    [
        {"state": "NEGOTIATING"},
        {"outcome": "postponed"},
        {"approved_by": "ops"},
        {"gates": [{"gate": "mode", "passed": True, "detail": "", "asked": 3}]},
        {"gates": [{"gate": "moon", "passed": True, "detail": ""}]},
        {"steps": [{"step": "s", "state": "done", "attempts": 1, "detail": "", "undone": True}]},
    ],
    ids=str,
)
async def test_a_record_of_a_later_kedge_is_refused_and_left_alone(
    store: Store, journal: StoreJournal, later: dict[str, Any]
) -> None:
    row = RECORD.to_json() | later
    about = {"id": "r1", "model": "m", "state": "INTENDED", "created": 100.0, "updated": 100.0}
    store.write_rollback({**about, "record": row}, transition_row(TRANSITION))

    with pytest.raises(StoreSchemaError, match="start the version that wrote it"):
        await journal.open_records("m")
    with pytest.raises(StoreSchemaError, match="r1"):
        await journal.write(replace(RECORD, revision=2), TRANSITION)

    assert store.rollback("r1") == row
