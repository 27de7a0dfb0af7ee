"""World or model? What a breach is likely to come from, by what else is known of the window.

A model that has not changed and sees the same inputs gives the same predictions: so inputs, the
prediction, the moment of the breach and what other versions show tell the causes apart, as far as
they can be told. Pure; every answer carries its reasons, and ``unknown`` is one of the answers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from detectors.rules.judgement import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: - ``world``: the traffic changed, or what is true of it; an older version would see the same.
#: - ``model``: this version does worse on the traffic that there always was.
#: - ``data``: a column broke on its way to the model.
#: - ``platform``: serving is slow or fails whatever version answers.
Origin: TypeAlias = Literal["world", "model", "data", "platform", "unknown"]

#: What the breaching rule watches.
Symptom: TypeAlias = Literal["inputs", "prediction", "performance", "service"]

#: Both versions' answers to the same requests.
Comparison: TypeAlias = Literal["alike", "apart"]

#: Windows without a breach that a version needs before one, for its deployment not to be the
#: reason: one window may be quiet by chance, or hold the first minutes of a canary only.
SETTLED_WINDOWS = 3
#: The prediction follows from the inputs where they explain at least this share of its shift.
EXPLAINED_MIN = 0.5
#: A column whose effect on the prediction is below this share of all effects does not matter.
IMPORTANCE_MIN = 0.01


@dataclass(frozen=True, slots=True)
class InputDrift:
    """Drift of one input column.

    Parameters
    ----------
    column
        Its name.
    verdict
        Proven drift, proven stable, or not enough data.
    value
        How far it drifted, in the unit of the drift metric; None where it cannot be told.
    importance
        Its share of the effects of all columns on the prediction, in ``[0, 1]``; None where that
        is not known: then it is taken to matter.
    fault
        What broke in it, in words ("missing in 22 % of the rows, 10 % in the reference"); empty
        for nothing.
    """

    column: str
    verdict: Verdict
    value: float | None = None
    importance: float | None = None
    fault: str = ""

    @property
    def matters(self) -> bool:
        """Whether the prediction depends on it, as far as is known."""
        return self.importance is None or self.importance >= IMPORTANCE_MIN


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is known when a rule breaches.

    Parameters
    ----------
    symptom
        What the rule watches.
    inputs
        Every input column that was judged; empty without a reference.
    prediction
        Verdict on the prediction's distribution; None where it was not judged.
    explained
        Share of the prediction's shift that follows from the drift of the inputs; None where
        there is no estimate.
    windows_before
        Windows of this version without this breach before it began; None where they are not
        remembered.
    elsewhere
        Verdict of the same rule on the other versions that answer at the same time, each against
        its own reference; None where no other one answers.
    shadow
        Whether another version gives the same answers to the same requests; None without one.
    """

    symptom: Symptom
    inputs: Sequence[InputDrift] = ()
    prediction: Verdict | None = None
    explained: float | None = None
    windows_before: int | None = None
    elsewhere: Verdict | None = None
    shadow: Comparison | None = None

    @property
    def drifted(self) -> list[InputDrift]:
        """Input columns that drifted and matter, worst first."""
        found = [one for one in self.inputs if one.verdict == "breach" and one.matters]
        return sorted(found, key=lambda one: (-(one.value or 0.0), one.column))

    @property
    def faults(self) -> list[InputDrift]:
        """Input columns that broke and matter."""
        return [one for one in self.inputs if one.fault and one.matters]

    @property
    def inputs_verdict(self) -> Verdict:
        """Of all inputs that matter: a breach if any drifted, ok only if all are stable."""
        if self.drifted:
            return "breach"
        mattering = [one for one in self.inputs if one.matters]
        stable = bool(mattering) and all(one.verdict == "ok" for one in mattering)
        return "ok" if stable else "unknown"

    @property
    def since_deployment(self) -> bool | None:
        """Whether the version breached from its start; None where that is not known."""
        return None if self.windows_before is None else self.windows_before < SETTLED_WINDOWS


@dataclass(frozen=True, slots=True)
class CauseColumn:
    """An input column that a cause names.

    Parameters
    ----------
    column, verdict, value, fault
        As in :class:`InputDrift`.
    share
        Its share of the drift of all input columns that drifted and matter, in ``[0, 1]``; 0 of
        one that broke without drifting.
    """

    column: str
    share: float
    verdict: Verdict
    value: float | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Cause:
    """Where a breach is likely to come from.

    Parameters
    ----------
    origin
        See :data:`Origin`.
    because
        The reasons, in words.
    columns
        Input columns that drifted, worst first, whose shares add up to 1; then those that only
        broke.
    """

    origin: Origin
    because: str
    columns: tuple[CauseColumn, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As a JSON-able dictionary."""
        return {
            "origin": self.origin,
            "because": self.because,
            "columns": [asdict(one) for one in self.columns],
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Cause:
        """Read what `to_json` gave.

        Raises
        ------
        ValueError
            If it is no such thing.
        """
        try:
            return msgspec.convert(stored, cls)
        except msgspec.ValidationError as error:
            raise ValueError(f"a stored cause is damaged: {error}") from error


def cause_of(known: Circumstances) -> Cause:
    """Tell where a breach comes from; ``unknown`` where two causes fit, or too little is known.

    The order of the questions is that of their weight: a broken column explains everything behind
    it; the same requests answered by another version say more than any argument about time.

    Examples
    --------
    >>> stable = InputDrift("age", "ok", 0.001)
    >>> cause_of(Circumstances("prediction", [stable], "breach", windows_before=0)).origin
    'model'
    """
    origin, because = _service(known) if known.symptom == "service" else _content(known)
    return Cause(origin, because, _columns(known))


def _service(known: Circumstances) -> tuple[Origin, str]:
    if known.elsewhere == "breach":
        return "platform", "other versions are as slow or fail as often at the same time"
    if known.elsewhere == "unknown":
        return "unknown", "other versions answer at the same time; how they do cannot be told yet"
    if known.elsewhere == "ok" and known.since_deployment:
        return "model", "only this version is slow or fails, and it has been since its deployment"
    if known.inputs_verdict == "breach":
        return "unknown", f"{_names(known)} changed too: other requests may take longer or fail"
    return _service_by_time(known)


def _service_by_time(known: Circumstances) -> tuple[Origin, str]:
    if known.since_deployment:
        return "model", "it began with the deployment of this version"
    if known.since_deployment is None:
        return "unknown", "it is not known how this version did before"
    return "platform", (
        f"this version did well for {known.windows_before} windows before, and has not changed"
    )


def _content(known: Circumstances) -> tuple[Origin, str]:
    if known.faults:
        broken = "; ".join(f"{one.column}: {one.fault}" for one in known.faults)
        return "data", f"columns broke on their way to the model ({broken})"
    if known.shadow == "apart" and known.inputs_verdict == "ok":
        # Versions may differ by design: of inputs that drifted too, their difference tells nothing.
        return "model", "the inputs are stable, and another version answers them otherwise"
    if known.shadow == "alike":
        return "world", "another version gives the same answers to the same requests"
    if known.elsewhere == "breach":
        return "world", "other versions show it at the same time, each against its own reference"
    return _by_inputs(known)


def _by_inputs(known: Circumstances) -> tuple[Origin, str]:
    if known.explained is not None and known.explained >= EXPLAINED_MIN:
        names = _names(known) or "the inputs together, each within its bounds,"
        return "world", f"drift of {names} explains {known.explained:.0%} of the prediction's shift"
    match known.inputs_verdict:
        case "ok":
            return _same_inputs(known)
        case "breach":
            return _other_inputs(known)
        case _:
            return "unknown", "whether the inputs drifted cannot be told"


def _same_inputs(known: Circumstances) -> tuple[Origin, str]:
    if known.since_deployment is None:
        return "unknown", "the inputs are stable; it is not known how this version did before"
    if known.since_deployment:
        return "model", "the inputs are stable, and it began with this version's deployment"
    before = f"after {known.windows_before} windows in which this version did well"
    if known.symptom == "performance" and known.prediction == "ok":
        return "world", (
            f"inputs and predictions are stable, {before}: what is true of the inputs changed"
        )
    return "unknown", f"the inputs are stable, and it began {before}: nothing seen explains it"


def _other_inputs(known: Circumstances) -> tuple[Origin, str]:
    names = _names(known)
    if known.since_deployment is False:
        return "world", (
            f"{names} drifted, after {known.windows_before} windows in which this version did well"
        )
    if known.symptom == "inputs":
        return "world", f"{names} drifted, and inputs do not come from the model"
    return "unknown", f"{names} drifted, and the version is new: either may be the reason"


def _names(known: Circumstances, most: int = 3) -> str:
    names = [one.column for one in known.drifted]
    listed = ", ".join(names[:most])
    return f"{listed} and {len(names) - most} more" if len(names) > most else listed


def _columns(known: Circumstances) -> tuple[CauseColumn, ...]:
    drifted = known.drifted
    total = sum(one.value or 0.0 for one in drifted)
    shares = [(one.value or 0.0) / total if total else 1 / len(drifted) for one in drifted]
    broken = [one for one in known.faults if one.verdict != "breach"]
    return tuple(
        CauseColumn(one.column, share, one.verdict, one.value, one.fault)
        for one, share in (*zip(drifted, shares, strict=True), *((one, 0.0) for one in broken))
    )
