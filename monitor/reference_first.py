"""The first events of the log as the reference."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

import numpy as np

from collectors.batch import ERROR_STATUS_MIN, PredictionBatch, Schema
from detectors.reference import Reference, ReferenceBuilder
from detectors.reference_file import dump, load

log = logging.getLogger("kedge.references")

#: Names of what is kept in the store while the first events are collected, and after.
COLLECTING, COLLECTED = "reference-collecting", "reference-collected"


class FirstEvents:
    """The first events of the log are the reference, and enter no window.

    Parameters
    ----------
    events
        Rows to collect; the row that reaches the number is the last of the reference, wherever
        the log was cut into chunks.
    joint
        Whether correlations are learned.
    """

    def __init__(
        self,
        events: int,
        points_max: int,
        *,
        joint: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._events = events
        self._clock = clock
        self._builder: ReferenceBuilder | None = ReferenceBuilder(points_max, joint=joint)
        self._reference: Reference | None = None
        self._changed: set[str] = set()

    def of(self, version: str) -> Reference | None:  # noqa: ARG002 - one for all versions
        """Return the reference, once it is complete."""
        return self._reference

    def trouble(self, version: str) -> str:  # noqa: ARG002 - one for all versions
        """Say how many events are still to come."""
        if self._builder is None:
            return ""
        return f"{self._builder.rows:,} of the first {self._events:,} events are collected"

    def collect(self, batch: PredictionBatch) -> PredictionBatch | None:
        """Take rows until the reference is complete; return those behind it."""
        if self._builder is None:
            return batch
        wanted = self._events - self._builder.rows
        # Rows of failed requests tell nothing of what is normal: they neither enter nor count.
        answered = np.cumsum(batch.status < ERROR_STATUS_MIN)
        end = int(np.searchsorted(answered, wanted)) + 1
        self._builder.add(batch.take(slice(0, end)).answered().columns)
        self._changed.add(COLLECTING)
        if self._builder.rows < self._events:
            return None
        self._reference = self._builder.build(self._clock(), f"first {self._events} events")
        self._builder = None
        self._changed.add(COLLECTED)
        log.info("the first %d events are the reference from here on", self._events)
        return batch.take(slice(end, None)) if end < batch.rows else None

    def renewed(self) -> bool:
        """Return False: who collects is told by `collect`."""
        return False

    def schema(self) -> Schema | None:
        """Columns of the reference once there is one."""
        return self._reference.schema() if self._reference is not None else None

    def restore(self, states: Mapping[str, bytes]) -> None:
        """Go on collecting where the last commit left off."""
        if COLLECTED in states:
            self._reference, self._builder = load(states[COLLECTED]), None
        elif COLLECTING in states:
            self._builder = ReferenceBuilder.decode(states[COLLECTING])

    def changed(self) -> Mapping[str, bytes | None]:
        """Return the reference as it stands, when it changed since the last call."""
        changed, self._changed = self._changed, set()
        if not changed:
            return {}
        if self._builder is not None:
            return {COLLECTING: self._builder.encode()}
        if self._reference is None or COLLECTED not in changed:
            return {}
        return {COLLECTING: None, COLLECTED: dump(self._reference)}
