"""Panes by version and index, and which of them the outside has to write or delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from detectors.windows.pane import Pane

PaneKey: TypeAlias = tuple[str, int]


class PaneStore:
    """Holds panes and remembers what changed since it was last asked."""

    def __init__(self) -> None:
        self._panes: dict[str, dict[int, Pane]] = {}
        self._dirty: set[PaneKey] = set()
        self._dropped: set[PaneKey] = set()
        # What the outside holds: panes that come and go between two looks never reach it.
        self._outside: set[PaneKey] = set()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def get(self, version: str, index: int) -> Pane | None:
        """Return a pane, or None where there is none."""
        return self._panes.get(version, {}).get(index)

    def indices(self, version: str) -> list[int]:
        """Return the indices of a version's panes."""
        return list(self._panes.get(version, {}))

    def put(self, version: str, index: int, pane: Pane) -> None:
        """Hold a pane that is new or about to change."""
        self._hold(version, index, pane)
        self._dirty.add((version, index))
        if (version, index) in self._dropped:
            # The outside has not been told to delete it yet: it holds it still.
            self._dropped.discard((version, index))
            self._outside.add((version, index))

    def restore(self, version: str, index: int, pane: Pane) -> None:
        """Hold a pane as the outside has it."""
        self._hold(version, index, pane)
        self._outside.add((version, index))

    def _hold(self, version: str, index: int, pane: Pane) -> None:
        panes = self._panes.setdefault(version, {})
        self._size += index not in panes
        panes[index] = pane

    def drop(self, unneeded: Callable[[PaneKey], bool]) -> None:
        """Let go of the panes whose key satisfies `unneeded`."""
        keys = [
            (version, index)
            for version, panes in self._panes.items()
            for index in panes
            if unneeded((version, index))
        ]
        for key in keys:
            self._drop(key)

    def drop_oldest(self) -> None:
        """Let go of the pane with the smallest index."""
        index, version = min(
            (index, version) for version, panes in self._panes.items() for index in panes
        )
        self._drop((version, index))

    def take_dirty(self) -> dict[PaneKey, bytes]:
        """Panes changed since the last call, encoded."""
        dirty = {
            (version, index): self._panes[version][index].encode()
            for version, index in sorted(self._dirty)
        }
        self._outside |= self._dirty
        self._dirty.clear()
        return dirty

    def take_dropped(self) -> set[PaneKey]:
        """Keys of the panes let go since the last call."""
        dropped, self._dropped = self._dropped, set()
        return dropped

    def _drop(self, key: PaneKey) -> None:
        version, index = key
        del self._panes[version][index]
        if not self._panes[version]:
            del self._panes[version]
        self._size -= 1
        self._dirty.discard(key)
        if key in self._outside:
            self._outside.discard(key)
            self._dropped.add(key)
