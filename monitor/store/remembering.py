"""What the decision remembers between rollbacks, as it is kept in the store."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, Final

from monitor.store.store import Change, Store
from rollback.memory import Memory
from rollback.observation import (
    HoldCleared,
    HoldSet,
    VersionBlessed,
    VersionQuarantined,
    Word,
)
from rollback.request import remembered_of

log = logging.getLogger("kedge.rollback")

#: Name of what the decision remembers, in the store.
MEMORY: Final = "rollback-memory"
#: What a person may say, as incidents and the metric call it.
ACTIONS: Final[Mapping[type[Word], str]] = {
    HoldSet: "hold",
    HoldCleared: "resume",
    VersionBlessed: "bless",
    VersionQuarantined: "quarantine",
}


def remembered(states: Mapping[str, bytes]) -> Memory:
    """Return what the store's states hold of it."""
    kept = states.get(MEMORY)
    return Memory.from_json(json.loads(kept)) if kept else Memory()


def change_of(memory: Memory) -> Change:
    """Return what keeps it."""
    return Change(states={MEMORY: json.dumps(memory.to_json()).encode()})


def incident_of(model: str, word: Word, at: float) -> dict[str, Any]:
    """Return what a person has said as an incident."""
    return {
        "at": at,
        "kind": ACTIONS[type(word)],
        "model": model,
        "version": getattr(word, "version", None),
        "rule": None,
        "rollback": None,
        "evidence": {"why": word.reason, "by": word.by, "until": getattr(word, "until", None)},
    }


def say_to_store(url: str, model: str, word: Word, now: float, *, config: str) -> None:
    """Write down what a person says where no daemon runs; the next one finds it.

    The store's own lock sees to it that none runs.

    Raises
    ------
    monitor.store.store.StoreInUse
        One does.
    monitor.store.store.StoreError
        The store cannot be used.
    """
    store = Store.open(url, config=config)
    try:
        change = change_of(remembered_of(remembered(store.load().states), word, now))
        change.incidents.append(incident_of(model, word, now))
        store.commit(change)
    finally:
        store.close()
