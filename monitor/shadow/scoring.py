"""Asking one shadow process: a live request becomes an answer, or a reason why there is none."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus

import aiohttp

from collectors.labels import Scalar
from monitor.shadow.queues import Answered, LiveRequest, Outcome
from scoring.shadow.process import Reply, ShadowError, ShadowProcess
from scoring.shadow.request import AnswerError, Inputs, MissingInputsError, answers_of, body_of

log = logging.getLogger("kedge.shadow")


class Scorer:
    """Asks a process that has started.

    Parameters
    ----------
    timeout_s
        An answer that takes longer is none.
    """

    def __init__(self, process: ShadowProcess, *, timeout_s: float) -> None:
        self._process = process
        self._timeout_s = timeout_s
        self._inputs: Inputs | None = None
        self._told: set[str] = set()
        self.version = ""

    async def prepare(self) -> None:
        """Find out which version answers, and what it takes.

        Raises
        ------
        ShadowError
            The process does not say.
        """
        try:
            self.version, self._inputs = await self._process.inputs()
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
            raise ShadowError(f"the shadow does not say what it takes: {error!r}") from error

    async def score(self, request: LiveRequest) -> Answered:
        """Have a request scored.

        Raises
        ------
        ShadowError
            The process does not say what it takes any more.
        """
        if request.live == self.version:
            return Answered(request, "same_version", self.version)
        try:
            body = body_of(self._inputs or Inputs({}), request.features, request.params)
        except MissingInputsError as error:
            return self._without(request, "missing_inputs", str(error))
        try:
            reply = await self._process.ask(body, timeout_s=self._timeout_s)
        except TimeoutError:
            return self._without(request, "timeout", f"no answer within {self._timeout_s:g} s")
        except aiohttp.ClientError as error:
            return self._without(request, "failed", f"the connection broke: {error!r}")
        return await self._answered(request, reply)

    async def _answered(self, request: LiveRequest, reply: Reply) -> Answered:
        if reply.version != self.version:
            # The alias has moved: the next requests are made as the new version takes them.
            await self.prepare()
        if reply.status != HTTPStatus.OK:
            busy = reply.status in (HTTPStatus.GATEWAY_TIMEOUT, HTTPStatus.REQUEST_TIMEOUT)
            outcome: Outcome = "timeout" if busy else "failed"
            if reply.status < HTTPStatus.INTERNAL_SERVER_ERROR and not busy:
                outcome = "refused"
            return self._without(request, outcome, f"it answers {reply.status}")
        try:
            answers = answers_of(reply.body, len(request.ts))
        except AnswerError as error:
            return self._without(request, "incomparable", str(error))
        if request.live == reply.version:
            return Answered(request, "same_version", reply.version)
        if not _comparable(request.answers, answers):
            return self._without(request, "incomparable", "an answer is no number and no text")
        return Answered(request, "scored", reply.version, answers, reply.latency_ms)

    def _without(self, request: LiveRequest, outcome: Outcome, why: str) -> Answered:
        if outcome not in self._told:
            # Once: it may be every request.
            self._told.add(outcome)
            log.warning("version %s as a shadow: %s: %s", self.version, outcome, why)
        return Answered(request, outcome, self.version)


def _comparable(live: Sequence[Scalar | None], shadow: Sequence[Scalar | None]) -> bool:
    return any(a is not None and b is not None for a, b in zip(live, shadow, strict=True))
