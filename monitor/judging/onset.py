"""How a version did under a rule before it breached: counted with the windows, kept with the rule.

A breach that is there from a version's first windows on may come with its deployment; one after
many windows in which the version did well does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from detectors.cause import SETTLED_WINDOWS, Cause
from detectors.rules.judgement import Verdict

#: Where it stands in what is kept of a rule's state.
ONSET = "onset"


@dataclass(frozen=True, slots=True)
class Onset:
    """What a rule saw of a version, in the order of its windows.

    Parameters
    ----------
    watched
        Whether the version was watched from its first window on, while others were watched before
        it. Of the first version that Kedge ever saw, nobody knows how long it had served.
    quiet
        Windows that said ok, outside any breach.
    untold
        Windows that could not tell, outside any breach.
    began
        When the window began that opened the present breach, seconds since the epoch; None
        without one.
    cause
        Where the present breach comes from, as far as was told.
    latest
        When the last window ended that had rows enough, and what it said; None before any.
    """

    watched: bool = False
    quiet: int = 0
    untold: int = 0
    began: float | None = None
    cause: Cause | None = None
    latest: tuple[float, Verdict] | None = None

    @property
    def windows_before(self) -> int | None:
        """Windows in which the version did well before; None where that is not known.

        Few of them prove a new version only where it was watched all the time, and could be told
        something of.
        """
        if self.quiet >= SETTLED_WINDOWS:
            return self.quiet
        return self.quiet if self.watched and self.untold < SETTLED_WINDOWS else None

    def passed(self, verdict: Verdict) -> Onset:
        """Take in a window outside any breach."""
        return replace(
            self,
            quiet=self.quiet + (verdict == "ok"),
            untold=self.untold + (verdict == "unknown"),
            began=None,
            cause=None,
        )

    def breached(self, begins: float, cause: Cause | None) -> Onset:
        """Take in a window of a breach; without a `cause`, what was told before holds."""
        return replace(
            self,
            began=begins if self.began is None else self.began,
            cause=self.cause if cause is None else cause,
        )

    def to_json(self) -> dict[str, Any]:
        """As a JSON-able dictionary, for the store."""
        return {
            "watched": self.watched,
            "quiet": self.quiet,
            "untold": self.untold,
            "began": self.began,
            "cause": None if self.cause is None else self.cause.to_json(),
            "latest": self.latest,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Onset:
        """Go on from what `to_json` gave.

        Raises
        ------
        ValueError
            If it is no such thing.
        """
        try:
            return msgspec.convert(stored, cls)
        except msgspec.ValidationError as error:
            raise ValueError(f"the stored onset of a breach is damaged: {error}") from error
