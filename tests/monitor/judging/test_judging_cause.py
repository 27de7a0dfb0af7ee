"""World or model, in the daemon's judging: what a window, its version and the others tell."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from collectors.batch import CategoryColumn, Column, NumberColumn, Schema
from detectors.cause import SETTLED_WINDOWS
from detectors.reference.reference import Reference
from detectors.rules.drift_rule import ColumnDrift
from detectors.rules.drift_spec import DriftSpec
from detectors.rules.rule import RuleSpec
from detectors.windows.pane import Pane
from detectors.windows.window import ClosedWindow
from monitor.judging.judging import Judge, Judged
from tests.detectors.batches import batch_of, reference_of

LENGTH_S = 60.0
ROWS = 2_000
PREDICTION_RULE = RuleSpec("answers", "psi", ("prediction",), above=0.1, min_events=50)
LATENCY_RULE = RuleSpec("slow", "latency_p50", above=100.0, min_events=50)
DRIFT = DriftSpec.of_budget(1, 1_000)
DRIFT_RULE = RuleSpec("any", "drift", ("*",), above=DRIFT.tolerance, min_events=50, drift=DRIFT)


def rows(
    rng: np.random.Generator,
    *,
    drift: float = 0.0,
    regress: float = 0.0,
    missing: float = 0.0,
    scale: float = 1.0,
) -> Mapping[str, Column]:
    """Two inputs that matter, one that does not, and a prediction that follows from the inputs."""
    age, fare, row_number = rng.normal(0, 1, (3, ROWS))
    age = age + drift
    prediction = age + 0.5 * fare + regress
    age = np.where(rng.random(ROWS) < missing, np.nan, age)
    plan = rng.choice(["gold", "basic"], ROWS).tolist()
    return {
        "age": NumberColumn(age),
        "fare": NumberColumn(fare),
        "noise": NumberColumn(row_number * scale),
        "plan": CategoryColumn(plan),
        "prediction": NumberColumn(prediction),
    }


@dataclass
class Traffic:
    """Windows of two versions, one after another, judged as in the daemon."""

    rules: Sequence[RuleSpec]
    reference: Reference | None = field(
        default_factory=lambda: reference_of(rows(np.random.default_rng(0)))
    )
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))
    number: int = 0
    latest: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.judge = self._judge()

    def _judge(self) -> Judge:
        return Judge(rules=self.rules, confidence=0.99, psi_bins=10)

    def restart(self) -> None:
        """Go on with what the store has kept."""
        self.judge = self._judge()
        self.judge.restore(
            {key: json.loads(json.dumps(state)) for key, state in self.latest.items()}
        )

    def window(self, *versions: str, latency_ms: float = 20.0, **how: float) -> dict[str, Judged]:
        """Close the next window of each version; what differs is `how` its rows are made."""
        begins = self.number * LENGTH_S
        self.number += 1
        judged = {}
        for version in versions:
            pane = Pane(self.reference, self.reference.schema() if self.reference else Schema({}))
            latency = self.rng.normal(latency_ms, 1, ROWS).tolist()
            batch = batch_of([begins] * ROWS, rows(self.rng, **how), latency_ms=latency)
            pane.add(batch)
            window = ClosedWindow("m", version, begins, begins + LENGTH_S, pane, LENGTH_S)
            judged[version] = self.judge.conclude(
                window,
                self.reference,
                rejected=0,
                late=0,
                events_by_version=dict.fromkeys(versions, ROWS),
            )
            self.latest |= judged[version].rule_states
        return judged

    def quiet(self, windows: int, *versions: str) -> None:
        for _ in range(windows):
            self.window(*versions)


def cause(judged: Judged, rule: str = "answers") -> Mapping[str, Any]:
    (incident,) = [one for one in judged.incidents if one["rule"] == rule]
    found: Mapping[str, Any] = json.loads(json.dumps(incident["evidence"]["cause"]))
    return found


def test_a_new_version_with_other_answers_to_the_same_inputs_is_the_model() -> None:
    traffic = Traffic([PREDICTION_RULE])
    traffic.quiet(5, "1")

    judged = traffic.window("2", regress=1.0)["2"]

    assert cause(judged)["origin"] == "model"
    assert cause(judged)["columns"] == []
    assert judged.reports[0].cause is not None
    assert judged.reports[0].cause.origin == "model"


def test_inputs_that_drift_and_answers_that_follow_are_the_world_with_the_columns_named() -> None:
    traffic = Traffic([PREDICTION_RULE])
    traffic.quiet(5, "1")

    found = cause(traffic.window("2", drift=1.0)["2"])

    assert found["origin"] == "world"
    (column,) = found["columns"]
    assert (column["column"], column["share"], column["verdict"]) == ("age", 1.0, "breach")
    assert column["value"] > 0.5
    assert "age" in found["because"]


def test_a_column_without_effect_may_have_one_beyond_the_range_of_the_reference() -> None:
    within, beyond = Traffic([PREDICTION_RULE]), Traffic([PREDICTION_RULE])
    for traffic in (within, beyond):
        traffic.quiet(5, "1")

    inside = cause(within.window("2", regress=1.0, scale=0.7)["2"])
    outside = cause(beyond.window("2", regress=1.0, scale=100.0)["2"])

    assert (inside["origin"], inside["columns"]) == ("model", [])
    assert outside["origin"] == "unknown"
    assert [one["column"] for one in outside["columns"]] == ["noise"]


def test_with_a_rule_of_drift_its_own_verdicts_are_the_evidence() -> None:
    traffic = Traffic([PREDICTION_RULE, DRIFT_RULE])
    traffic.quiet(5, "1")

    judged = traffic.window("1", drift=1.0)["1"]

    assert [cause(judged, rule)["origin"] for rule in ("answers", "any")] == ["world", "world"]
    drifted = {
        row["column"]: row["value"] for row in judged.row.measurements if row["metric"] == "drift"
    }
    assert cause(judged)["columns"][0]["value"] == drifted["age"]


def test_a_column_that_goes_missing_is_the_data_and_told_in_words() -> None:
    traffic = Traffic([PREDICTION_RULE])
    traffic.quiet(5, "1")

    found = cause(traffic.window("2", missing=0.4, regress=1.0)["2"])

    assert found["origin"] == "data"
    assert "age: missing in " in found["because"]
    assert "0% in the reference" in found["because"]


def test_both_versions_slow_is_the_platform_and_one_alone_is_the_model() -> None:
    common, alone = Traffic([LATENCY_RULE]), Traffic([LATENCY_RULE])
    for traffic in (common, alone):
        traffic.quiet(5, "1")

    common.window("1", "2", latency_ms=300)
    both = common.window("1", "2", latency_ms=300)
    alone.window("2", latency_ms=300)
    only = alone.window("2", latency_ms=300)["2"].reports[0]

    assert {one.reports[0].cause.origin for one in both.values() if one.reports[0].cause} == {
        "platform"
    }
    assert only.cause is not None
    assert only.cause.origin == "model"


def test_a_slow_version_waits_for_the_window_of_the_other_one() -> None:
    traffic = Traffic([LATENCY_RULE])
    traffic.quiet(5, "1")

    # Version 2's window closes before version 1's of the same time.
    first = traffic.window("2", "1", latency_ms=300)["2"]

    assert cause(first, "slow")["origin"] == "unknown"


def test_a_settled_version_that_slows_down_is_the_platform() -> None:
    traffic = Traffic([LATENCY_RULE])
    traffic.quiet(SETTLED_WINDOWS, "1")

    assert cause(traffic.window("1", latency_ms=300)["1"], "slow")["origin"] == "platform"


def test_the_first_version_ever_seen_is_not_taken_for_a_new_one() -> None:
    traffic = Traffic([PREDICTION_RULE])

    found = cause(traffic.window("1", regress=1.0)["1"])

    assert found["origin"] == "unknown"
    assert "not known how this version did before" in found["because"]


def test_without_a_reference_nothing_is_blamed() -> None:
    traffic = Traffic([LATENCY_RULE])
    traffic.quiet(1, "1")
    traffic.reference = None

    found = cause(traffic.window("1", latency_ms=300)["1"], "slow")

    assert found["origin"] == "unknown"
    assert found["columns"] == []


def test_windows_in_which_a_version_did_well_are_remembered_over_a_restart() -> None:
    traffic = Traffic([PREDICTION_RULE])
    traffic.quiet(5, "1")

    traffic.restart()
    found = cause(traffic.window("1", regress=1.0)["1"])

    assert found["origin"] == "unknown"
    assert "after 5 windows in which this version did well" in found["because"]


def test_what_was_told_of_a_breach_is_remembered_over_a_restart_and_told_as_it_clears() -> None:
    traffic = Traffic([PREDICTION_RULE])
    traffic.quiet(5, "1")
    told = cause(traffic.window("2", regress=1.0)["2"])

    traffic.restart()
    standing = traffic.judge.standings("2")[0].cause
    cleared = traffic.window("2")["2"]

    assert standing is not None
    assert standing.to_json() == told
    assert cleared.incidents[0]["kind"] == "cleared"
    assert cause(cleared) == told
    assert traffic.judge.standings("2")[0].cause is None


def test_a_quiet_window_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    traffic = Traffic([PREDICTION_RULE])
    looked: list[str] = []

    def look(*_: object) -> Sequence[ColumnDrift]:
        looked.append("at")
        return ()

    monkeypatch.setattr("monitor.judging.circumstances.Look.columns", look)

    traffic.quiet(3, "1")
    quiet = list(looked)
    traffic.window("1", regress=1.0)

    assert quiet == []
    assert looked == ["at"]


def test_a_rule_that_changed_knows_nothing_of_before() -> None:
    traffic = Traffic([PREDICTION_RULE])
    traffic.quiet(5, "1")

    traffic.judge.replace_rules([RuleSpec("answers", "psi", ("prediction",), above=0.2)])
    found = cause(traffic.window("1", regress=1.0)["1"])

    assert "not known how this version did before" in found["because"]
