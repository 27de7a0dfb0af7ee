"""What a turn of the engine leaves behind: until the commit, and after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from monitor.judging.judging import Judged
from monitor.judging.rule_standings import RuleStanding
from monitor.pictures.last_windows import Held
from monitor.store.store import Change, Totals
from monitor.traffic.versions import VersionSeen


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn did.

    Parameters
    ----------
    busy
        Lines were read, or windows wait to be closed: there may be more, so the next turn should
        come at once.
    judged
        Windows that were closed, and are committed.
    """

    busy: bool
    judged: Sequence[Judged] = ()


@dataclass(slots=True)
class Pending:
    """What was counted and concluded since the last commit.

    Parameters
    ----------
    dirty
        There is something to commit.
    complete
        All that is written as a whole was added: a change that is tried again stays as it was.
    """

    change: Change = field(default_factory=Change)
    judged: list[Judged] = field(default_factory=list)
    dirty: bool = False
    complete: bool = False

    def conclude(self, judged: Judged) -> None:
        """Add what was concluded from a closed window."""
        self.change.windows.append(judged.row)
        self.change.incidents.extend(judged.incidents)
        self.change.rules.update(judged.rule_states)
        self.judged.append(judged)
        self.dirty = True


@dataclass(frozen=True, slots=True)
class Committed:
    """What the last commit says, whole: replaced at once, so that any thread may read it."""

    totals: Mapping[str, Totals]
    versions: Sequence[VersionSeen]
    live_version: str | None
    rules: Sequence[RuleStanding]
    labels: Mapping[str, Any] | None = None
    references: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    shadow: Mapping[str, Any] | None = None
    last_windows: Mapping[str, Held] = field(default_factory=dict)
