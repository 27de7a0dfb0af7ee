"""Rules over windows."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.measurement import Measurement
from detectors.rules.rule import (
    Judgement,
    RuleEvent,
    RuleSpec,
    RuleState,
    Verdict,
    advance,
    judge,
)


def measured(
    low: float | None,
    high: float | None,
    *,
    column: str | None = "x",
    metric: str = "psi",
    value: float | None = 0.2,
) -> Measurement:
    return Measurement(metric, column, value, low, high, None, 1_000)


ABOVE = RuleSpec("drift", "psi", ("*",), above=0.25, min_events=100)
BELOW = RuleSpec("slow", "throughput", below=5.0, min_events=100)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.26, 0.4, "breach"),
        (0.25, 0.4, "unknown"),
        (0.1, 0.26, "unknown"),
        (0.1, 0.25, "ok"),
        (0.1, None, "unknown"),
        (0.3, None, "breach"),
        (None, 0.1, "ok"),
    ],
)
def test_above_breaches_only_where_the_lower_bound_exceeds_it(
    low: float | None, high: float | None, expected: Verdict
) -> None:
    assert judge([measured(low, high)], 1_000, ABOVE).verdict == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(1.0, 4.9, "breach"), (1.0, 5.0, "unknown"), (4.9, 9.0, "unknown"), (5.0, 9.0, "ok")],
)
def test_below_breaches_only_where_the_upper_bound_falls_short_of_it(
    low: float, high: float, expected: Verdict
) -> None:
    measurement = measured(low, high, column=None, metric="throughput", value=5.0)

    assert judge([measurement], 0, BELOW).verdict == expected


@pytest.mark.parametrize("on_missing", ["ok", "breach", "unknown"])
def test_what_cannot_be_told_is_judged_as_the_rule_says(on_missing: Verdict) -> None:
    spec = RuleSpec("r", "psi", ("*",), above=0.25, min_events=100, on_missing=on_missing)

    few = judge([measured(0.9, 1.0)], 99, spec)
    untold = judge([measured(None, None, value=None)], 1_000, spec)
    absent = judge([], 1_000, spec)

    assert [few.verdict, untold.verdict, absent.verdict] == [on_missing] * 3
    assert few.clears == (on_missing == "ok")


def test_no_traffic_is_judged_by_rules_about_traffic() -> None:
    none = measured(0.0, 0.06, column=None, metric="throughput", value=0.0)

    assert judge([none], 0, BELOW).verdict == "breach"


def test_several_columns_breach_by_one_and_are_ok_by_all() -> None:
    fine, worse, unsure = (
        measured(0.0, 0.1, column="a", value=0.05),
        measured(0.5, 0.9, column="b", value=0.7),
        measured(0.1, 0.5, column="c", value=0.3),
    )

    breach = judge([fine, worse, unsure], 1_000, ABOVE)
    unknown = judge([fine, unsure], 1_000, ABOVE)
    ok = judge([fine, fine], 1_000, ABOVE)

    assert (breach.verdict, breach.column, breach.low) == ("breach", "b", 0.5)
    assert (unknown.verdict, unknown.column) == ("unknown", "c")
    assert (ok.verdict, ok.column, ok.threshold) == ("ok", "a", 0.25)


def test_patterns_choose_columns_and_metrics_of_the_window_need_none() -> None:
    spec = RuleSpec("r", "psi", ("fare_*",), above=0.25)
    others = [measured(0.9, 1.0, column="age"), measured(0.9, 1.0, column="fare_x", metric="ks")]

    judgement = judge([*others, measured(0.0, 0.1, column="fare_y")], 1_000, spec)

    assert (judgement.verdict, judgement.column) == ("ok", "fare_y")


@pytest.mark.parametrize(
    "wrong",
    [
        {"above": 1.0, "below": 0.5},
        {},
        {"above": 0.25, "clear": 0.3},
        {"below": 5.0, "clear": 4.0},
        {"above": 0.25, "needed": 4, "of": 3},
        {"above": 0.25, "needed": 0},
    ],
)
def test_contradictory_rules_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="rule 'r'"):
        RuleSpec("r", "psi", **wrong)  # type: ignore[arg-type]  # wrong on purpose


def window(mark: str) -> Judgement:
    """b: breach, k: ok and clearing, h: ok within the hysteresis, u: unknown."""
    verdict: Verdict = {"b": "breach", "u": "unknown"}.get(mark, "ok")  # type: ignore[assignment]
    return Judgement(verdict, "x", 0.2, 0.1, 0.3, 0.25, 1_000, clears=mark == "k")


def run(marks: str, spec: RuleSpec) -> tuple[str, list[str]]:
    """State after each window, as a letter, and what happened when."""
    state, states, events = RuleState(), "", []
    for ends, mark in enumerate(marks):
        state, event = advance(state, window(mark), float(ends), spec)
        states += state.state[0]
        if event is not None:
            events.append(f"{event.kind}@{ends}")
    return states, events


THREE_OF_FOUR = RuleSpec("r", "psi", ("*",), above=0.25, clear=0.1, needed=3, of=4)
ONE = RuleSpec("r", "psi", ("*",), above=0.25)


@pytest.mark.parametrize(
    ("spec", "marks", "states", "events"),
    [
        (ONE, "kbk", "obo", ["confirmed@1", "cleared@2"]),
        (ONE, "bub", "bbb", ["confirmed@0"]),
        (ONE, "bhhk", "bbbo", ["confirmed@0", "cleared@3"]),
        (THREE_OF_FOUR, "kbkbb", "osssb", ["opened@1", "confirmed@4"]),
        (THREE_OF_FOUR, "bkkkk", "sssso", ["opened@0", "cleared@4"]),
        (THREE_OF_FOUR, "bububu", "ssssss", ["opened@0"]),
        (THREE_OF_FOUR, "bbbkkkk", "ssbbbbo", ["opened@0", "confirmed@2", "cleared@6"]),
        (THREE_OF_FOUR, "bbbkkuk", "ssbbbbo", ["opened@0", "confirmed@2", "cleared@6"]),
        (THREE_OF_FOUR, "bbbkkku", "ssbbbbb", ["opened@0", "confirmed@2"]),
        (THREE_OF_FOUR, "bbbhhhhk", "ssbbbbbb", ["opened@0", "confirmed@2"]),
        (THREE_OF_FOUR, "bbbuuuuu", "ssbbbbbb", ["opened@0", "confirmed@2"]),
        (THREE_OF_FOUR, "uku", "uou", []),
    ],
    ids=[
        "one of one breaches and clears at once",
        "an unknown window leaves a breach",
        "a window within the hysteresis does not clear",
        "three of four, with one fine between",
        "a suspicion fades",
        "two of four and unknown never confirm",
        "clearing needs the breaches to have left",
        "an unknown window takes a place",
        "an unknown window does not clear though three are fine",
        "windows within the hysteresis hold a breach",
        "unknown holds a breach for ever",
        "nothing known, fine, nothing known",
    ],
)
def test_states_follow_the_windows(
    spec: RuleSpec, marks: str, states: str, events: list[str]
) -> None:
    assert run(marks, spec) == (states, events)


MARKS = st.text("bkhu", max_size=30)
SPECS = st.integers(1, 5).flatmap(
    lambda of: st.integers(1, of).map(
        lambda needed: RuleSpec("r", "psi", ("*",), above=0.25, needed=needed, of=of)
    )
)


def end_of(marks: str, spec: RuleSpec) -> RuleState:
    state = RuleState()
    for ends, mark in enumerate(marks):
        state, _ = advance(state, window(mark), float(ends), spec)
    return state


@given(MARKS, SPECS, st.integers(1, 20))
def test_unknown_windows_never_act_and_never_clear(marks: str, spec: RuleSpec, more: int) -> None:
    state = end_of(marks, spec)

    for number in range(more):
        after, event = advance(state, window("u"), 100.0 + number, spec)

        assert event is None
        assert after.state == (state.state if state.state in ("suspect", "breach") else "unknown")
        state = after


@given(MARKS, SPECS)
def test_a_breach_is_confirmed_exactly_when_enough_of_the_last_windows_breach(
    marks: str, spec: RuleSpec
) -> None:
    state = RuleState()
    for ends, mark in enumerate(marks):
        before = state.state
        state, event = advance(state, window(mark), float(ends), spec)

        last = marks[max(0, ends + 1 - spec.of) : ends + 1]
        enough = mark == "b" and last.count("b") >= spec.needed
        assert (event is not None and event.kind == "confirmed") == (enough and before != "breach")
        if before == "breach" and state.state != "breach":
            assert mark == "k"
            assert "b" not in last
            assert last.count("k") >= spec.needed


@given(MARKS, SPECS)
def test_every_incident_opens_before_it_clears(marks: str, spec: RuleSpec) -> None:
    state, is_open = RuleState(), False
    for ends, mark in enumerate(marks):
        state, event = advance(state, window(mark), float(ends), spec)
        if event is None:
            continue
        assert isinstance(event, RuleEvent)
        assert (event.kind == "cleared") <= is_open
        assert (event.kind == "opened") <= (not is_open)
        is_open = event.kind != "cleared"
        assert (state.opened is not None) == is_open
    assert (state.state in ("suspect", "breach")) == is_open


@given(MARKS, MARKS, SPECS)
def test_a_state_that_was_stored_goes_on_the_same(before: str, after: str, spec: RuleSpec) -> None:
    straight = end_of(before + after, spec)

    state = RuleState.from_json(json.loads(json.dumps(end_of(before, spec).to_json())))
    for ends, mark in enumerate(after, start=len(before)):
        state, _ = advance(state, window(mark), float(ends), spec)

    assert state == straight


def test_a_damaged_stored_state_is_refused() -> None:
    with pytest.raises(ValueError, match="damaged"):
        RuleState.from_json({"history": [], "state": "fine"})
