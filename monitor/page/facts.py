"""What the status page is made of, gathered from the running daemon and from its store."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from monitor.page.verdict import STORY_S, columns_in_breach, left_for, seconds_of
from monitor.pictures.last_windows import Held, LastWindow, last_window
from monitor.store.queries import Filter, Queries

Json: TypeAlias = Mapping[str, Any]
#: A version, and a segment of it; empty for all its traffic.
Place: TypeAlias = tuple[str, str]

#: Windows that are drawn, over all versions.
WINDOWS_MAX: Final = 120
HAPPENINGS_MAX: Final = 40
ROLLBACKS_MAX: Final = 20
#: Versions and segments that are asked for, at most.
PLACES_MAX: Final = 12
#: Figures of a version's last window: some of each of a thousand columns.
FIGURES_MAX: Final = 5_000
#: The API writes times in milliseconds.
_ROUNDED_S: Final = 0.001


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a model at a moment.

    Parameters
    ----------
    status
        Body of ``/api/v1/status``.
    windows, incidents, rollbacks
        As the API answers them, newest first.
    measured
        What was measured in the last window, by version and segment: of the live one, of the one
        that was rolled back last, and of segments in which a rule is in breach.
    pictured
        The last window beside its reference, of the same.
    now
        Seconds since the epoch.
    """

    status: Json
    now: float
    windows: Sequence[Json] = ()
    incidents: Sequence[Json] = ()
    rollbacks: Sequence[Json] = ()
    measured: Mapping[Place, Sequence[Json]] = field(default_factory=dict)
    pictured: Mapping[Place, LastWindow] = field(default_factory=dict)

    @property
    def left(self) -> str | None:
        """The version that was rolled back, as long as that is part of the story."""
        for record in self.rollbacks[:1]:
            if record["outcome"] is None or record["updated"] > self.now - STORY_S:
                source: str | None = record["from"]
                return source
        return None


def gather(
    status: Json, queries: Queries, last_windows: Mapping[str, Held], now: float | None = None
) -> Facts:
    """Ask the store for what the page shows beside the status.

    Raises
    ------
    monitor.store.errors.StoreUnavailable
        It does not answer.
    """
    model = status["model"]["name"]
    now = time.time() if now is None else now
    facts = Facts(
        status,
        now,
        windows=queries.windows(Filter(model=model, segment="", limit=WINDOWS_MAX)),
        incidents=queries.incidents(Filter(model=model, limit=HAPPENINGS_MAX)),
        rollbacks=queries.rollbacks(Filter(model=model, limit=ROLLBACKS_MAX)),
    )
    ends = {one["version"]: one["last_window_end"] for one in status["versions"]}
    measured, pictured = {}, {}
    for place in _places(facts):
        version, segment = place
        window = last_window(last_windows, version, segment)
        if window is not None:
            pictured[place] = window
        end = window.ends if window is not None and segment else seconds_of(ends.get(version) or 0)
        if end:
            wanted = Filter(model=model, version=version, segment=segment, limit=FIGURES_MAX)
            measured[place] = queries.measurements(replace(wanted, since=end - _ROUNDED_S))
    return Facts(
        status,
        now,
        facts.windows,
        facts.incidents,
        facts.rollbacks,
        measured=measured,
        pictured=pictured,
    )


def _places(facts: Facts) -> list[Place]:
    live = facts.status["model"]["live_version"]
    versions = [one for one in (live, facts.left) if one]
    places = [(version, "") for version in versions]
    places += [place for place, _ in columns_in_breach(facts.status, facts.incidents)]
    if facts.left:
        places += [(facts.left, segment) for segment, _ in left_for(facts.left, facts.incidents)]
    return list(dict.fromkeys(places))[:PLACES_MAX]
