"""How many values of a label are exported, and which give way."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

#: What is past the budget is exported under this value.
OTHER: Final = "other"

#: A value that was not heard of for so long gives way to a new one, in seconds: a daemon that runs
#: for months must not show its newest version as ``other`` because of twenty old ones.
IDLE_S: Final = 3_600.0


class LabelBudget:
    """At most `limit` values of a label; a further one is ``other``, unless another gives way.

    A flood of new values folds, because none of those before it has been idle for long; a new
    value once in a while takes the place of the one that was heard of longest ago.

    Parameters
    ----------
    folded
        Told whenever a value is folded into ``other``.
    forget
        Told of a value that gives way, whose series are to be let go; None if none may.
    """

    def __init__(
        self,
        limit: int,
        folded: Callable[[], None],
        *,
        forget: Callable[[str], None] | None = None,
        idle_s: float = IDLE_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._folded = folded
        self._forget = forget
        self._idle_s = idle_s
        self._monotonic = monotonic
        # Heard of longest ago first.
        self._heard: dict[str, float] = {}

    def __call__(self, value: str) -> str:
        """Return the value, or ``other`` once the budget is spent."""
        now = self._monotonic()
        if self._heard.pop(value, None) is None and not self._has_room(now):
            self._folded()
            return OTHER
        self._heard[value] = now
        return value

    def _has_room(self, now: float) -> bool:
        if len(self._heard) < self._limit:
            return True
        if self._forget is None:
            return False
        oldest, heard = next(iter(self._heard.items()))
        if now - heard < self._idle_s:
            return False
        del self._heard[oldest]
        self._forget(oldest)
        return True
