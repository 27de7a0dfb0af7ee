"""What the pages show of the running daemon: of what is committed, and of the decision."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from monitor.counting.engine import Engine
from monitor.deciding.deciding import Deciding
from monitor.judging.rule_standings import RuleStanding
from monitor.pictures.last_windows import Held
from monitor.settings.settings import Settings
from monitor.store.queries import rfc3339
from monitor.store.store import Totals
from monitor.version import VERSION
from rollback.observation import Word

_TIMES = (
    *("until", "since", "healthy_at", "healthy_since", "breached_at"),
    *("blessed_at", "quarantined_until"),
)

#: A turn that takes longer than this is taken for a daemon that hangs: it is to be restarted.
HANGING_S = 120.0


class DaemonView:
    """A :class:`monitor.web.web.View` of an engine and a decision."""

    def __init__(self, settings: Settings, engine: Engine, deciding: Deciding) -> None:
        self._settings = settings
        self._engine = engine
        self._deciding = deciding
        self._started = time.time()

    def alive(self) -> str | None:
        """None while turns follow one another."""
        silent_s = self._engine.idle_for_s
        if silent_s > HANGING_S:
            return f"counting has not gone on for {silent_s:.0f} s"
        return None

    def ready(self) -> str | None:
        """None while commits succeed."""
        return self._engine.trouble

    async def request_rollback(
        self, to_version: str | None, reason: str, *, dry_run: bool, by: str = ""
    ) -> str:
        """Ask the decision for a rollback."""
        return await self._deciding.request(to_version, reason, dry_run=dry_run, by=by)

    async def say(self, word: Word) -> None:
        """Tell the decision what a person says."""
        await self._deciding.say(word)

    def last_windows(self) -> Mapping[str, Held]:
        """Return the last window of each version, as `monitor.pictures.last_windows` holds it."""
        return self._engine.committed.last_windows

    def status(self) -> Mapping[str, Any]:
        """Body of ``/api/v1/status``."""
        committed = self._engine.committed
        decision = self._deciding.status()
        model = self._settings.model
        every = sum(committed.totals.values(), Totals())
        totals = {"all": every, **committed.totals}
        hold = decision.get("hold")
        return {
            "model": {
                "name": model.name,
                "alias": model.alias,
                "live_version": committed.live_version,
            },
            "versions": [
                {
                    "version": seen.version,
                    "events": seen.events,
                    "first_seen": rfc3339(seen.first_seen),
                    "last_seen": rfc3339(seen.last_seen),
                    "last_window_end": rfc3339(seen.last_window),
                    "reference": _reference(committed.references.get(seen.version)),
                }
                for seen in sorted(committed.versions, key=lambda seen: -seen.last_seen)
            ],
            "rules": [_rule(standing) for standing in committed.rules],
            "rollback": {
                "mode": decision["mode"],
                "state": decision["state"],
                "last": decision.get("rollback") or decision.get("last"),
                "versions": [
                    {"version": version, **_dated(_in_force(marks))}
                    for version, marks in decision.get("versions", {}).items()
                ],
            },
            "holds": [{"model": model.name, **_dated(hold)}] if hold else [],
            "totals": {
                source: {
                    "events": counts.events,
                    "rejected": counts.rejected,
                    "late": counts.late,
                    "shed": counts.shed,
                }
                for source, counts in totals.items()
            },
            **({"labels": committed.labels} if committed.labels is not None else {}),
            **({"shadow": _shadow(committed.shadow)} if committed.shadow is not None else {}),
            "ready": self.ready() or "ok",
            "started": rfc3339(self._started),
            "kedge_version": VERSION,
        }


_WINDOW_OF_PAIRS = ("live", "window_end", "measurements")


def _shadow(standing: Mapping[str, Any]) -> Mapping[str, Any]:
    process, labelled = standing["process"], standing["labelled"]
    shown = {key: standing[key] for key in ("waiting", "requests", *_WINDOW_OF_PAIRS)}
    return {
        **_compared(shown),
        "labelled": None
        if labelled is None
        else {
            **_compared({key: labelled[key] for key in _WINDOW_OF_PAIRS}),
            "segments": [_compared(one) for one in labelled["segments"]],
        },
        "version": process.version or standing["version"],
        "state": process.state,
        "why": process.why,
        "segments": [_compared(one) for one in standing["segments"]],
    }


def _compared(window: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the last window of pairs, of all traffic or of a segment."""
    return {
        **window,
        "window_end": rfc3339(window["window_end"]),
        "disagreement": window["measurements"].get("disagreement"),
    }


def _reference(standing: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Say what a version is compared with; None of one that was not seen for long."""
    if standing is None:
        return None
    shown = dict(standing)
    if "created" in standing:
        shown["created"] = rfc3339(standing["created"])
    if "segments" in standing:
        shown["segments"] = [_reference(one) for one in standing["segments"]]
    return shown


def _in_force(marks: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave a quarantine out that has run out."""
    until = marks.get("quarantined_until")
    over = until is not None and until <= time.time()
    return {**marks, "quarantined_until": None} if over else marks


def _dated(said: Mapping[str, Any]) -> dict[str, Any]:
    """Write the times of what a person said, or of what was seen of a version, as RFC 3339."""
    return {key: rfc3339(value) if key in _TIMES else value for key, value in said.items()}


def _rule(standing: RuleStanding) -> dict[str, Any]:
    rule, state, last = standing.rule, standing.state, standing.last
    return {
        "name": rule.name,
        "metric": rule.metric,
        "action": rule.action,
        "state": state.state,
        "since": rfc3339(state.since),
        "cause": standing.cause.to_json() if standing.cause else None,
        "segment": standing.segment or None,
        "column": last.column if last else None,
        "value": last.value if last else None,
        "low": last.low if last else None,
        "high": last.high if last else None,
        "n": last.n if last else 0,
        "threshold": last.threshold
        if last
        else rule.above
        if rule.above is not None
        else rule.below,
    }
