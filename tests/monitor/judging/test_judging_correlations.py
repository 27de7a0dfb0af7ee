"""A rule on `correlation_shift`: what it says, and what its incident names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.streams import drifting
from collectors.batch import Schema
from detectors.rules.judgement import RuleSpec
from detectors.windows.pane import Pane
from detectors.windows.window import ClosedWindow
from monitor.judging.judging import Judge
from tests.detectors.batches import batch_of, reference_of

if TYPE_CHECKING:
    from monitor.judging.judging import Judged

RULE = RuleSpec("together", "correlation_shift", above=0.25, min_events=100)


def concluded(*, joint: bool = True) -> list[Judged]:
    """Judge six windows, of which the latter three have another correlation."""
    stream = drifting("correlation only", "medium", 1, windows=6)
    reference = reference_of(stream.reference)
    judge = Judge(rules=[RULE], confidence=0.99, psi_bins=10)
    found = []
    for number in range(6):
        part = slice(500 * number, 500 * (number + 1))
        pane = Pane(reference, Schema({}), joint=joint)
        columns = {name: column.take(part) for name, column in stream.rows.items()}
        pane.add(batch_of([1.0] * 500, columns))
        window = ClosedWindow("m", "7", 60.0 * number, 60.0 * (number + 1), pane, 60.0)
        found.append(
            judge.conclude(window, reference, rejected=0, late=0, events_by_version={"7": 500})
        )
    return found


def test_the_rule_breaches_where_the_correlation_changed_and_its_incident_names_the_pair() -> None:
    found = concluded()

    verdicts = [
        next(row for row in one.row.measurements if row["metric"] == "correlation_shift")["verdict"]
        for one in found
    ]
    (incident,) = [incident for one in found for incident in one.incidents]
    evidence = json.loads(json.dumps(incident["evidence"]))
    assert verdicts == ["ok"] * 3 + ["breach"] * 3
    assert (incident["at"], evidence["pair"]) == (240.0, ["income", "score"])
    assert np.isclose(evidence["value"], 0.6, atol=0.1)


def test_without_counted_correlations_the_rule_is_unknown() -> None:
    found = concluded(joint=False)

    assert {report.state for one in found for report in one.reports} == {"unknown"}
    assert all(
        row["metric"] != "correlation_shift" for one in found for row in one.row.measurements
    )
