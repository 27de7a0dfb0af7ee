"""Where the engine leaves what it concludes: the store and the quarantine, or a stand-in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from collectors.batch import Rejection
from monitor.labels.settling import Reader
from monitor.store.store import Change


class Keeper(Reader, Protocol):
    """Keeps what the engine commits: the store, or nothing where the past is replayed."""

    def commit(self, change: Change) -> None:
        """Write a change, all of it or nothing."""


class Rejected(Protocol):
    """Takes the lines that could not be used."""

    @property
    def dropped(self) -> int:
        """How many could not be kept."""

    def write(self, source: str, rejections: Sequence[Rejection], now: float) -> None:
        """Take lines that `source` handed out and that were rejected at `now`, seconds."""
