"""A rollback as a trace: a span from the breach to the outcome, a child a phase, gate and step."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Final, TypeAlias

from opentelemetry.trace import Span, Status, StatusCode, Tracer, set_span_in_context

from rollback.record import RollbackRecord, Transition

#: Rollbacks whose steps' times are remembered; one is open at a time, mostly.
REMEMBERED_MAX: Final = 20
_NANOSECONDS: Final = 1_000_000_000


#: A step to when it began, when it was heard of last, and its state then.
_Times: TypeAlias = dict[str, tuple[float, float, str]]


class RollbackTraces:
    """Hears every transition, and makes a trace of a rollback when it has ended.

    Of steps that began before the last restart it is not known when; they begin with the phase.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._steps: dict[str, _Times] = {}

    def hear(self, transition: Transition, record: RollbackRecord | None) -> None:
        """Take a transition into account."""
        if record is None or transition.repeated:
            return
        times = self._steps.setdefault(record.id, {})
        for step in record.steps:
            began, ended, state = times.get(step.step, (transition.at, transition.at, ""))
            if step.state == "doing" or step.state != state:
                ended = transition.at
            if step.state != "pending":
                times[step.step] = (began, ended, step.state)
        if record.outcome is not None:
            self._trace(record, self._steps.pop(record.id))
        while len(self._steps) > REMEMBERED_MAX:
            del self._steps[next(iter(self._steps))]

    def _trace(self, record: RollbackRecord, steps: _Times) -> None:
        about: dict[str, str | bool] = {
            "kedge.rollback.id": record.id,
            "kedge.model": record.model,
            "kedge.rollback.from": record.from_version or "",
            "kedge.rollback.to": record.to_version or "",
            "kedge.rollback.outcome": record.outcome or "",
            "kedge.rollback.reason": record.reason,
            "kedge.rollback.dry_run": record.dry_run,
            "kedge.rollback.manual": record.manual,
        }
        span = self._tracer.start_span(
            "rollback", attributes=about, start_time=_nanoseconds(record.created)
        )
        if record.outcome in ("escalated", "contested"):
            span.set_status(Status(StatusCode.ERROR, record.detail))
        phases = sorted(record.timings.items(), key=lambda one: one[1])
        for (name, begins), (_, ends) in pairwise((*phases, ("", record.updated))):
            self._child(span, f"phase {name}", (begins, ends))
        asked = record.timings.get("confirmed", record.created)
        for result in record.gates:
            gate: dict[str, str | bool] = {
                "kedge.gate": result.gate,
                "kedge.gate.passed": result.passed,
            }
            self._child(span, f"gate {result.gate}", (asked, asked), gate | _detail(result.detail))
        for step in record.steps:
            if step.step in steps:
                began, ended, state = steps[step.step]
                told = {"kedge.rollback.step.state": state} | _detail(step.detail)
                self._child(span, f"step {step.step}", (began, ended), told)
        span.end(_nanoseconds(record.updated))

    def _child(
        self,
        of: Span,
        name: str,
        between: tuple[float, float],
        attributes: Mapping[str, str | bool] | None = None,
    ) -> None:
        start, end = (_nanoseconds(at) for at in between)
        within = set_span_in_context(of)
        span = self._tracer.start_span(name, within, attributes=attributes, start_time=start)
        span.end(max(start, end))


def _detail(text: str) -> dict[str, str]:
    return {"kedge.detail": text} if text else {}


def _nanoseconds(seconds: float) -> int:
    return round(seconds * _NANOSECONDS)
