"""The rule over all columns: what it finds, what it lets pass, and what it remembers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from collectors.batch import CategoryColumn, Column, NumberColumn
from detectors.rules.drift_memory import DriftMemory
from detectors.rules.drift_rule import Drift, DriftRule
from detectors.rules.drift_spec import DriftSpec
from detectors.rules.judgement import RuleSpec
from tests.detectors.batches import reference_of
from tests.detectors.drifting import (
    LENGTH_S,
    Stream,
    mixed,
    mixed_reference,
    normals,
    rule_of,
    window_of,
)

SPEC = DriftSpec.of_budget(1, 8_640, length_s=LENGTH_S)


def by_column(drift: Drift) -> dict[str, str]:
    return {one.column: one.verdict for one in drift.columns}


def quiet_stream(seed: int, *, rows: int = 20_000, spec: DriftSpec = SPEC) -> Stream:
    return Stream(rule_of(spec), mixed_reference(np.random.default_rng(seed), rows))


def test_a_quiet_window_with_rows_enough_is_proven_stable() -> None:
    stream = quiet_stream(0)

    drift = stream.next(mixed(np.random.default_rng(1), 5_000))

    assert set(by_column(drift).values()) == {"ok"}
    assert (drift.judgement.verdict, drift.judgement.clears) == ("ok", True)
    assert drift.judgement.threshold == SPEC.tolerance
    assert drift.evidence()["columns"] == []


def test_a_small_quiet_window_is_not_enough_data() -> None:
    stream = quiet_stream(0)

    drift = stream.next(mixed(np.random.default_rng(1), 60))

    assert drift.judgement.verdict == "unknown"
    assert not drift.judgement.clears


@pytest.mark.parametrize("seed", range(3))
def test_drifted_columns_are_named_worst_first_with_their_shares(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stream = quiet_stream(seed)
    window = mixed(rng, 5_000)
    window["amount"] = NumberColumn(rng.lognormal(sigma=1.0, mean=1.0, size=5_000))
    window["few"] = NumberColumn(rng.poisson(2.2, 5_000).astype(float))

    drift = stream.next(window)

    assert drift.judgement.verdict == "breach"
    assert drift.judgement.column == "amount"
    named = drift.evidence()["columns"]
    assert [one["column"] for one in named] == ["amount", "few"]
    assert named[0]["share"] > 0.5 > named[1]["share"]
    assert sum(one["share"] for one in named) == pytest.approx(1)
    assert drift.evidence()["looks"] == ["window"]
    assert by_column(drift)["plan"] == "ok"


def test_a_row_breaches_just_where_its_lower_bound_exceeds_the_tolerance() -> None:
    rng = np.random.default_rng(3)
    shifts = np.linspace(0, 0.5, 40).tolist()
    stream = Stream(rule_of(SPEC), reference_of(normals(rng, 20_000, [0.0] * 40)))

    for _ in range(6):
        drift = stream.next(normals(rng, 3_000, shifts))

        for one in drift.columns:
            low, value, high = one.estimate.low, one.estimate.value, one.estimate.high
            assert low is not None
            assert value is not None
            assert high is not None
            assert (one.verdict == "breach") == (low > SPEC.tolerance)
            assert 0 <= low <= value <= high
    assert {"breach", "ok"} <= set(by_column(drift).values())


def test_a_drift_too_small_to_act_upon_is_quiet_at_any_size() -> None:
    rng = np.random.default_rng(4)
    stream = Stream(rule_of(SPEC), reference_of(normals(rng, 20_000, [0.0])))

    for _ in range(40):
        drift = stream.next(normals(rng, 100_000, [0.03]))

        assert drift.judgement.verdict == "ok"


def test_a_creep_that_no_window_proves_is_proven_by_many() -> None:
    rng = np.random.default_rng(5)
    stream = Stream(rule_of(SPEC), reference_of(normals(rng, 100_000, [0.0] * 5)))
    for _ in range(20):
        assert stream.next(normals(rng, 1_000, [0.0] * 5)).judgement.verdict != "breach"

    found = [stream.next(normals(rng, 1_000, [0, 0, 0.1, 0, 0])) for _ in range(60)]

    breaches = [one for one in found if one.judgement.verdict == "breach"]
    assert breaches
    for one in breaches:
        named = one.evidence()
        assert one.judgement.column == "c2"
        assert "evidence" in named["looks"]
        assert named["columns"][0]["evidence_log10"] > 3
    assert breaches[-1].evidence()["looks"] == ["evidence"]


def test_it_recovers_when_the_drift_ends() -> None:
    rng = np.random.default_rng(6)
    stream = Stream(rule_of(SPEC), reference_of(normals(rng, 20_000, [0.0] * 3)))
    for _ in range(30):
        drift = stream.next(normals(rng, 2_000, [0, 0.5, 0]))
    assert drift.evidence()["looks"] == ["evidence", "window"]

    after = [stream.next(normals(rng, 2_000, [0.0] * 3)).judgement.verdict for _ in range(20)]

    assert after[-1] == "ok"


def test_a_restart_between_any_two_windows_changes_no_verdict() -> None:
    rng = np.random.default_rng(7)
    reference = reference_of(normals(rng, 20_000, [0.0] * 3))
    windows = [normals(rng, 1_500, [0, 0.2 if i > 10 else 0.0, 0]) for i in range(30)]
    whole, broken = Stream(rule_of(SPEC), reference), Stream(rule_of(SPEC), reference)

    for columns in windows:
        if broken.memory is not None:
            kept = json.loads(json.dumps(broken.memory.to_json()))
            broken.rule, broken.memory = rule_of(SPEC), DriftMemory.from_json(kept)

        expected, actual = whole.next(columns), broken.next(columns)

        assert actual.judgement == expected.judgement
        assert actual.columns == expected.columns
    assert expected.evidence()["looks"] != []


@pytest.mark.parametrize(
    "damage",
    [{"format": 99}, {"past": "AAAA"}, {"past": "%"}, {"columns": "three"}, {"columns": -1}],
    ids=["of a later program", "short", "no base64", "no number", "negative"],
)
def test_a_damaged_memory_is_told(damage: dict[str, object]) -> None:
    stream = quiet_stream(0)
    memory = stream.next(mixed(np.random.default_rng(1), 500)).memory
    assert memory is not None

    with pytest.raises(ValueError, match="stored evidence"):
        DriftMemory.from_json(memory.to_json() | damage)


def test_evidence_against_another_reference_is_let_go() -> None:
    rng = np.random.default_rng(8)
    stream = Stream(rule_of(SPEC), reference_of(normals(rng, 20_000, [0.0])))
    for _ in range(20):
        stream.next(normals(rng, 2_000, [0.4]))
    assert stream.memory is not None
    assert stream.memory.evidence.alarmed

    stream.reference = reference_of(normals(rng, 20_000, [0.4]))
    drift = stream.next(normals(rng, 2_000, [0.4]))

    assert drift.judgement.verdict == "ok"
    assert drift.memory is not None
    assert not drift.memory.evidence.alarmed


@pytest.mark.parametrize("kind", ["time", "events"])
def test_rows_of_windows_that_overlap_are_gathered_once(kind: str) -> None:
    rng = np.random.default_rng(9)
    reference = reference_of(normals(rng, 5_000, [0.0]))
    length_s = LENGTH_S if kind == "time" else None
    rule = rule_of(replace(SPEC, length_s=length_s, panes=5))
    memory, gathered = None, []

    for number in range(15):
        window = window_of(reference, normals(rng, 100, [0.0]), begins=1e9 + number * LENGTH_S / 5)
        memory = rule.judge(window, reference, memory).memory
        assert memory is not None
        gathered.append(float(memory.evidence.past_squares.sum()))

    assert len(set(gathered) - {0.0}) == 3


def test_few_events_add_up_although_no_window_has_enough() -> None:
    rng = np.random.default_rng(10)
    reference = reference_of(normals(rng, 20_000, [0.0]))
    stream = Stream(rule_of(SPEC, min_events=300), reference)

    found = [stream.next(normals(rng, 100, [0.6])) for _ in range(30)]

    assert found[0].judgement.verdict == "unknown"
    assert found[-1].judgement.verdict == "breach"
    assert found[-1].evidence()["looks"] == ["evidence"]


def test_one_outlier_changes_nothing_beyond_its_row() -> None:
    rng = np.random.default_rng(11)
    reference = reference_of(normals(rng, 20_000, [0.0]))
    values = rng.normal(0.4, size=3_000)
    verdicts = []

    for outlier in (6.0, 1e9, float("inf")):
        values[17] = outlier
        stream = Stream(rule_of(SPEC), reference)
        verdicts.append(stream.next({"c0": NumberColumn(values.copy())}).columns)

    assert verdicts[0] == verdicts[1] == verdicts[2]


def test_an_outlier_in_the_reference_hides_nothing() -> None:
    rng = np.random.default_rng(12)
    values = rng.normal(size=20_000)
    values[0] = 1e9
    stream = Stream(rule_of(SPEC), reference_of({"c0": NumberColumn(values)}))

    assert stream.next(normals(rng, 3_000, [0.4])).judgement.verdict == "breach"


def test_a_column_that_goes_is_drift_and_one_that_comes_is_none() -> None:
    stream = quiet_stream(13)
    window = mixed(np.random.default_rng(14), 2_000)
    del window["plan"]
    window["newcomer"] = NumberColumn(np.arange(2_000.0))

    drift = stream.next(window)

    assert by_column(drift)["plan"] == "breach"
    assert "newcomer" not in by_column(drift)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("constant", NumberColumn(np.full(2_000, 7.1))),
        ("constant", NumberColumn(np.full(2_000, np.nan))),
        ("amount", NumberColumn(np.full(2_000, 1.0))),
        ("half", NumberColumn(np.full(2_000, np.nan))),
        ("plan", CategoryColumn(["bronze"] * 2_000)),
        ("plan", NumberColumn(np.zeros(2_000))),
    ],
    ids=["moved constant", "empty", "now constant", "all missing", "new category", "other kind"],
)
def test_what_becomes_of_a_column_is_told(
    column: str, values: NumberColumn | CategoryColumn
) -> None:
    stream = quiet_stream(15)
    window = mixed(np.random.default_rng(16), 2_000)
    window[column] = values

    drift = stream.next(window)

    assert [name for name, verdict in by_column(drift).items() if verdict == "breach"] == [column]


def test_columns_that_were_empty_all_along_are_stable() -> None:
    nothing: dict[str, Column] = {
        "n": NumberColumn(np.full(5_000, np.nan)),
        "c": CategoryColumn([None] * 5_000),
    }
    stream = Stream(rule_of(SPEC), reference_of(nothing))

    for _ in range(3):
        assert stream.next(nothing).judgement.verdict == "ok"


def test_a_window_without_rows_is_unknown_and_adds_nothing() -> None:
    stream = quiet_stream(17)
    before = stream.next(mixed(np.random.default_rng(18), 500)).memory

    drift = stream.next({})

    assert drift.judgement.verdict == "unknown"
    assert before is not None
    assert drift.memory is not None
    assert drift.memory.evidence is before.evidence


@pytest.mark.parametrize("on_missing", ["unknown", "breach", "ok"])
def test_without_a_reference_on_missing_is_the_verdict(on_missing: str) -> None:
    reference = mixed_reference(np.random.default_rng(19), 500)
    window = window_of(reference, mixed(np.random.default_rng(20), 500))
    rule = rule_of(SPEC, on_missing=on_missing)  # type: ignore[arg-type]  # one of the three

    drift = rule.judge(window, None, None)

    assert drift.judgement.verdict == on_missing
    assert drift.memory is None


def test_only_the_columns_of_the_rule_are_looked_at() -> None:
    rng = np.random.default_rng(21)
    reference = reference_of(normals(rng, 20_000, [0.0] * 3))
    stream = Stream(rule_of(SPEC, columns=("c[01]",)), reference)

    drift = stream.next(normals(rng, 2_000, [0, 0, 3.0]))

    assert set(by_column(drift)) == {"c0", "c1"}
    assert drift.judgement.verdict != "breach"


def test_a_rule_of_no_column_of_the_reference_has_nothing_to_judge() -> None:
    stream = quiet_stream(22)
    stream.rule = rule_of(SPEC, columns=("nobody",))

    assert stream.next(mixed(np.random.default_rng(23), 500)).judgement.verdict == "unknown"


def test_a_rule_that_does_not_say_how_often_it_may_be_wrong_is_refused() -> None:
    with pytest.raises(ValueError, match="how often"):
        DriftRule(RuleSpec("r", "drift", ("*",), above=0.1), confidence=0.99, psi_bins=10)


@pytest.mark.parametrize(
    "wrong",
    [{"level": 0.0}, {"level": 1.0}, {"run_length": 1.0}, {"tolerance": 0.0}, {"panes": 0}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_promise_that_nobody_can_keep_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        DriftSpec(**({"level": 1e-4, "run_length": 100.0} | wrong))  # type: ignore[arg-type]  # wrong on purpose
