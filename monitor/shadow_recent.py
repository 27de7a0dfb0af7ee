"""The last live requests of each version, kept in memory to be scored with another one."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Final

import numpy as np

from collectors.batch import (
    ERROR_STATUS_MIN,
    PREDICTION,
    CategoryColumn,
    Column,
    Ints,
    NumberColumn,
    PredictionBatch,
)
from collectors.labels import Scalar
from monitor.shadow_queue import LiveRequest

#: Versions whose requests are kept; the one that was silent for longest gives way.
VERSIONS_MAX: Final = 3
#: Rows taken of one batch, spread over it, so that what is kept is not of one instant.
PORTION_MAX: Final = 250
#: Once enough are kept of a version, some are taken so often, by event time: seconds.
PACE_S: Final = 1.0


class RecentRequests:
    """Rings of requests, a row each, by live version. The counting adds, anybody looks.

    What it costs does not grow with the traffic: of each second at most `PORTION_MAX` rows are
    copied, and of a version `requests_max` are held.

    Parameters
    ----------
    requests_max
        Requests kept of a version.
    """

    def __init__(self, requests_max: int) -> None:
        self._requests_max = requests_max
        self._rings: OrderedDict[str, deque[LiveRequest]] = OrderedDict()
        self._newest: dict[str, float] = {}
        self._lock = threading.Lock()

    def take(self, batch: PredictionBatch) -> None:
        """Keep some of the rows of a live batch, if it is time."""
        if not batch.rows or batch.requests_only:
            return
        version, newest = batch.version, float(batch.ts.max())
        last = self._newest.get(version, -math.inf)
        # Whoever is ahead of its time must not keep the others out until then.
        if len(self._rings.get(version, ())) >= self._requests_max and 0 <= newest - last < PACE_S:
            return
        requests = _rows_of(batch, PORTION_MAX)
        if not requests:
            return
        self._newest[version] = newest
        with self._lock:
            ring = self._rings.setdefault(version, deque(maxlen=self._requests_max))
            self._rings.move_to_end(version)
            ring.extend(requests)
            while len(self._rings) > VERSIONS_MAX:
                gone, _ = self._rings.popitem(last=False)
                del self._newest[gone]

    def of(self, version: str, since: float = -math.inf) -> list[LiveRequest]:
        """Return what is kept of a version, oldest first; no requests of before `since`."""
        with self._lock:
            return [one for one in self._rings.get(version, ()) if one.ts[0] >= since]


def _rows_of(batch: PredictionBatch, rows_max: int) -> list[LiveRequest]:
    """Return rows that were answered, as requests of their own; copied, so that the rest can go."""
    answered = np.flatnonzero(batch.status < ERROR_STATUS_MIN)
    rows = answered[:: -(-answered.size // rows_max) or 1]
    answers = _answers(batch, rows)
    labels: Sequence[Scalar | None] = [None] * rows.size
    if batch.joins is not None:
        labels = [batch.joins.labels[row] for row in rows.tolist()]
    picked = batch.pick(rows)
    return [
        LiveRequest(batch.version, [ts], math.nan, [answer], [label], picked, slice(row, row + 1))
        for row, (ts, answer, label) in enumerate(
            zip(picked.ts.tolist(), answers, labels, strict=True)
        )
        if answer is not None
    ]


def _answers(batch: PredictionBatch, rows: Ints) -> Sequence[Scalar | None]:
    if batch.joins is not None:
        return [batch.joins.predictions[row] for row in rows.tolist()]
    column: Column | None = batch.columns.get(PREDICTION)
    match column:
        case NumberColumn():
            numbers = column.values[rows].tolist()
            return [number if math.isfinite(number) else None for number in numbers]
        case CategoryColumn():
            return [column.values[row] for row in rows.tolist()]
    return [None] * rows.size
