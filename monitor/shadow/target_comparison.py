"""The rollback target beside the version that serves, on the same requests: when, and for how long.

A comparison loads the target, which takes seconds and memory. So it is begun when a rule that may
roll back turns suspicious, in a task of its own; what it found is kept while that lasts. Whoever
asks meanwhile is told that it is under way. Belongs to the event loop, but for `judged`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from collectors.registry.client import RegistryError
from detectors.cause import Comparison
from detectors.paired.comparison import PairedSummary, unknown_summary
from monitor.shadow.gate import comparison_of
from monitor.shadow.recent import RecentRequests
from monitor.shadow.rescoring import Gathered, at_once
from rollback.better import ShadowComparison, about_answers
from rollback.observation import RuleReport

log = logging.getLogger("kedge.shadow")

#: Requests that are enough to tell alike from apart; the task waits for so many ...
ENOUGH: Final = 200
#: ... but no longer: traffic may be thin.
GATHER_S: Final = 10.0
GATHER_PAUSE_S: Final = 0.2
#: What could not be told is found out anew after so long.
UNTOLD_KEPT_S: Final = 60.0
#: Between two comparisons that suspicion alone begins: rules may come and go.
SUSPECT_PAUSE_S: Final = 300.0

#: Tells where a rollback from a version would go; None for nowhere.
LikelyTarget: TypeAlias = Callable[[str], Awaitable[str | None]]
#: What a shadow that runs anyway has found of two versions since a time; None for nothing.
Configured: TypeAlias = Callable[[str, str, float], PairedSummary | None]


class Scores(Protocol):
    """Scores the last requests; :class:`monitor.shadow.rescoring.Rescoring` does."""

    async def score_recent(  # noqa: D102 - as there
        self,
        version: str,
        *,
        live: str | None = None,
        since: float = -math.inf,
        gathered: Gathered = at_once,
    ) -> PairedSummary: ...

    async def close(self) -> None: ...  # noqa: D102 - as there


def no_configured(_live: str, _to: str, _since: float) -> PairedSummary | None:
    """Know of no shadow that runs anyway."""
    return None


@dataclass(frozen=True, slots=True)
class _Kept:
    to: str
    summary: PairedSummary
    comparison: ShadowComparison
    until: float


class TargetComparisons:
    """Compares the version that serves with the rollback's target, one pair at a time.

    Parameters
    ----------
    recent
        The requests that are kept; the counting adds.
    rescoring
        Scores them.
    kept_s
        How long what was found counts.
    configured
        Asked first.
    told
        Told the verdict of each comparison that has ended.

    Attributes
    ----------
    on_end
        Told when a comparison has ended, whatever it found.
    """

    def __init__(
        self,
        recent: RecentRequests,
        rescoring: Scores,
        *,
        kept_s: float,
        configured: Configured = no_configured,
        monotonic: Callable[[], float] = time.monotonic,
        gather_s: float = GATHER_S,
        told: Callable[[str], None] = lambda _verdict: None,
    ) -> None:
        self.recent = recent
        self._rescoring = rescoring
        self._kept_s = kept_s
        self._configured = configured
        self._monotonic = monotonic
        self._gather_s = gather_s
        self._told = told
        self._kept: dict[str, _Kept] = {}
        self._since: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None
        self._about: tuple[str, str | None] = "", None
        self._next_suspicion = -math.inf
        self.on_end: Callable[[], None] = lambda: None

    def judged(self, version: str) -> Comparison | None:
        """Return whether the target answers a version's requests alike; None if not known."""
        kept = self._of(version)
        if kept is None or kept.summary.verdict == "unknown":
            return None
        return kept.summary.verdict

    def follow(
        self, version: str, begins: float, reports: Sequence[RuleReport], target: LikelyTarget
    ) -> None:
        """Take a judged window into account: begin with the first suspicion, forget with the last.

        Parameters
        ----------
        begins
            When the window begins: earlier requests say nothing of what is suspected.
        """
        rolling = [one for one in reports if one.action == "rollback"]
        if any(_suspects(one) for one in rolling):
            self._since.setdefault(version, begins)
            self._suspect(version, target)
        elif rolling and all(one.state == "ok" for one in rolling):
            self._since.pop(version, None)
            self._kept.pop(version, None)
            if self._about[0] == version:
                self._cancel()

    async def compare(self, live: str, to: str) -> ShadowComparison:
        """Return what was found of a target, or that it is being found out."""
        kept = self._of(live)
        if kept is not None and kept.to == to:
            return kept.comparison
        since = self._since.get(live, -math.inf)
        found = self._configured(live, to, since)
        if found is not None and found.verdict != "unknown":
            return self._keep(live, to, found)
        if not self._running or self._about not in ((live, to), (live, None)):
            self._begin(live, to, self._compare(live, to, since))
        detail = f"version {to} is being asked the last requests of version {live}"
        return ShadowComparison(to, 0, None, None, None, "pending", detail)

    async def close(self) -> None:
        """End what is under way."""
        task = self._task
        self._cancel()
        if task is not None:
            with suppress(asyncio.CancelledError):
                await task
        await self._rescoring.close()

    @property
    def _running(self) -> bool:
        return self._task is not None and not self._task.done()

    def _of(self, live: str) -> _Kept | None:
        kept = self._kept.get(live)
        return kept if kept is not None and self._monotonic() < kept.until else None

    def _suspect(self, live: str, target: LikelyTarget) -> None:
        now = self._monotonic()
        if self._running or self._of(live) is not None or now < self._next_suspicion:
            return
        self._next_suspicion = now + SUSPECT_PAUSE_S
        self._begin(live, None, self._compare_likely(live, target))

    async def _compare_likely(self, live: str, target: LikelyTarget) -> None:
        try:
            to = await target(live)
        except RegistryError as error:
            log.warning("no target of version %s can be compared: %s", live, error)
            return
        if to is not None:
            self._about = live, to
            await self._compare(live, to, self._since.get(live, -math.inf))

    async def _compare(self, live: str, to: str, since: float) -> None:
        log.info("version %s is asked the last requests of version %s", to, live)
        began = self._monotonic()
        found = await self._rescoring.score_recent(
            to, live=live, since=since, gathered=lambda: self._gathered(live, since)
        )
        log.info("%s, after %.1f s: %s", found.verdict, self._monotonic() - began, found.why)
        self._keep(live, to, found)

    async def _gathered(self, live: str, since: float) -> None:
        """Wait until there is enough to be asked: after a restart nothing is kept."""
        until = self._monotonic() + self._gather_s
        while self._monotonic() < until:
            if len(self.recent.of(live, since)) >= ENOUGH:
                break
            await asyncio.sleep(GATHER_PAUSE_S)

    def _keep(self, live: str, to: str, found: PairedSummary) -> ShadowComparison:
        comparison = comparison_of(found)
        told = comparison.verdict != "unknown"
        until = self._monotonic() + (self._kept_s if told else min(self._kept_s, UNTOLD_KEPT_S))
        # One version serves at a time.
        self._kept = {live: _Kept(to, found, comparison, until)}
        self._told(comparison.verdict)
        return comparison

    def _begin(self, live: str, to: str | None, work: Awaitable[None]) -> None:
        self._cancel()
        self._about = live, to
        self._task = asyncio.ensure_future(work)
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("comparing with a rollback's target failed", exc_info=error)
            live, to = self._about
            self._keep(live, to or "", unknown_summary(live, to or "", f"a fault: {error!r}"))
        if not task.cancelled():
            self.on_end()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._task, self._about = None, ("", None)


def _suspects(report: RuleReport) -> bool:
    return report.state in ("suspect", "breach") and about_answers(report.metric, report.column)
