"""The decision within the daemon: windows go in, what it did comes out as metrics and incidents."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from monitor import log_fields
from monitor.judging.judging import Judged
from monitor.metrics.catalogue import Metrics
from monitor.notifications.notices import Notice, notice_of, notice_of_word
from monitor.store.errors import StoreUnavailable
from monitor.store.remembering import ACTIONS, incident_of
from rollback.controller import Controller
from rollback.observation import Alerted, ComparisonEnded, WindowsClosed, Word
from rollback.record import GATES, OUTCOMES, PHASES, RollbackRecord, Transition

if TYPE_CHECKING:
    from monitor.shadow.target_comparison import TargetComparisons

log = logging.getLogger("kedge.rollback")

#: Why nothing can be asked of a Kedge without a registry.
NO_REGISTRY = "no [model] tracking_uri is configured, so no alias can be moved"

#: Writes incidents to the store, which gives each its ``id``.
Incidents = Callable[[Sequence[dict[str, Any]]], Awaitable[None]]
#: Is told of a transition, and of the rollback that it belongs to.
Heard = Callable[[Transition, RollbackRecord | None], None]


class NotSteerableError(RuntimeError):
    """There is nothing that could be rolled back, held or blessed; the message says why."""


class Deciding(Protocol):
    """What the daemon asks of the decision."""

    async def resume(self) -> None:
        """Take up what was open when the daemon stopped."""

    async def observe(self, judged: Judged) -> None:
        """Take a judged window into account."""

    async def tick(self) -> None:
        """Look at deadlines."""

    async def compared(self) -> None:
        """Take into account that a comparison with the target has ended."""

    async def request(
        self, to_version: str | None, reason: str, *, dry_run: bool, by: str = ""
    ) -> str:
        """Ask for a rollback by hand; return its id."""

    async def say(self, word: Word) -> None:
        """Take what a person says into account; returns when it is written down."""

    async def alerted(self, alert: Alerted) -> None:
        """Take somebody else's alert into account."""

    def status(self) -> Mapping[str, Any]:
        """Mode, state and last rollback, for the API."""

    def follow(self, heard: Heard) -> None:
        """Have every transition told to somebody."""


class Bystander:
    """Decides nothing, because there is no registry that an alias could be moved in."""

    def __init__(self, mode: str) -> None:
        self._mode = mode

    async def resume(self) -> None:
        """Do nothing."""

    async def observe(self, judged: Judged) -> None:
        """Do nothing."""

    async def tick(self) -> None:
        """Do nothing."""

    async def compared(self) -> None:
        """Do nothing."""

    async def request(
        self,
        to_version: str | None,  # noqa: ARG002 - the protocol's, as below
        reason: str,  # noqa: ARG002
        *,
        dry_run: bool,  # noqa: ARG002
        by: str = "",  # noqa: ARG002
    ) -> str:
        """Refuse.

        Raises
        ------
        NotSteerableError
            Always.
        """
        raise NotSteerableError(NO_REGISTRY)

    async def say(self, word: Word) -> None:  # noqa: ARG002 - the protocol's
        """Refuse.

        Raises
        ------
        NotSteerableError
            Always.
        """
        raise NotSteerableError(NO_REGISTRY)

    async def alerted(self, alert: Alerted) -> None:
        """Do nothing."""

    def follow(self, heard: Heard) -> None:
        """Do nothing: there are no transitions."""

    def status(self) -> Mapping[str, Any]:
        """Mode and state, with nothing done."""
        return {"mode": self._mode, "state": "WATCHING", "hold": None, "last": None}


class Reporter:
    """Told of every transition: makes metrics, incidents and log lines of it."""

    def __init__(
        self,
        model: str,
        metrics: Metrics,
        incidents: Incidents,
        now: Callable[[], float] = time.time,
        *,
        tell: Callable[[Notice | None], None] = lambda _notice: None,
    ) -> None:
        self._tell = tell
        self._model = model
        self._now = now
        self._metrics = metrics
        self._incidents = incidents
        #: Told of every transition that is no repetition.
        self.heard: Heard = lambda _transition, _record: None
        # From 0 on, so that Prometheus sees the first of each as an increase.
        for outcome in OUTCOMES:
            metrics.rollbacks.labels(model, outcome)
        for gate in GATES:
            metrics.refusals.labels(model, gate)

    async def changed(self, transition: Transition, record: RollbackRecord | None) -> None:
        """Report one transition; `record` is the rollback it belongs to, if it does."""
        if transition.gate is not None:
            self._metrics.refusals.labels(self._model, transition.gate).inc()
        if transition.repeated:
            return
        self._tell(notice_of(transition, record))
        self.heard(transition, record)
        incident = None if record is None else _incident(transition, record)
        try:
            if record is not None and incident is not None:
                self._count(record)
                await self._incidents([incident])
        finally:
            # After the store has given the incident its id, and also where it took none.
            about = log_fields.of_transition(transition, record, incident)
            words = (transition.before, transition.after, transition.why)
            log.info("%s -> %s: %s", *words, extra=about)

    async def said(self, word: Word) -> None:
        """Report what a person has said; it is in force already."""
        self._metrics.said.labels(self._model, ACTIONS[type(word)]).inc()
        self._tell(notice_of_word(self._model, word, self._now()))
        incident = incident_of(self._model, word, self._now())
        try:
            await self._incidents([incident])
        except StoreUnavailable as error:
            log.error("an incident is missing, for the store took none: %s", error)
        about = log_fields.of_word(self._model, word, incident)
        log.info("%s: %s", word.by or "a person", word, extra=about)

    def show(self, phase: str, held_until: float, last: Mapping[str, Any] | None) -> None:
        """Export the phase that holds, until when a hold does (0 for none), the last rollback."""
        for one in PHASES:
            self._metrics.rollback_state.labels(self._model, one).set(one == phase)
        self._metrics.held_until.labels(self._model).set(held_until)
        if last is not None:
            ended = self._metrics.rollback_ended.labels(self._model, last["outcome"])
            ended.set(last["updated"])

    def _count(self, record: RollbackRecord) -> None:
        if record.outcome is None:
            return
        self._metrics.rollbacks.labels(self._model, record.outcome).inc()
        if record.outcome == "resolved":
            self._metrics.rollback_duration.observe(record.updated - record.created)


class Decision:
    """A :class:`rollback.controller.Controller` fed with judged windows.

    Parameters
    ----------
    comparisons
        Compare the rollback's target ahead of time; None where nothing is compared.
    """

    def __init__(
        self,
        controller: Controller,
        reporter: Reporter,
        comparisons: TargetComparisons | None = None,
    ) -> None:
        self._controller = controller
        self._reporter = reporter
        self._comparisons = comparisons
        self._show()

    async def resume(self) -> None:
        """Take up what was open when the daemon stopped."""
        await self._controller.resume()
        self._show()

    async def observe(self, judged: Judged) -> None:
        """Take a judged window into account; one of a segment says nothing of the whole."""
        window = judged.row.window
        if window["segment"]:
            return
        if self._comparisons is not None:
            target = self._controller.likely_target
            self._comparisons.follow(window["version"], window["begins"], judged.reports, target)
        await self._controller.observe(
            WindowsClosed(
                version=window["version"],
                begins=window["begins"],
                ends=window["ends"],
                rules=judged.reports,
                events_by_version=judged.events_by_version,
            )
        )
        self._show()

    async def tick(self) -> None:
        """Look at deadlines."""
        await self._controller.tick()
        self._show()

    async def compared(self) -> None:
        """Take into account that a comparison with the target has ended."""
        await self._controller.observe(ComparisonEnded())
        self._show()

    async def request(
        self, to_version: str | None, reason: str, *, dry_run: bool, by: str = ""
    ) -> str:
        """Ask for a rollback by hand; return its id."""
        return await self._controller.request(to_version, reason, dry_run=dry_run, by=by)

    async def say(self, word: Word) -> None:
        """Take what a person says into account; returns when it is written down."""
        await self._controller.say(word)
        self._show()
        await self._reporter.said(word)

    async def alerted(self, alert: Alerted) -> None:
        """Take somebody else's alert into account."""
        await self._controller.observe(alert)
        self._show()

    def status(self) -> Mapping[str, Any]:
        """Mode, state and last rollback, for the API."""
        return self._controller.status()

    def follow(self, heard: Heard) -> None:
        """Have every transition told to somebody."""
        self._reporter.heard = heard

    def _show(self) -> None:
        # From the standing and not from the transitions: a request that is refused beside an
        # open rollback makes one, and moves no phase.
        status = self._controller.status()
        hold = status["hold"]
        self._reporter.show(status["state"], hold["until"] if hold else 0.0, status["last"])


def _incident(transition: Transition, record: RollbackRecord) -> dict[str, Any]:
    return {
        "at": transition.at,
        "kind": transition.after.lower(),
        "model": transition.model,
        "version": record.from_version,
        "rule": None,
        "rollback": record.id,
        "evidence": {
            "why": transition.why,
            "gate": transition.gate,
            "to": record.to_version,
            "dry_run": record.dry_run,
            "outcome": record.outcome,
            **record.to_json()["evidence"],
        },
    }
