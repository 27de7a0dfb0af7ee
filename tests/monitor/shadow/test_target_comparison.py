"""When a rollback's target is compared, what is kept of it, and for how long."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from collectors.batch import NumberColumn, PredictionBatch
from detectors.paired.comparison import PairedSummary, unknown_summary
from monitor.shadow.recent import RecentRequests
from monitor.shadow.rescoring import Gathered, at_once
from monitor.shadow.target_comparison import SUSPECT_PAUSE_S, UNTOLD_KEPT_S, TargetComparisons
from rollback.observation import RuleReport, RuleState

KEPT_S = 1_200.0


def found(live: str, to: str, verdict: str = "alike") -> PairedSummary:
    none = unknown_summary(live, to, "said so")
    return none if verdict == "unknown" else replace(none, n=300, verdict="alike")


@dataclass
class Target:
    """Answers when it is let; says who was asked since when."""

    verdict: str = "alike"
    fault: Exception | None = None
    asked: list[tuple[str, str, float]] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    let: asyncio.Event = field(default_factory=asyncio.Event)

    async def score_recent(
        self,
        version: str,
        *,
        live: str | None = None,
        since: float = -math.inf,
        gathered: Gathered = at_once,
    ) -> PairedSummary:
        self.asked.append((live or "", version, since))
        await gathered()
        try:
            await self.let.wait()
        finally:
            self.ended.append(version)
        if self.fault is not None:
            raise self.fault
        return found(live or "", version, self.verdict)

    async def close(self) -> None:
        """Nothing is left."""


@dataclass
class Scene:
    """Comparisons with a clock that stands, and requests enough."""

    target: Target = field(default_factory=Target)
    now: float = 0.0
    likely: str | None = "1"
    told: list[str] = field(default_factory=list)
    comparisons: TargetComparisons = field(init=False)

    def __post_init__(self) -> None:
        recent = RecentRequests(250)
        columns = {"prediction": NumberColumn(np.zeros(250))}
        times, ones = np.full(250, 100.0), np.ones(250)
        status = np.full(250, 200)
        recent.take(
            PredictionBatch(*("m", "2", "live", "model"), times, ones, status, ones, columns)
        )
        self.comparisons = TargetComparisons(
            recent, self.target, kept_s=KEPT_S, monotonic=lambda: self.now, told=self.told.append
        )

    def closes(self, state: RuleState, begins: float = 90.0, metric: str = "psi") -> None:
        column = "x" if metric == "psi" else ""
        report = RuleReport("r", "rollback", state, metric, column)
        self.comparisons.follow("2", begins, [report], self.likely_target)

    async def likely_target(self, _version: str) -> str | None:
        return self.likely

    async def settled(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)


async def test_suspicion_begins_it_and_the_gate_finds_it_ready() -> None:
    scene = Scene()
    scene.closes("suspect", begins=90.0)
    scene.closes("suspect", begins=95.0)
    await scene.settled()
    meanwhile = await scene.comparisons.compare("2", "1")

    scene.target.let.set()
    await scene.settled()

    assert meanwhile.verdict == "pending"
    assert scene.target.asked == [("2", "1", 90.0)]
    assert (await scene.comparisons.compare("2", "1")).verdict == "alike"
    assert scene.comparisons.judged("2") == "alike"
    assert scene.comparisons.judged("1") is None
    assert scene.told == ["alike"]


async def test_slow_answers_are_no_reason_to_compare_answers() -> None:
    scene = Scene()

    scene.closes("breach", metric="latency_p99")
    await scene.settled()

    assert scene.target.asked == []


async def test_without_suspicion_the_gate_begins_it() -> None:
    scene = Scene()

    first = await scene.comparisons.compare("2", "1")
    await scene.settled()
    again = await scene.comparisons.compare("2", "1")

    assert (first.verdict, again.verdict) == ("pending", "pending")
    assert scene.target.asked == [("2", "1", -math.inf)]


async def test_another_target_than_was_likely_is_compared_instead() -> None:
    scene = Scene(likely="0")
    scene.closes("suspect")
    await scene.settled()

    await scene.comparisons.compare("2", "1")
    scene.target.let.set()
    await scene.settled()

    assert scene.target.ended[0] == "0"
    assert (await scene.comparisons.compare("2", "1")).to_version == "1"


async def test_once_the_rules_are_well_it_is_ended_and_forgotten() -> None:
    scene, kept = Scene(), Scene()
    scene.closes("suspect")
    kept.closes("suspect")
    kept.target.let.set()
    await scene.settled()

    for one in (scene, kept):
        one.closes("unknown")
        one.closes("ok")
    await scene.settled()

    assert scene.target.ended == ["1"]
    assert scene.comparisons.judged("2") is None
    assert kept.comparisons.judged("2") is None


async def test_rules_that_come_and_go_do_not_load_the_target_each_time() -> None:
    scene = Scene()
    scene.target.let.set()
    for _ in range(5):
        scene.closes("suspect")
        await scene.settled()
        scene.closes("ok")
    scene.now += SUSPECT_PAUSE_S
    scene.closes("suspect")
    await scene.settled()

    assert len(scene.target.asked) == 2


@pytest.mark.parametrize(("verdict", "kept_s"), [("alike", KEPT_S), ("unknown", UNTOLD_KEPT_S)])
async def test_what_was_found_counts_for_a_while(verdict: str, kept_s: float) -> None:
    scene = Scene(Target(verdict))
    scene.target.let.set()
    await scene.comparisons.compare("2", "1")
    await scene.settled()

    scene.now += kept_s - 1
    before = await scene.comparisons.compare("2", "1")
    scene.now += 1
    after = await scene.comparisons.compare("2", "1")

    assert before.verdict == verdict
    assert after.verdict == "pending"


async def test_a_fault_is_an_answer_too_and_the_gate_does_not_ask_for_ever() -> None:
    scene = Scene(Target(fault=RuntimeError("boom")))
    scene.target.let.set()

    await scene.comparisons.compare("2", "1")
    await scene.settled()

    told = await scene.comparisons.compare("2", "1")
    assert (told.verdict, told.detail) == ("unknown", "a fault: RuntimeError('boom')")


async def test_whoever_waits_is_told_of_the_end_whatever_was_found() -> None:
    told: list[str] = []
    scenes = [Scene(), Scene(Target(fault=RuntimeError("boom"))), Scene()]
    for scene in scenes:
        scene.comparisons.on_end = lambda: told.append("ended")
        await scene.comparisons.compare("2", "1")
        await scene.settled()
    before = list(told)

    for scene in scenes[:2]:
        scene.target.let.set()
        await scene.settled()
    await scenes[2].comparisons.close()

    assert before == []
    assert told == ["ended", "ended"]


async def test_the_target_is_loaded_while_requests_are_still_waited_for() -> None:
    scene = Scene(likely="1")
    scene.closes("suspect", begins=1_000.0)
    await scene.settled()

    assert scene.target.asked == [("2", "1", 1_000.0)]
    await scene.comparisons.close()


async def test_closing_ends_what_is_under_way() -> None:
    scene = Scene()
    await scene.comparisons.compare("2", "1")
    await scene.settled()

    await scene.comparisons.close()

    assert scene.target.ended == ["1"]
