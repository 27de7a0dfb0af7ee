"""Live requests on their way to the shadow, and its answers on their way back.

The counting puts requests in, the event loop takes them out and puts answers in, and the counting
takes those out: two threads, one lock, and nobody waits for anybody.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from collectors.batch import PREDICTION, Column, PredictionBatch
from collectors.labels import JoinColumns, Scalar

Outcome: TypeAlias = Literal[
    "scored",
    "refused",
    "failed",
    "timeout",
    "missing_inputs",
    "incomparable",
    "same_version",
    "shed",
    "lost",
]
#: What becomes of a request that was to be scored: a closed set, for a metric.
OUTCOMES: Final[tuple[Outcome, ...]] = (
    "scored",  # answered by both
    "refused",  # the shadow answered that the request is not good (4xx)
    "failed",  # the shadow answered that it is not well (5xx), or broke off
    "timeout",  # no answer in time
    "missing_inputs",  # a column that the shadow needs is not among those that are decoded
    "incomparable",  # one of the two answers is neither a number nor a text
    "same_version",  # the shadow is the live version
    "shed",  # too many waited
    "lost",  # waited when the daemon ended
)

_WHOLE: Final = float(1 << 64)


@dataclass(frozen=True, slots=True)
class LiveRequest:
    """A live request, or as many of its rows as came together.

    Parameters
    ----------
    live
        The version that answered.
    ts
        Event time of each row, seconds since the epoch.
    latency_ms
        Time to answer; NaN where it is not known.
    answers, labels
        A row each; None where there is none that can be compared.
    ids
        Of each row, as labels join on them; None where it has none.
    """

    live: str
    ts: Sequence[float]
    latency_ms: float
    answers: Sequence[Scalar | None]
    labels: Sequence[Scalar | None]
    batch: PredictionBatch
    place: slice
    ids: Sequence[str | None] = ()

    @property
    def features(self) -> Mapping[str, Column]:
        """What the live version was asked, as far as it was decoded."""
        return {
            name: column.take(self.place)
            for name, column in self.batch.columns.items()
            if name.partition(".")[0] != PREDICTION  # nor a part of one
        }

    @property
    def params(self) -> str | None:
        """Parameters of the request, as JSON text; None without any."""
        return self.batch.params[self.place.start] if self.batch.params else None


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of a request: the shadow's version, and a prediction a row where it is scored."""

    request: LiveRequest
    outcome: Outcome
    version: str
    answers: Sequence[Scalar | None] = ()
    latency_ms: float = math.nan


def request_key(identity: str) -> str:
    """Return the id of the request that a row belongs to.

    Examples
    --------
    >>> request_key("a#0"), request_key("a"), request_key("a#b")
    ('a', 'a', 'a#b')
    """
    base, mark, row = identity.rpartition("#")
    return base if mark and row.isdigit() else identity


def is_sampled(key: str, share: float) -> bool:
    """Say whether the request of an id is scored: the same answer in every process, for ever.

    Examples
    --------
    >>> is_sampled("a", 1.0), sum(is_sampled(f"r{i}", 0.25) for i in range(1000))
    (True, 260)
    """
    if share >= 1:
        return True
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * _WHOLE


def sampled_requests(
    batch: PredictionBatch, *, sampling: float, requests_max: int
) -> tuple[list[LiveRequest], int]:
    """Return the requests of a batch that are to be scored, and how many more there would be.

    Requests that failed, and lines that tell nothing of what was asked, are none. Of more than
    `requests_max` the newest are taken. Rows without an id are requests of their own, sampled by
    their time.
    """
    joins = batch.joins
    if joins is None:
        return [], 0
    found = _sampled(batch, joins, sampling)
    parts = found[-requests_max:]
    return _requests(batch, joins, parts), len(found) - len(parts)


def sampled_rows(batch: PredictionBatch, *, sampling: float, rows_max: int) -> list[LiveRequest]:
    """Return the rows of the same requests, so many together as one: to be scored quickly.

    Those of other parameters are apart. How long one request takes is not to be learned from them.
    """
    joins = batch.joins
    if joins is None:
        return []
    alike: dict[str | None, list[int]] = {}
    for part in _sampled(batch, joins, sampling):
        alike.setdefault(batch.params[part[0]] if batch.params else None, []).extend(part)
    parts = [
        rows[begins : begins + rows_max]
        for rows in alike.values()
        for begins in range(0, len(rows), rows_max)
    ]
    return _requests(batch, joins, parts)


def _sampled(batch: PredictionBatch, joins: JoinColumns, sampling: float) -> list[list[int]]:
    """Return the rows of each request that is sampled."""
    if batch.requests_only:
        return []
    ids, times, statuses = joins.ids, batch.ts.tolist(), batch.status.tolist()
    found: dict[str, list[int]] = {}
    for row, (id_, status) in enumerate(zip(ids, statuses, strict=True)):
        if status >= 400:  # noqa: PLR2004 - where HTTP's errors begin
            continue
        key = f"\0{row}-{times[row]!r}" if id_ is None else request_key(id_)
        if key in found:
            found[key].append(row)
        elif is_sampled(key.partition("-")[2] if id_ is None else key, sampling):
            found[key] = [row]
    return list(found.values())


def _requests(
    batch: PredictionBatch, joins: JoinColumns, parts: Sequence[Sequence[int]]
) -> list[LiveRequest]:
    if not parts:
        return []
    # One copy of the rows that are wanted, so that the batch itself can go.
    picked = batch.pick(np.array([row for part in parts for row in part], np.int64))
    requests, begins = [], 0
    for part in parts:
        place = slice(begins, begins + len(part))
        begins = place.stop
        latencies = picked.latency_ms[place]
        known = latencies[~np.isnan(latencies)]
        requests.append(
            LiveRequest(
                batch.version,
                picked.ts[place].tolist(),
                float(known[0]) if known.size else math.nan,
                [joins.predictions[row] for row in part],
                [joins.labels[row] for row in part],
                picked,
                place,
                [joins.ids[row] for row in part],
            )
        )
    return requests


class ShadowQueue:
    """Requests that wait, are being asked, or were answered and not counted yet.

    Parameters
    ----------
    waiting_max
        Requests that may wait; beyond it the oldest are shed.
    """

    def __init__(self, waiting_max: int) -> None:
        self._waiting_max = waiting_max
        self._lock = threading.Lock()
        self._waiting: deque[LiveRequest] = deque()
        self._asked: dict[int, LiveRequest] = {}
        self._answered: list[Answered] = []
        self._shed = 0

    @property
    def waiting(self) -> int:
        """Requests that wait to be asked."""
        return len(self._waiting)

    @property
    def unsettled(self) -> int:
        """Requests of which the counting has not heard yet what became of them."""
        with self._lock:
            return len(self._waiting) + len(self._asked) + len(self._answered)

    def put(self, requests: Iterable[LiveRequest]) -> None:
        """Let requests wait."""
        with self._lock:
            self._waiting.extend(requests)
            while len(self._waiting) > self._waiting_max:
                self._waiting.popleft()
                self._shed += 1

    def take(self) -> LiveRequest | None:
        """Take the request that has waited longest; None where none waits."""
        with self._lock:
            if not self._waiting:
                return None
            request = self._waiting.popleft()
            self._asked[id(request)] = request
            return request

    def answer(self, answered: Answered) -> None:
        """Say what became of a request that was taken."""
        with self._lock:
            self._asked.pop(id(answered.request), None)
            self._answered.append(answered)

    def give_up(self, request: LiveRequest, version: str) -> None:
        """Say that a request that was taken will have no answer."""
        self.answer(Answered(request, "failed", version))

    def settle(self) -> tuple[list[Answered], int]:
        """Return what became of requests since the last call, and how many were shed."""
        with self._lock:
            answered, self._answered = self._answered, []
            shed, self._shed = self._shed, 0
        return answered, shed

    def oldest(self) -> float:
        """Event time of the oldest request that is not settled; ``inf`` without any."""
        with self._lock:
            open_ones = (
                *self._waiting,
                *self._asked.values(),
                *(one.request for one in self._answered),
            )
            return min((min(one.ts) for one in open_ones), default=math.inf)
