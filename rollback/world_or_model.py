"""World or model: whether going back can help at all. Pure.

A version is left for another only where the version itself is the likely reason. What the world,
the data or the platform does to it, it would do to the target.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from detectors.cause import Cause, CauseColumn
from detectors.statistics.correlation import CORRELATION
from rollback.record import GateResult

#: A target that depends on at most this share of what drifted is said not to drift with it.
EXPOSED_MAX: Final = 0.1
#: Columns that a refusal names.
NAMED_MAX: Final = 3
#: Where breached rules say different things: what speaks against a rollback comes first.
_ORDER: Final = ("data", "world", "platform", "model", "unknown")


def overall(causes: Iterable[Cause | None]) -> Cause | None:
    """Return the cause to go by where several rules are in breach; None where none is known."""
    known = [cause for cause in causes if cause is not None]
    return min(known, key=lambda cause: _ORDER.index(cause.origin), default=None)


def needs_columns(evidence: Mapping[str, Any]) -> bool:
    """Whether it matters which columns a target depends on."""
    stored = evidence.get("cause")
    return stored is not None and stored["origin"] in ("world", "data")


def world_or_model(
    evidence: Mapping[str, Any],
    to_version: str,
    reads: Mapping[str, Collection[str]],
    *,
    target_in_breach: bool,
) -> GateResult:
    """Say whether an automatic rollback to a version can help, by the cause in the evidence.

    Parameters
    ----------
    evidence
        Of the record.
    reads
        Columns that versions depend on, as far as known.
    target_in_breach
        Whether the target itself was seen in breach last: then nothing speaks for it.
    """
    stored = evidence.get("cause")
    if stored is None:
        return _refused("nothing is known of where the breach comes from; a person has to decide")
    cause = Cause.from_json(stored)
    told = f"{cause.origin}: {cause.because}"
    match cause.origin:
        case "model":
            return GateResult("world_or_model", passed=True, detail=told)
        case "world" | "data":
            apart = None if target_in_breach else _apart(cause.columns, reads.get(to_version))
            if apart is None:
                named = _named(cause.columns)
                return _refused(f"{told}; version {to_version} would see the same{named}")
            detail = f"{told}; but version {to_version} depends on {apart}"
            return GateResult("world_or_model", passed=True, detail=detail)
        case "platform":
            return _refused(f"{told}; going back would not help")
        case _:
            return _refused(f"{told}; a person has to decide")


def _apart(columns: Sequence[CauseColumn], reads: Collection[str] | None) -> str | None:
    """Say how little of what drifted or broke the target depends on; None if it is not little."""
    if reads is None or not columns:
        return None
    # What several columns have in common is no column that a version could do without.
    exposed = [one for one in columns if one.column in reads or one.column == CORRELATION]
    share = sum(one.share for one in exposed)
    if share > EXPOSED_MAX or any(one.fault for one in exposed):
        return None
    if not exposed:
        return "none of the columns that changed"
    return f"{share:.0%} of what drifted"


def _named(columns: Sequence[CauseColumn]) -> str:
    if not columns:
        return ""
    named = ", ".join(
        f"{one.column} ({one.fault or f'{one.share:.0%}'})" for one in columns[:NAMED_MAX]
    )
    more = f" and {len(columns) - NAMED_MAX} more" if len(columns) > NAMED_MAX else ""
    return f" in {named}{more}"


def _refused(detail: str) -> GateResult:
    return GateResult("world_or_model", passed=False, detail=detail)
