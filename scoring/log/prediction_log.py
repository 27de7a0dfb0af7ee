"""The prediction log: one event a row, written by a thread of its own as the server answers.

The served traffic never waits for the disk. Answers go to a bounded backlog; a thread encodes
them and appends whole lines, at most `FLUSH_S` late. What the backlog cannot hold is dropped and
counted. A failing disk is counted too, and tried again until it works or the server stops.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any, Final, Protocol

import msgspec

from scoring.log.log_file import LogFile
from scoring.protocol.rows import LoggedRows
from scoring.protocol.table import Table

logger = logging.getLogger("kedge.scoring.log")

#: How long the writer gathers answers after a write. Bounds how late an event is.
FLUSH_S: Final = 0.02
#: Rows that wait for the disk at most; then whole answers are dropped.
BACKLOG_ROWS_MAX: Final = 100_000
#: Bytes encoded before they are written: what a failing disk keeps in memory beside the backlog.
BATCH_BYTES_MAX: Final = 4 * 1024 * 1024
#: A line longer than this would not be read (`max_event_bytes`), so it is not written.
EVENT_BYTES_MAX: Final = 1024 * 1024
RETRY_S: Final = 0.5


class Event(msgspec.Struct, omit_defaults=True):
    """A line of the log; keys that are unset are left out."""

    id: str
    ts: float
    model: str
    version: str
    features: Any
    latency_kind: str
    latency_ms: float | msgspec.UnsetType = msgspec.UNSET
    status: int | msgspec.UnsetType = msgspec.UNSET
    prediction: Any = msgspec.UNSET
    trace_id: str | msgspec.UnsetType = msgspec.UNSET
    params: Any = msgspec.UNSET


class Answered(msgspec.Struct, frozen=True, gc=False):
    """A request and its answer.

    Parameters
    ----------
    ts
        When the request arrived, seconds since the epoch.
    table, predictions
        The rows and what the model said to each; None where the request failed before that.
    trace_id
        Empty when the request carried none.
    params
        Parameters of the request beside its rows; None without any.
    """

    request_id: str
    ts: float
    model: str
    version: str
    latency_ms: float
    status: int
    table: Table | LoggedRows | None
    predictions: Any
    trace_id: str = ""
    params: Any = None

    @property
    def rows(self) -> int:
        """Number of events that this makes: a failed request is one."""
        return max(self.table.rows if self.table is not None else 1, 1)


class Counter(Protocol):
    """What the log counts with."""

    def inc(self, amount: float = 1) -> None:
        """Add to the counter."""


class PredictionLog:
    """Writes answers to a file from a thread of its own.

    Parameters
    ----------
    file
        Where to. It belongs to the log from here on.
    shed
        Counts rows that were dropped.
    failures
        Counts writes that failed.
    """

    def __init__(
        self,
        file: LogFile,
        *,
        shed: Counter,
        failures: Counter,
        backlog_rows_max: int = BACKLOG_ROWS_MAX,
    ) -> None:
        self._file = file
        self._shed = shed
        self._failures = failures
        self._rows_max = backlog_rows_max
        self._backlog: deque[Answered] = deque()
        self._rows = 0
        self._changed = threading.Condition()
        self._closing = False
        self._idle = False
        self._encode = msgspec.json.Encoder().encode
        self._thread = threading.Thread(target=self._run, name="prediction log", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def append(self, answered: Answered) -> None:
        """Hand over an answer; never blocks on the disk."""
        rows = answered.rows
        with self._changed:
            if self._rows + rows > self._rows_max or self._closing:
                self._shed.inc(rows)
                return
            self._rows += rows
            self._backlog.append(answered)
            if self._idle:
                # Only then: waking a thread that gathers would cost a request more than its event.
                self._idle = False
                self._changed.notify()

    def close(self, timeout_s: float) -> None:
        """Write what is left, and close the file. What does not get written in time is shed."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)
        with self._changed:
            if self._rows:
                self._shed.inc(self._rows)
                logger.error("%d events of the prediction log were not written", self._rows)

    def _run(self) -> None:
        while (batch := self._take()) is not None:
            for lines, rows in self._encoded(batch):
                if not self._written(lines):
                    return
                with self._changed:
                    self._rows -= rows
            with self._changed:
                # Gather for a while: one write for all that is answered meanwhile.
                self._changed.wait_for(lambda: self._closing, FLUSH_S)
        self._file.close()

    def _take(self) -> list[Answered] | None:
        """Wait for answers and return them all; None when the log is closing and none are left."""
        with self._changed:
            self._idle = not self._backlog
            self._changed.wait_for(lambda: self._backlog or self._closing)
            self._idle = False
            if not self._backlog:
                return None
            batch = list(self._backlog)
            self._backlog.clear()
            return batch

    def _encoded(self, batch: list[Answered]) -> Iterator[tuple[bytes, int]]:
        """Return lines to write together, and how many rows of the backlog they stand for."""
        lines, rows = bytearray(), 0
        for answered in batch:
            for line in self._lines(answered):
                lines += line
            rows += answered.rows
            if len(lines) > BATCH_BYTES_MAX:
                yield bytes(lines), rows
                lines, rows = bytearray(), 0
        yield bytes(lines), rows

    def _lines(self, answered: Answered) -> Iterator[bytes]:
        try:
            events = list(events_of(answered))
        except Exception:
            # A fault of ours with one table must not end the log of all the others.
            logger.exception("cannot log request %s", answered.request_id)
            self._shed.inc(answered.rows)
            return
        for event in events:
            line = self._line(event)
            if line is None or len(line) > EVENT_BYTES_MAX:
                self._shed.inc()
            else:
                yield line

    def _line(self, event: Event) -> bytes | None:
        try:
            return self._encode(event) + b"\n"
        except (UnicodeError, TypeError, ValueError, OverflowError):
            # Half a surrogate pair in a cell, an integer beyond 64 bits: no JSON for these.
            return None

    def _written(self, lines: bytes) -> bool:
        """Write, again and again if need be; False when the log was closed before it worked."""
        failed = False
        while lines:
            try:
                lines = self._file.append(lines)
                continue
            except OSError as error:
                self._count_failure("write to", error, first=not failed)
                failed = True
            with self._changed:
                if self._changed.wait_for(lambda: self._closing, RETRY_S):
                    return False
        try:
            self._file.rotate()
        except OSError as error:
            self._count_failure("rotate", error, first=True)
        return True

    def _count_failure(self, what: str, error: OSError, *, first: bool) -> None:
        self._failures.inc()
        if first:
            logger.warning("cannot %s %s: %s; trying again", what, self._file.path, error)


def events_of(answered: Answered) -> Iterator[Event]:
    """Return the events of a request, a row each: ``<id>#0 …``, the plain id for a single row.

    The first carries latency and status. A request that failed before it had rows is one event
    without features, so that it counts in the error ratio and in no window of a feature.
    """
    features = answered.table.features() if answered.table is not None else []
    predictions = _by_row(answered.predictions, len(features))
    single = len(features) <= 1
    for row, values in enumerate(features or [{}]):
        event = Event(
            id=answered.request_id if single else f"{answered.request_id}#{row}",
            ts=answered.ts,
            model=answered.model,
            version=answered.version,
            features=_scalars(values) if isinstance(values, dict) else values,
            latency_kind="server",
            prediction=predictions[row] if predictions else msgspec.UNSET,
            trace_id=answered.trace_id or msgspec.UNSET,
            params=answered.params or msgspec.UNSET,
        )
        if row == 0:
            event.latency_ms = round(answered.latency_ms, 4)
            event.status = int(answered.status)
        yield event


def _by_row(predictions: Any, rows: int) -> list[Any]:  # noqa: ANN401 - JSON values
    """Return a prediction a row; empty where the model answered something else than rows."""
    if isinstance(predictions, list) and len(predictions) == rows:
        return predictions
    return [predictions] if rows == 1 and predictions is not None else []


def _scalars(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in values.items()
        if value is None or isinstance(value, str | bool | int | float)
    }
