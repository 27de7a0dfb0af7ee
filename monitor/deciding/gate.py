"""Whether a challenger may be promoted, by what the store holds of it: for a pipeline.

Every rule that was judged for the challenger counts, whatever its windows were made of: its own
traffic (a canary), labels, or pairs of its answers and the live version's (a shadow). Nothing here
knows which; a new kind of window needs only to move rules on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detectors.rules.rule import RuleState
from monitor.store.queries import Queries
from monitor.store.remembering import MEMORY, remembered


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of a challenger.

    Parameters
    ----------
    rules
        Rules that must have decided, by name; without any, all that were judged for it count.
    windows_min
        Windows that must have closed of it.
    within_s
        How old its windows, and the last word of a rule, may be.
    """

    rules: Collection[str] = ()
    windows_min: int = 3
    within_s: float = 86_400.0


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that speaks for the challenger, or against it."""

    ok: bool
    detail: str


def judge_challenger(
    queries: Queries,
    model: str,
    version: str,
    *,
    configured: Collection[str],
    demand: Demand,
    now: float,
) -> Sequence[Reason]:
    """Return what speaks for and against; it may be promoted if nothing speaks against.

    Silence does not speak for it: a rule that says unknown, one that is named and was not
    judged, too few windows, or none of late, all speak against.

    Parameters
    ----------
    configured
        Names of the rules that there are now; what others once said is passed over.

    Raises
    ------
    monitor.store.store.StoreError
        The store cannot be read.
    """
    since = now - demand.within_s
    states = queries.rule_states(version)
    counted = [name for name in (demand.rules or configured) if name in states]
    found = [_of_rule(name, states[name], since) for name in counted]
    found += [
        Reason(ok=False, detail=f"rule {name}: {_why_unjudged(name, configured, version)}")
        for name in demand.rules
        if name not in states
    ]
    if not found:
        found.append(Reason(ok=False, detail=f"no rule was judged for version {version}"))
    windows = queries.windows_of(model, version, since)
    found.append(
        Reason(
            windows >= demand.windows_min,
            f"{windows} of {demand.windows_min} windows within {demand.within_s:.0f} s",
        )
    )
    return [*found, *_quarantine(queries.state(MEMORY), version, now)]


def _of_rule(name: str, stored: Mapping[str, Any], since: float) -> Reason:
    state = RuleState.from_json(stored)
    if state.state != "ok":
        return Reason(ok=False, detail=f"rule {name}: {state.state}")
    if not state.history or state.history[-1].ends < since:
        return Reason(ok=False, detail=f"rule {name}: ok, but its last window is too old")
    return Reason(ok=True, detail=f"rule {name}: ok")


def _why_unjudged(name: str, configured: Collection[str], version: str) -> str:
    if name not in configured:
        return "is not in the configuration"
    return f"was not judged for version {version}"


def _quarantine(kept: bytes | None, version: str, now: float) -> Sequence[Reason]:
    memory = remembered({MEMORY: kept} if kept else {})
    if not memory.quarantined(version, now):
        return ()
    why = memory.marks(version).reason or "no reason given"
    return (Reason(ok=False, detail=f"version {version} is in quarantine: {why}"),)
