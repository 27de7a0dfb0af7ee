"""What a rule remembers of past windows, and when it suspects, confirms and clears a breach.

::

    ok, unknown --- a breach ---> suspect --- `needed` of the last `of` breach ---> breach
         ^                           |                                                |
         +-- ok, no breach left -----+------------- clear, see `advance` -------------+
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from detectors.rules.judgement import Action, Judgement, RuleSpec, Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Action",
    "Judged",
    "Judgement",
    "RuleEvent",
    "RuleSpec",
    "RuleState",
    "State",
    "Verdict",
    "advance",
    "judge",
]

State: TypeAlias = Literal["ok", "suspect", "breach", "unknown"]
EventKind: TypeAlias = Literal["opened", "confirmed", "cleared"]


@dataclass(frozen=True, slots=True)
class Judged:
    """A window as a rule remembers it.

    Parameters
    ----------
    verdict
        What it was judged.
    clears
        Whether it counts towards clearing a breach.
    ends
        When it ended, seconds since the epoch.
    """

    verdict: Verdict
    clears: bool
    ends: float


@dataclass(frozen=True, slots=True)
class RuleState:
    """Where a rule stands for one model version.

    Parameters
    ----------
    history
        The last windows, oldest first, at most the rule's `of`.
    state
        ``ok``; ``suspect`` (some of the last windows breach, too few to act on); ``breach``;
        ``unknown`` (the last window told nothing, and nothing is open).
    since
        End of the window that led to this state, seconds since the epoch; None before any.
    opened, confirmed
        End of the window that opened, and that confirmed, the present incident; None without.
    """

    history: tuple[Judged, ...] = ()
    state: State = "unknown"
    since: float | None = None
    opened: float | None = None
    confirmed: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As a JSON-able dictionary, for the store."""
        return {
            "history": [[judged.verdict, judged.clears, judged.ends] for judged in self.history],
            "state": self.state,
            "since": self.since,
            "opened": self.opened,
            "confirmed": self.confirmed,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> RuleState:
        """Go on from what `to_json` gave.

        Raises
        ------
        ValueError
            If it is no such thing.
        """
        try:
            kept = msgspec.convert(stored, _Stored)
        except msgspec.ValidationError as error:
            raise ValueError(f"the stored state of a rule is damaged: {error}") from error
        history = tuple(Judged(*judged) for judged in kept.history)
        return cls(history, kept.state, kept.since, kept.opened, kept.confirmed)


class _Stored(msgspec.Struct, frozen=True):
    history: list[tuple[Verdict, bool, float]]
    state: State
    since: float | None
    opened: float | None
    confirmed: float | None


@dataclass(frozen=True, slots=True)
class RuleEvent:
    """A change that somebody should hear of.

    Parameters
    ----------
    kind
        ``opened``: a first window breaches; ``confirmed``: enough do, act (a rule of "1 of 1"
        confirms without opening first); ``cleared``: what was opened or confirmed is over.
    rule
        Name of the rule.
    at
        End of the window that made the change, seconds since the epoch.
    before, after
        State before and after.
    judgement
        What that window was judged, as evidence.
    """

    kind: EventKind
    rule: str
    at: float
    before: State
    after: State
    judgement: Judgement


def advance(
    state: RuleState, judgement: Judgement, ends: float, spec: RuleSpec
) -> tuple[RuleState, RuleEvent | None]:
    """Take in the next window of a rule.

    * A breach is confirmed by a breaching window with which `needed` of the last `of` breach.
    * It clears by a clearing window (ok, and within the clearing threshold) with which `needed`
      of the last `of` clear and none of them breaches.
    * A suspicion clears by an ok window with which none of the last `of` breaches.
    * An unknown window takes a place among the last `of`, so that it delays both; it never makes
      a change itself, except from ok to unknown.

    Parameters
    ----------
    ends
        End of the window, seconds since the epoch; windows come in order.

    Returns
    -------
    RuleState
        Where the rule stands now.
    RuleEvent or None
        What changed, if somebody should hear of it.
    """
    history = (*state.history, Judged(judgement.verdict, judgement.clears, ends))[-spec.of :]
    state = replace(state, history=history)
    after = _after(state, spec)
    if after == state.state:
        return replace(state, since=ends if state.since is None else state.since), None
    kind = _event_kind(state.state, after)
    moved = replace(state, state=after, since=ends)
    if kind is None:
        return moved, None
    if kind == "cleared":
        moved = replace(moved, opened=None, confirmed=None)
    else:
        moved = replace(
            moved,
            opened=ends if state.opened is None else state.opened,
            confirmed=ends if kind == "confirmed" else None,
        )
    return moved, RuleEvent(kind, spec.name, ends, state.state, after, judgement)


def _after(state: RuleState, spec: RuleSpec) -> State:
    """State after the last window of the history."""
    last = state.history[-1]
    breaches = sum(judged.verdict == "breach" for judged in state.history)
    clears = sum(judged.clears for judged in state.history)
    is_open = state.state in ("suspect", "breach")
    if last.verdict == "unknown":
        return state.state if is_open else "unknown"
    if last.verdict == "breach":
        confirmed = state.state == "breach" or breaches >= spec.needed
        return "breach" if confirmed else "suspect"
    if state.state == "breach":
        return "ok" if last.clears and clears >= spec.needed and not breaches else "breach"
    return "suspect" if state.state == "suspect" and breaches else "ok"


def _event_kind(before: State, after: State) -> EventKind | None:
    if after == "breach":
        return "confirmed"
    if after == "suspect":
        return "opened"
    return "cleared" if before in ("suspect", "breach") else None
