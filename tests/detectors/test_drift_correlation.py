"""The rule over all columns takes their correlations for one more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks.streams import QUIET, drifting, quiet
from collectors.batch import Schema
from detectors.kinds import DRIFT, measure
from detectors.rules.drift_rule import Drift, DriftRule, DriftWindow
from detectors.rules.drift_spec import DriftSpec
from detectors.rules.judgement import RuleSpec
from detectors.statistics.correlation import CORRELATION, correlations_of
from detectors.windows.pane import Pane
from tests.detectors.batches import batch_of, reference_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.streams import Stream

#: One false alarm in a thousand windows.
SPEC = DriftSpec.of_budget(1, 1_000)


def judged(stream: Stream, *, columns: tuple[str, ...] = ("*",), joint: bool = True) -> list[Drift]:
    rule = DriftRule(
        RuleSpec("drift", DRIFT, columns, above=SPEC.tolerance, drift=SPEC),
        confidence=0.99,
        psi_bins=10,
    )
    reference = reference_of(stream.reference)
    memory, drifts = None, []
    for number, pane in enumerate(panes(stream, joint=joint)):
        found = measure(pane, reference, seconds=60.0, confidence=0.99)
        window = DriftWindow(
            pane.columns,
            pane.events,
            60.0 * number,
            found,
            correlations=correlations_of(pane.joint, reference),
        )
        drifts.append(rule.judge(window, reference, memory))
        memory = drifts[-1].memory
    return drifts


def panes(stream: Stream, *, joint: bool) -> Iterator[Pane]:
    reference = reference_of(stream.reference)
    for start in range(0, len(next(iter(stream.rows.values())).values), stream.window):
        part = slice(start, start + stream.window)
        pane = Pane(reference, Schema({}), joint=joint)
        columns = {name: column.take(part) for name, column in stream.rows.items()}
        pane.add(batch_of([1.0] * stream.window, columns))
        yield pane


@pytest.mark.parametrize("size", ["medium", "large"])
def test_a_change_of_correlation_only_is_found_in_the_first_window_and_named(size: str) -> None:
    stream = drifting("correlation only", size, 1, windows=6)  # type: ignore[arg-type]  # as listed

    drifts = judged(stream)

    assert [one.judgement.verdict == "breach" for one in drifts] == [False] * 3 + [True] * 3
    for drift in drifts[3:]:
        (named,) = drift.evidence()["columns"]
        assert named["column"] == drift.judgement.column == CORRELATION
        assert named["pair"] == ["income", "score"]
        assert (named["share"], named["looks"], named["evidence_log10"]) == (1.0, ["window"], None)
        assert named["low"] > SPEC.tolerance


@pytest.mark.parametrize(
    ("columns", "joint"), [(("*",), False), (("score", "income"), True)], ids=["off", "unnamed"]
)
def test_correlations_that_are_not_counted_or_not_named_take_no_part(
    *, columns: tuple[str, ...], joint: bool
) -> None:
    stream = drifting("correlation only", "large", 1, windows=6)

    drifts = judged(stream, columns=columns, joint=joint)

    assert CORRELATION not in {one.column for drift in drifts for one in drift.columns}
    assert all(drift.judgement.verdict != "breach" for drift in drifts)


def test_a_small_window_leaves_correlations_out() -> None:
    stream = quiet("independent normal", 1, window=40, windows=2)

    drifts = judged(stream)

    assert CORRELATION not in {one.column for drift in drifts for one in drift.columns}


def test_a_large_quiet_window_is_proven_stable_with_its_correlations() -> None:
    stream = quiet("independent normal", 1, window=5_000, windows=2)

    drifts = judged(stream)

    assert [drift.judgement.verdict for drift in drifts] == ["ok", "ok"]
    assert {drift.columns[-1].column for drift in drifts} == {CORRELATION}


@pytest.mark.slow
@pytest.mark.parametrize("family", QUIET)
def test_correlations_add_no_false_alarm_to_quiet_traffic(family: str) -> None:
    alarms = sum(
        any(one.column == CORRELATION and one.verdict == "breach" for one in drift.columns)
        for seed in range(20)
        for drift in judged(quiet(family, seed, windows=20))
    )

    print(f"{family}: {alarms} of 400 windows")  # noqa: T201 - with -s
    # Two are met in 400 windows with probability 0.02, were the whole budget spent on them.
    assert alarms <= np.ceil(400 * SPEC.level) + 1
