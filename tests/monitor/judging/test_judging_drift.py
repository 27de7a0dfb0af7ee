"""A rule of drift in the daemon's judging: rows, incidents, and a memory that outlives restarts."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from detectors.reference.reference import Reference
from detectors.rules.drift_spec import DriftSpec
from detectors.rules.rule import RuleSpec
from detectors.windows.pane import Pane
from detectors.windows.window import ClosedWindow
from monitor.judging.judging import Judge, Judged
from monitor.metrics.catalogue import Metrics
from monitor.publishing.publishing import Publisher
from tests.detectors.batches import batch_of, reference_of
from tests.detectors.drifting import normals

LENGTH_S = 300.0
SPEC = DriftSpec.of_budget(1, 8_640, length_s=LENGTH_S)


def rule_of(name: str = "any", spec: DriftSpec = SPEC, columns: Sequence[str] = ("*",)) -> RuleSpec:
    return RuleSpec(name, "drift", tuple(columns), above=spec.tolerance, min_events=50, drift=spec)


def judge_of(*rules: RuleSpec) -> Judge:
    return Judge(rules=rules or (rule_of(),), confidence=0.99, psi_bins=10)


def reference_of_normals(columns: int = 3) -> Reference:
    return reference_of(normals(np.random.default_rng(0), 20_000, [0.0] * columns))


def concluded(
    judge: Judge,
    reference: Reference,
    rng: np.random.Generator,
    number: int,
    shifts: Sequence[float],
    *,
    rows: int = 2_000,
) -> Judged:
    begins = number * LENGTH_S
    pane = Pane(reference, reference.schema())
    pane.add(batch_of([begins] * rows, normals(rng, rows, shifts)))
    window = ClosedWindow("m", "7", begins, begins + LENGTH_S, pane, LENGTH_S)
    return judge.conclude(window, reference, rejected=0, late=0, events_by_version={})


def drift_rows(judged: Judged) -> dict[str, Mapping[str, Any]]:
    return {row["column"]: row for row in judged.row.measurements if row["metric"] == "drift"}


def stored(judged: Judged) -> dict[tuple[str, str], Mapping[str, Any]]:
    """What the store gives back of the states."""
    return {key: json.loads(json.dumps(state)) for key, state in judged.rule_states.items()}


def test_every_column_has_a_row_with_the_threshold_and_its_own_verdict() -> None:
    rng = np.random.default_rng(1)

    judged = concluded(judge_of(), reference_of_normals(), rng, 0, [0, 1.0, 0])

    rows = drift_rows(judged)
    assert {name: row["verdict"] for name, row in rows.items()} == {
        "c0": "ok",
        "c1": "breach",
        "c2": "ok",
        "(correlation)": "ok",
    }
    assert {row["threshold"] for row in rows.values()} == {SPEC.tolerance}
    assert rows["c1"]["low"] > SPEC.tolerance >= rows["c0"]["low"]
    assert rows["c1"]["n"] == 2_000


def test_the_incident_names_the_columns_and_what_says_so() -> None:
    rng = np.random.default_rng(2)
    judge, reference = judge_of(), reference_of_normals()
    concluded(judge, reference, rng, 0, [0, 0, 0])

    judged = concluded(judge, reference, rng, 1, [0, 1.0, 0.6])

    (incident,) = judged.incidents
    evidence = json.loads(json.dumps(incident["evidence"]))
    assert (incident["kind"], evidence["metric"], evidence["column"]) == (
        "confirmed",
        "drift",
        "c1",
    )
    assert [one["column"] for one in evidence["columns"]] == ["c1", "c2"]
    assert evidence["looks"] == ["window"]
    assert judged.reports[0].state == "breach"


def test_a_restart_goes_on_with_the_evidence_that_was_committed() -> None:
    rng = np.random.default_rng(3)
    reference = reference_of_normals()
    windows = [[0, 0.17 if number > 5 else 0, 0] for number in range(35)]
    whole, broken = judge_of(), judge_of()
    kept: dict[tuple[str, str], Mapping[str, Any]] = {}
    confirmed = 0

    for number, shifts in enumerate(windows):
        state = rng.bit_generator.state
        expected = concluded(whole, reference, rng, number, shifts)
        rng.bit_generator.state = state
        broken = judge_of()
        broken.restore(kept)
        actual = concluded(broken, reference, rng, number, shifts)
        kept |= stored(actual)

        assert actual == expected
        confirmed += sum(one["kind"] == "confirmed" for one in actual.incidents)

    assert confirmed >= 1


def test_what_is_remembered_goes_with_its_version_and_with_a_changed_rule() -> None:
    rng = np.random.default_rng(4)
    reference = reference_of_normals()
    judge = judge_of()
    for number in range(12):
        concluded(judge, reference, rng, number, [0, 0.5, 0])
    gathered = judge._drift._memories["any", "7"]

    judge.replace_rules([rule_of()])
    unchanged = judge._drift._memories["any", "7"]
    judge.replace_rules([rule_of(spec=DriftSpec.of_budget(2, 8_640, length_s=LENGTH_S))])
    changed = dict(judge._drift._memories)
    judge.restore({("any", "7"): {"drift": gathered.to_json(), **_UNKNOWN}})
    judge.forget(["7"])

    assert gathered.evidence.alarmed
    assert unchanged is gathered
    assert changed == {}
    assert judge._drift._memories == {}


_UNKNOWN: Mapping[str, Any] = {
    "history": [],
    "state": "unknown",
    "since": None,
    "opened": None,
    "confirmed": None,
}


def test_a_damaged_memory_begins_anew_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    judge = judge_of()

    with caplog.at_level(logging.WARNING, "kedge.judging"):
        judge.restore({("any", "7"): {"drift": {"format": 0}, **_UNKNOWN}})

    assert "begins to gather evidence of version 7 anew" in caplog.text
    drifted = concluded(judge, reference_of_normals(), np.random.default_rng(5), 0, [0, 1.0, 0])
    assert drifted.reports[0].state == "breach"


def test_of_two_rules_the_graver_verdict_on_a_column_stands_in_its_row() -> None:
    lenient = DriftSpec.of_budget(1, 8_640, length_s=LENGTH_S, tolerance=5.0, stable=9.0)
    judge = judge_of(rule_of("lenient", lenient), rule_of("strict", columns=["c1"]))

    judged = concluded(judge, reference_of_normals(), np.random.default_rng(6), 0, [0, 1.0, 0])

    rows = drift_rows(judged)
    assert {name: row["verdict"] for name, row in rows.items()} == {
        "c0": "ok",
        "c1": "breach",
        "c2": "ok",
        "(correlation)": "ok",
    }
    assert (rows["c1"]["threshold"], rows["c0"]["threshold"]) == (SPEC.tolerance, 5.0)


def test_the_page_shows_drift_with_its_bounds_and_threshold() -> None:
    judged = concluded(judge_of(), reference_of_normals(), np.random.default_rng(7), 0, [0, 1.0, 0])
    metrics = Metrics(columns_max=10, versions_max=5)

    Publisher("m", metrics).set_window(judged.row.window, judged.row.measurements)

    page = metrics.page.render("")[0].decode()
    for name in ("statistic", "low", "high"):
        assert f'kedge_drift_{name}{{column="c1",metric="drift",model="m",version="7"}}' in page
    assert 'kedge_drift_threshold{column="c1",metric="drift",model="m"} 0.0005' in page
