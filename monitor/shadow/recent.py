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
from monitor.shadow.queues import LiveRequest

#: Versions whose requests are kept; the one that was silent for longest gives way.
VERSIONS_MAX: Final = 3
#: Rows taken of one batch, spread over it, so that what is kept is not of one instant.
PORTION_MAX: Final = 250
#: Once enough are kept of a version, they are renewed in no less than this, by event time: what is
#: kept is not of one instant, and yet soon of what began to go wrong.
RENEWAL_S: Final = 5.0


class RecentRequests:
    """Rings of requests, a row each, by live version. The counting adds, anybody looks.

    What it costs does not grow with the traffic: of a version `requests_max` are held, at most
    `PORTION_MAX` rows of a batch are copied, and once it is full as many as renew it in
    `RENEWAL_S`.

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
        requests = _rows_of(batch, self._rows_due(version, newest))
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

    def _rows_due(self, version: str, newest: float) -> int:
        if len(self._rings.get(version, ())) < self._requests_max:
            return PORTION_MAX
        passed_s = newest - self._newest[version]
        if passed_s < 0:
            # Whoever is ahead of its time must not keep the others out until then.
            return PORTION_MAX
        return round(min(PORTION_MAX, self._requests_max * passed_s / RENEWAL_S))

    def of(self, version: str, since: float = -math.inf) -> list[LiveRequest]:
        """Return what is kept of a version, oldest first; no requests of before `since`."""
        with self._lock:
            return [one for one in self._rings.get(version, ()) if one.ts[0] >= since]


def _rows_of(batch: PredictionBatch, rows_max: int) -> list[LiveRequest]:
    """Return rows that were answered, as requests of their own; copied, so that the rest can go."""
    if not rows_max:
        return []
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
