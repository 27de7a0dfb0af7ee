"""The queue before the model: in order, in batches, on the event loop or in a thread.

A batch is what has come in while the last one ran: nothing waits for company, so that a lone
request is as quick as it would be without batches. The model sees one call at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Final, Literal

import msgspec

from scoring.answering.batch import score_rows
from scoring.answering.live import INLINE_MS_MAX, Served
from scoring.answering.score import Answer, refusal, score
from scoring.answering.v2 import in_v2, infer
from scoring.protocol.protocol import CSV_TYPE, JSON_TYPE, PARQUET_TYPE, MediaType, ScoringError
from scoring.protocol.rows import LoggedRows
from scoring.settings import BATCH_ROWS_MAX, REQUEST_TIMEOUT_S

#: A longer body is parsed and scored in the thread, however quick the model is.
INLINE_BODY_BYTES_MAX: Final = 32 * 1024
#: Requests that wait for the model; one more is answered 503.
PENDING_MAX: Final = 1024
#: How much of what is known of past batches' times is kept with each batch.
_DECAY: Final = 0.9


class Job(msgspec.Struct):
    """A request on its way through the queue.

    Parameters
    ----------
    served
        The version that answers it: the live one when its body was in.
    rows
        What of it can go into a batch; None: it is scored by itself.
    reply
        Is called once, on the event loop, with the answer.
    expires
        By `time.monotonic`.
    """

    served: Served
    media: MediaType | Literal["v2"]
    body: bytes
    rows: LoggedRows | None
    reply: Callable[[Answer], None]
    expires: float
    replied: bool = False

    def answer(self, answer: Answer) -> None:
        """Reply, unless that has happened."""
        if not self.replied:
            self.replied = True
            self.reply(answer)


class Scorer:
    """Scores requests for one event loop.

    Parameters
    ----------
    batch_rows_max
        1 scores every request by itself.
    timeout_s
        After this a request is answered 504; the model, once called, works on to its end.
    """

    def __init__(
        self,
        *,
        batch_rows_max: int = BATCH_ROWS_MAX,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        self._batch_rows_max = batch_rows_max
        self._timeout_s = timeout_s
        # One thread: a model need not be safe for two, and two would share one interpreter.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="scorer")
        self._queue: deque[Job] = deque()
        self._pending = 0
        self._busy = False
        self._batch_ms = 0.0

    def close(self) -> None:
        """Let go of the thread, once no request is left."""
        self._thread.shutdown(cancel_futures=True)

    def submit(
        self,
        served: Served,
        media: MediaType | Literal["v2"],
        body: bytes,
        reply: Callable[[Answer], None],
    ) -> None:
        """Take a request; `reply` gets its answer, later or at once."""
        if self._pending >= PENDING_MAX:
            reply(_refused(media, _OVERLOADED))
            return
        rows = None
        reader = served.model.reader
        small = len(body) <= INLINE_BODY_BYTES_MAX
        if reader is not None and served.batches and media == JSON_TYPE and small:
            rows = reader.read(body)
        self._pending += 1
        expires = time.monotonic() + self._timeout_s
        self._queue.append(Job(served, media, body, rows, reply, expires))
        if not self._busy:
            # After all requests that have arrived with this one: they are the batch.
            self._busy = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        """Score what is first in the queue, with what can go with it."""
        jobs = self._take()
        if not jobs:
            self._busy = False
            return
        if self._inline(jobs):
            self._finish(jobs, *_scored(jobs))
            return
        loop = asyncio.get_running_loop()
        late = loop.call_at(
            loop.time() + max(jobs[0].expires - time.monotonic(), 0), self._give_up, jobs
        )
        scoring = loop.run_in_executor(self._thread, _scored, jobs)

        def done(future: asyncio.Future[tuple[list[Answer], float]]) -> None:
            late.cancel()
            if not future.cancelled():
                self._finish(jobs, *future.result())

        scoring.add_done_callback(done)

    def _take(self) -> list[Job]:
        """Return jobs to score in one go; those that have waited too long are answered instead."""
        jobs: list[Job] = []
        rows = 0
        while self._queue:
            job = self._queue[0]
            if job.expires < time.monotonic():
                self._queue.popleft()
                self._pending -= 1
                job.answer(_too_late(job.media))
                continue
            if jobs and (
                job.rows is None
                or jobs[0].rows is None
                or job.served is not jobs[0].served
                or rows + job.rows.rows > self._batch_rows_max
            ):
                break
            jobs.append(self._queue.popleft())
            rows += job.rows.rows if job.rows is not None else 0
        return jobs

    def _inline(self, jobs: Sequence[Job]) -> bool:
        """Whether to score on the event loop: for a quick model a thread costs more than it."""
        first = jobs[0]
        if not first.served.inline or first.media in (CSV_TYPE, PARQUET_TYPE):
            return False
        if len(jobs) > 1:
            return self._batch_ms < INLINE_MS_MAX
        return len(first.body) <= INLINE_BODY_BYTES_MAX

    def _finish(self, jobs: Sequence[Job], answers: Sequence[Answer], cpu_ms: float) -> None:
        if len(jobs) > 1:
            self._batch_ms = _DECAY * self._batch_ms + (1 - _DECAY) * cpu_ms
        self._pending -= len(jobs)
        for job, answer in zip(jobs, answers, strict=True):
            job.answer(answer)
        # The loop reads what has come in before the next batch is taken.
        asyncio.get_running_loop().call_soon(self._next)

    def _give_up(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            job.answer(_too_late(job.media))


def _scored(jobs: Sequence[Job]) -> tuple[list[Answer], float]:
    """Return the answers, and the milliseconds of CPU time that they took this thread.

    Not the time on the clock, which on a busy machine says more of the machine than of the model.
    """
    began = time.thread_time()
    answers = _answers(jobs)
    return answers, (time.thread_time() - began) * 1000


def _answers(jobs: Sequence[Job]) -> list[Answer]:
    first = jobs[0]
    rows = [job.rows for job in jobs if job.rows is not None]
    reader = first.served.model.reader
    if reader is not None and rows:
        return score_rows(first.served.model, reader, rows)
    if first.media == "v2":
        return [infer(first.served.model, first.served.name, first.served.version, first.body)]
    return [score(first.served.model, first.media, first.body)]


def _refused(media: MediaType | Literal["v2"], error: ScoringError) -> Answer:
    return refusal(in_v2(error) if media == "v2" else error)


_OVERLOADED: Final = ScoringError(
    "too many requests are waiting already: try again later",
    status=HTTPStatus.SERVICE_UNAVAILABLE,
)


def _too_late(media: MediaType | Literal["v2"]) -> Answer:
    """Return the answer to a request over the time limit: MLflow's, word for word."""
    text = "Request processing time exceeded limit"
    if media == "v2":
        return _refused(media, ScoringError(text, status=HTTPStatus.GATEWAY_TIMEOUT))
    return Answer(HTTPStatus.GATEWAY_TIMEOUT, JSON_TYPE, text.encode())
