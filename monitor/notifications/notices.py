"""What a person is told of: a transition, or a hold, in words and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from monitor.settings.notify import Event
from monitor.store.queries import rfc3339
from rollback.observation import HoldSet, Word
from rollback.record import Phase, RollbackRecord, Transition

#: Characters of what came from elsewhere: a reason, an error.
WHY_MAX: Final = 1_000

#: Phases of a rollback that are told, with what they are called.
_OF_ROLLBACKS: Final[Mapping[Phase, tuple[Event, str]]] = {
    "CONFIRMED": ("confirmed", "breach confirmed"),
    "REFUSED": ("refused", "rollback refused"),
    "INTENDED": ("intended", "rollback begins"),
    "RESOLVED": ("resolved", "rollback done and verified"),
    "ESCALATED": ("escalated", "rollback needs a person"),
    "CONTESTED": ("contested", "somebody else moved what was being rolled back"),
}


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell.

    Parameters
    ----------
    at
        Seconds since the epoch.
    title, why
        In words: what happened, and why.
    rollback
        The rollback that it belongs to, as JSON; None without one.
    """

    event: Event
    model: str
    at: float
    title: str
    why: str
    rollback: Mapping[str, Any] | None = None

    @property
    def headline(self) -> str:
        """One line, without line breaks whatever the model is called."""
        return " ".join(f"{self.model}: {self.title}".split())

    def to_json(self) -> dict[str, Any]:
        """Return it as the body of a webhook."""
        return {
            "event": self.event,
            "model": self.model,
            "at": rfc3339(self.at),
            "title": self.title,
            "why": self.why,
            "rollback": self.rollback,
        }


def notice_of(transition: Transition, record: RollbackRecord | None) -> Notice | None:
    """Return what is told of a transition; None where nobody would want to know."""
    event, title = _told(transition, record)
    if event is None:
        return None
    rollback = None
    if record is not None:
        move = f"version {record.from_version or '?'}"
        move += f" to {record.to_version}" if record.to_version else ""
        title = f"{title} ({move}{', dry run' if record.dry_run else ''})"
        rollback = {
            "id": record.id,
            "from": record.from_version,
            "to": record.to_version,
            "state": record.state,
            "outcome": record.outcome,
            "dry_run": record.dry_run,
            "manual": record.manual,
            "gate": transition.gate,
        }
    return Notice(event, transition.model, transition.at, title, transition.why[:WHY_MAX], rollback)


def notice_of_word(model: str, word: Word, at: float) -> Notice | None:
    """Return what is told of a person's word: of a hold. Its end is a transition."""
    if not isinstance(word, HoldSet):
        return None
    title = f"automatic action is held until {rfc3339(word.until)}"
    by = f" ({word.by})" if word.by else ""
    return Notice("hold", model, at, title, f"{word.reason}{by}"[:WHY_MAX])


def _told(transition: Transition, record: RollbackRecord | None) -> tuple[Event | None, str]:
    if transition.repeated:
        return None, ""
    if record is not None:
        if transition.after == "GATED" and record.outcome == "would have acted":
            return "rehearsed", "rollback rehearsed, nothing was changed"
        return _OF_ROLLBACKS.get(transition.after, (None, ""))
    if transition.after == "BLIND":
        return "blind", "no rule can decide"
    stood = transition.before in ("HELD", "ESCALATED", "CONTESTED")
    if stood and transition.after == "WATCHING":
        return "resume", "automatic action may go on"
    return None, ""
