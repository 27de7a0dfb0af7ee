"""What is written down about an answer: the metrics, and the prediction log."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from itertools import count
from typing import Any, Final

import msgspec

from scoring.answering.live import Served
from scoring.answering.score import Answer
from scoring.log.metrics import ScoringMetrics
from scoring.log.prediction_log import Answered, PredictionLog

#: A request id that is taken over: it stands in logs and headers, and ``#`` separates the rows.
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_TRACE_PARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """A request that came in.

    Parameters
    ----------
    ts
        Seconds since the epoch.
    began
        By `time.perf_counter`.
    trace_id
        Empty when it carried none.
    """

    request_id: str
    trace_id: str = ""
    ts: float = msgspec.field(default_factory=time.time)
    began: float = msgspec.field(default_factory=time.perf_counter)


class Ledger:
    """Counts, times and logs answers.

    Parameters
    ----------
    log
        Gets every answer; None: no prediction log.
    """

    def __init__(self, metrics: ScoringMetrics, log: PredictionLog | None) -> None:
        self._metrics = metrics
        self._log = log
        # 64 random bits and a number: as good as a random id each, and ten times as quick.
        self._prefix = os.urandom(8).hex()
        self._numbers = count(int.from_bytes(os.urandom(6)))
        # Looking labels up costs more than counting; versions are few, statuses a closed set.
        self._counters: dict[tuple[str, str, int], Callable[[], None]] = {}
        self._timers: dict[tuple[str, str], Callable[[float], None]] = {}

    def arrival(self, request_id: str | None, trace_parent: str | None) -> Arrival:
        """Return the request that came in: with the caller's id if it is a sane one."""
        return Arrival(self.request_id(request_id), _trace_id(trace_parent))

    def request_id(self, given: str | None) -> str:
        """Return the caller's request id if it is a sane one, else a new one."""
        if given and _REQUEST_ID.fullmatch(given):
            return given
        return f"{self._prefix}{next(self._numbers) & (2**64 - 1):016x}"

    def note(self, served: Served, arrival: Arrival, answer: Answer) -> None:
        """Write an answer down. It must not fail, and waits for nothing."""
        latency_s = time.perf_counter() - arrival.began
        who = (served.name, served.version)
        counted = self._counters.get((*who, int(answer.status)))
        timed = self._timers.get(who)
        if counted is None or timed is None:
            counted, timed = self._children(served, int(answer.status))
        counted()
        timed(latency_s)
        if self._log is not None:
            self._log.append(
                Answered(
                    arrival.request_id,
                    arrival.ts,
                    served.name,
                    served.version,
                    latency_s * 1000,
                    int(answer.status),
                    answer.table,
                    answer.predictions,
                    arrival.trace_id,
                    answer.params,
                )
            )

    def _children(
        self, served: Served, status: int
    ) -> tuple[Callable[[], None], Callable[[float], None]]:
        who = (served.name, served.version)
        counted: Any = self._metrics.predictions.labels(*who, str(status)).inc
        timed: Any = self._metrics.latency.labels(*who).observe
        self._counters[(*who, status)] = counted
        self._timers[who] = timed
        return counted, timed


def _trace_id(trace_parent: str | None) -> str:
    """Return the trace id of a W3C ``traceparent`` header; empty without one."""
    found = _TRACE_PARENT.fullmatch(trace_parent) if trace_parent else None
    return found.group(1) if found else ""
