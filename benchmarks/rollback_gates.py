"""World drift against model regression: how often the gates let a rollback through, and when not.

    python -m benchmarks.rollback_gates [--seeds 20] [--rows 2000] [--rules close] [--shadow]

Each scenario is traffic of a model with two versions, both nonlinear in columns that depend on one
another; version 1 serves, then version 2 is deployed, on all of the traffic or on half of it.
Each version has a reference of its own, of rows from before. In half of the scenarios the version
got worse (`REGRESSIONS`: a rollback is right), in the other half something else happened
(`WORLDS`: a rollback is wrong). The windows go through the daemon's judging and the decision in
mode ``act``, both as they are, and a registry that always answers. With ``--shadow``, version 1 is
asked the requests of the window that turned suspicious, as the daemon does it; without labels.

``--rules`` are those that may roll back: ``init`` what `kedge init` writes (drift of the prediction
that is surely above 0.02, 2 of 3), ``drift`` any drift of it that is sure (2 of 3), ``close`` a PSI
above 0.1 (2 of 3), ``far`` one above 0.25 (3 of 4), each beside latency and errors.

Of each kind it prints how many scenarios had a confirmed breach of a rule that rolls back, how many
were rolled back, and what refused the others. `BEYOND` is printed beside and not counted: what
cannot be told without a shadow. That is regressions long after the deployment, of which no column
and no moment tells, and a world that changes in no way that a column or a correlation of numbers
shows, just as the version comes.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.random import Generator

from benchmarks.gate_scenarios import (
    ALONE,
    BEYOND,
    COLUMNS,
    LENGTH_S,
    MODEL,
    NEW,
    OLD,
    REGRESSIONS,
    WINDOWS,
    WORLDS,
    How,
    Scenario,
    answers,
    batch_of,
    numbers_of,
    versions_of,
)
from collectors.batch import Floats, NumberColumn, PredictionBatch
from collectors.registry.client import ModelVersion
from detectors.cause import Comparison
from detectors.paired.answers import PairedAnswer, PairedAnswers
from detectors.paired.comparison import PairedSummary, summarise
from detectors.rules.drift_spec import DriftSpec
from detectors.rules.rule import RuleSpec
from detectors.windows.pane import Pane
from detectors.windows.window import ClosedWindow
from monitor.judging.circumstances import no_shadow
from monitor.judging.judging import Judge
from monitor.settings.initial_config import ACTING_TOLERANCE
from monitor.settings.shadow import RECENT
from monitor.shadow.gate import comparison_of
from rollback.better import ShadowComparison, about_answers, is_asked
from rollback.command import Act, Command, Precheck, ReadRegistry
from rollback.decision import step
from rollback.observation import (
    Observation,
    Prechecked,
    RegistryRead,
    RuleReport,
    StepDone,
    WindowsClosed,
)
from rollback.policy import Policy
from rollback.record import RollbackRecord
from rollback.state import State

DRIFT = DriftSpec.of_budget(1, 1_000)
INIT = DriftSpec.of_budget(1, 1_000, tolerance=ACTING_TOLERANCE)
_rolling = partial(RuleSpec, needed=2, of=3, min_events=300, action="rollback")
_COMMON = (
    _rolling("slow", "latency_p95", above=100.0),
    _rolling("errors", "error_ratio", above=0.05),
    RuleSpec("any-drift", "drift", ("*",), above=DRIFT.tolerance, min_events=300, drift=DRIFT),
)
_ANSWERS = ("prediction",)
RULES: Mapping[str, Sequence[RuleSpec]] = {
    "init": (_rolling("answers", "drift", _ANSWERS, above=INIT.tolerance, drift=INIT), *_COMMON),
    "far": (_rolling("answers", "psi", _ANSWERS, above=0.25, needed=3, of=4), *_COMMON),
    "close": (_rolling("answers", "psi", _ANSWERS, above=0.1), *_COMMON),
    "drift": (
        _rolling("answers", "drift", _ANSWERS, above=DRIFT.tolerance, drift=DRIFT),
        *_COMMON,
    ),
}
POLICY = Policy(mode="act", target="previous")


@dataclass
class Registry:
    """Answers the decision at once, and writes down what it was asked to do."""

    state: State = field(default_factory=lambda: State(MODEL, ("mlflow-alias",)))
    alias: str = NEW
    acted: bool = False
    shadow: ShadowComparison | None = None
    refusals: Counter[str] = field(default_factory=Counter)

    def tell(self, observation: Observation, now: float) -> None:
        """Tell the decision, and answer until it asks for nothing any more."""
        waiting = deque([observation])
        while waiting:
            state = replace(self.state, next_id=f"{time.monotonic_ns()}")
            self.state, commands = step(state, waiting.popleft(), POLICY, now)
            waiting.extend(one for one in map(self._answer, commands) if one is not None)

    def _answer(self, command: Command) -> Observation | None:
        match command:
            case ReadRegistry():
                versions = tuple(ModelVersion(MODEL, name, "READY") for name in (NEW, OLD))
                return RegistryRead(self.alias, versions, reads=dict.fromkeys((OLD, NEW), _ALL))
            case Precheck():
                return Prechecked(command.record_id, shadow=self._asked())
            case Act():
                self.acted, self.alias = True, command.to_version
                return StepDone(command.record_id, command.step)
        record: RollbackRecord | None = getattr(command, "record", None)
        if record is not None and record.refusal is not None:
            cause = record.evidence.get("cause", {}).get("origin", "-")
            self.refusals[f"{record.refusal.gate}: {cause}"] += 1
        return None

    def _asked(self) -> ShadowComparison | None:
        record, how = self.state.record, POLICY.gates.better_on_shadow
        asked = record is not None and is_asked(how, record.evidence, manual=False)
        return self.shadow if asked else None


_ALL = frozenset(COLUMNS)


class Shadow:
    """Asks version 1 the requests of version 2 once a rule is suspicious, as the daemon does."""

    def __init__(self, random: Generator, weights: Floats) -> None:
        self._random = random
        self._weights = weights
        self.found: PairedSummary | None = None

    def judged(self, version: str) -> Comparison | None:
        """Return what the causes of breaches are told."""
        if version != NEW or self.found is None or self.found.verdict == "unknown":
            return None
        return self.found.verdict

    def follow(self, batch: PredictionBatch, reports: Sequence[RuleReport]) -> None:
        """Take a judged window of version 2 into account."""
        mine = [one for one in reports if one.action == "rollback"]
        answers_in_breach = any(
            one.state in ("suspect", "breach") and about_answers(one.metric, one.column)
            for one in mine
        )
        if answers_in_breach and self.found is None:
            self.found = self._compared(batch)
        elif all(one.state == "ok" for one in mine):
            self.found = None

    def _compared(self, batch: PredictionBatch) -> PairedSummary:
        batch = batch.answered()
        rows = np.linspace(0, batch.rows - 1, min(RECENT, batch.rows)).astype(np.int64)
        kept, counts = batch.pick(rows), PairedAnswers()
        theirs = answers(self._random, self._weights, numbers_of(kept), How())
        mine = kept.columns["prediction"]
        assert isinstance(mine, NumberColumn)
        for live, target in zip(mine.values.tolist(), theirs.tolist(), strict=True):
            counts.add(PairedAnswer(live, target, None), 0.0, tolerance=0.0)
        return summarise(counts, live=NEW, other=OLD, confidence=0.99)


@dataclass(frozen=True, slots=True)
class Result:
    """How one scenario ended."""

    breached: bool
    rolled_back: bool
    refusals: tuple[str, ...]


def play(
    scenario: Scenario, seed: int, rows: int, rules: str = "close", *, shadowed: bool = False
) -> Result:
    """Play a scenario to its end, or to the rollback."""
    versions = versions_of(seed)
    random = np.random.default_rng([seed, 1])
    shadow = Shadow(np.random.default_rng([seed, 2]), versions[OLD][0]) if shadowed else None
    judge = Judge(
        rules=RULES[rules],
        confidence=0.99,
        psi_bins=10,
        shadow=no_shadow if shadow is None else shadow.judged,
    )
    registry, breached = Registry(), False
    for number in range(WINDOWS):
        serving = [OLD] if number < ALONE else [OLD, NEW] if scenario.canary else [NEW]
        begins = number * LENGTH_S
        for version in serving:
            weights, reference = versions[version]
            how = scenario.at(number, version)
            pane = Pane(reference, reference.schema())
            batch = batch_of(random, weights, how, version, begins, rows // len(serving))
            pane.add(batch)
            judged = judge.conclude(
                ClosedWindow(MODEL, version, begins, begins + LENGTH_S, pane, LENGTH_S),
                reference,
                rejected=0,
                late=0,
                events_by_version=dict.fromkeys(serving, rows // len(serving)),
            )
            breached |= version == NEW and any(
                one.state == "breach" and one.action == "rollback" for one in judged.reports
            )
            if shadow is not None and version == NEW:
                shadow.follow(batch, judged.reports)
                registry.shadow = None if shadow.found is None else comparison_of(shadow.found)
            window = WindowsClosed(
                version, begins, begins + LENGTH_S, judged.reports, judged.events_by_version
            )
            registry.tell(window, begins + LENGTH_S)
        if registry.acted:
            break
    return Result(breached, registry.acted, tuple(registry.refusals))


def of_seed(
    seed: int, rows: int, rules: str = "close", *, shadowed: bool = False
) -> list[tuple[str, str, Result]]:
    """Play every kind with one seed."""
    groups = {"world": WORLDS, "model": REGRESSIONS, "beyond": BEYOND}
    return [
        (group, kind, play(scenario, seed, rows, rules, shadowed=shadowed))
        for group, kinds in groups.items()
        for kind, scenario in kinds.items()
    ]


def table(found: Sequence[tuple[str, str, Result]]) -> Iterator[str]:
    """Yield the lines of the report."""
    yield "| scenario | of | in breach | rolled back | refused by |"
    yield "| --- | ---: | ---: | ---: | --- |"
    for group, kind in dict.fromkeys((group, kind) for group, kind, _ in found):
        results = [one for of, name, one in found if (of, name) == (group, kind)]
        refusals = Counter(why for one in results if not one.rolled_back for why in one.refusals)
        told = ", ".join(f"{why} ({count})" for why, count in refusals.most_common())
        breached, back = _count(results, "breached"), _count(results, "rolled_back")
        yield f"| {group}: {kind} | {len(results)} | {breached} | {back} | {told} |"
    yield ""
    world, model = ([one for of, _, one in found if of == group] for group in ("world", "model"))
    false, right = _count(world, "rolled_back"), _count(model, "rolled_back")
    yield "| | rolled back | left alone |"
    yield "| --- | ---: | ---: |"
    yield f"| the version got worse | {right} | {len(model) - right} |"
    yield f"| something else happened | {false} | {len(world) - false} |"
    unseen = sum(not one.breached for one in model)
    refused = len(model) - right - unseen
    yield ""
    yield f"Wrongly left alone: {unseen} breached no rule, a gate refused {refused}."


def _count(results: Sequence[Result], name: str) -> int:
    return sum(getattr(one, name) for one in results)


def main() -> None:
    """Play all scenarios and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--rows", type=int, default=2_000, help="of a window")
    parser.add_argument("--rules", choices=list(RULES), default="close", help="that roll back")
    parser.add_argument("--shadow", action="store_true", help="ask version 1 the same requests")
    parser.add_argument("--jobs", type=int, default=None, help="processes")
    asked = parser.parse_args()
    how = {"rows": asked.rows, "rules": asked.rules, "shadowed": asked.shadow}
    began = time.monotonic()
    with ProcessPoolExecutor(asked.jobs) as pool:
        played = pool.map(partial(of_seed, **how), range(asked.seeds))
        found = [one for results in played for one in results]
    print("\n".join(table(found)))
    print(f"\n{len(found)} scenarios, {asked.rows} rows a window, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
