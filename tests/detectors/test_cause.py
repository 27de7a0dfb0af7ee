"""World or model: each line of the table that operators reason by, and what holds for all."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.cause import SETTLED_WINDOWS, Cause, Circumstances, InputDrift, Origin, cause_of

STABLE = InputDrift("age", "ok", 0.0005)
DRIFTED = InputDrift("fare", "breach", 0.30)
DRIFTED_LESS = InputDrift("city", "breach", 0.10)
IRRELEVANT = InputDrift("row_number", "breach", 4.0, importance=0.001)
BROKEN = InputDrift("tenure", "breach", 0.20, fault="missing in 22 % of the rows, 10 % before")
UNTOLD = InputDrift("age", "unknown")


@pytest.mark.parametrize(
    ("known", "origin"),
    [
        (Circumstances("prediction", [STABLE], "breach", windows_before=0), "model"),
        (Circumstances("performance", [STABLE], "ok", windows_before=0), "model"),
        (Circumstances("prediction", [STABLE, DRIFTED], "breach", windows_before=90), "world"),
        (Circumstances("inputs", [STABLE, DRIFTED], "ok", windows_before=0), "world"),
        (Circumstances("performance", [STABLE], "ok", windows_before=90), "world"),
        (Circumstances("prediction", [STABLE], "breach", windows_before=90), "unknown"),
        (Circumstances("prediction", [DRIFTED], "breach", windows_before=0), "unknown"),
        (Circumstances("prediction", [DRIFTED], "breach", 0.9, windows_before=0), "world"),
        (Circumstances("prediction", [DRIFTED], "breach", 0.1, windows_before=0), "unknown"),
        (Circumstances("prediction", [UNTOLD], "breach", windows_before=0), "unknown"),
        (Circumstances("prediction", [], "breach", windows_before=0), "unknown"),
        (Circumstances("prediction", [STABLE], "breach"), "unknown"),
        (Circumstances("prediction", [STABLE, BROKEN], "breach", windows_before=0), "data"),
        (Circumstances("prediction", [STABLE], windows_before=90, shadow="apart"), "model"),
        (Circumstances("prediction", [DRIFTED], windows_before=90, shadow="apart"), "world"),
        (Circumstances("prediction", [DRIFTED], shadow="apart"), "unknown"),
        (Circumstances("prediction", [DRIFTED], shadow="alike"), "world"),
        (Circumstances("prediction", [DRIFTED], elsewhere="breach", windows_before=0), "world"),
        (Circumstances("service", [STABLE], windows_before=0), "model"),
        (Circumstances("service", [DRIFTED], windows_before=0), "unknown"),
        (Circumstances("service", [STABLE], elsewhere="breach", windows_before=0), "platform"),
        (Circumstances("service", [DRIFTED], elsewhere="ok", windows_before=0), "model"),
        (Circumstances("service", [STABLE], windows_before=90), "platform"),
        (Circumstances("service", [STABLE]), "unknown"),
    ],
)
def test_each_case_of_the_table_has_its_answer(known: Circumstances, origin: Origin) -> None:
    assert cause_of(known).origin == origin


def test_a_column_that_the_prediction_does_not_depend_on_is_no_drift_of_the_inputs() -> None:
    known = Circumstances("prediction", [STABLE, IRRELEVANT], "breach", windows_before=0)

    cause = cause_of(known)

    assert cause.origin == "model"
    assert cause.columns == ()


def test_the_columns_that_drifted_most_come_first_with_their_share() -> None:
    known = Circumstances("inputs", [DRIFTED_LESS, STABLE, DRIFTED], windows_before=90)

    cause = cause_of(known)

    assert [one.column for one in cause.columns] == ["fare", "city"]
    assert [one.share for one in cause.columns] == pytest.approx([0.75, 0.25])
    assert "fare, city drifted" in cause.because


def test_a_fault_of_a_column_is_told_in_its_own_words() -> None:
    cause = cause_of(Circumstances("prediction", [BROKEN], "breach", windows_before=90))

    assert "tenure: missing in 22 % of the rows, 10 % before" in cause.because
    assert [one.fault for one in cause.columns] == [BROKEN.fault]


def test_a_broken_column_that_the_prediction_does_not_depend_on_breaks_nothing() -> None:
    broken = InputDrift("row_number", "ok", 0.0, importance=0.001, fault="constant")

    cause = cause_of(Circumstances("prediction", [STABLE, broken], "breach", windows_before=0))

    assert cause.origin == "model"


def test_many_small_drifts_that_explain_the_shift_together_are_the_world() -> None:
    known = Circumstances("prediction", [STABLE], "breach", explained=0.8, windows_before=0)

    assert cause_of(known).origin == "world"


def test_a_slow_version_is_not_blamed_before_the_others_were_looked_at() -> None:
    known = Circumstances("service", [STABLE], elsewhere="unknown", windows_before=0)

    assert cause_of(known).origin == "unknown"


VERDICTS = st.sampled_from(["ok", "breach", "unknown"])
INPUTS = st.builds(
    InputDrift,
    column=st.sampled_from(["a", "b", "c"]),
    verdict=VERDICTS,
    value=st.none() | st.floats(0, 10),
    importance=st.none() | st.floats(0, 1),
    fault=st.sampled_from(["", "", "", "constant"]),
)
CIRCUMSTANCES = st.builds(
    Circumstances,
    symptom=st.sampled_from(["inputs", "prediction", "performance", "service"]),
    inputs=st.lists(INPUTS, max_size=5),
    prediction=st.none() | VERDICTS,
    explained=st.none() | st.floats(0, 1),
    windows_before=st.none() | st.integers(0, 100),
    elsewhere=st.none() | VERDICTS,
    shadow=st.none() | st.sampled_from(["alike", "apart"]),
)


@given(CIRCUMSTANCES)
def test_every_answer_has_a_reason_and_its_shares_add_up(known: Circumstances) -> None:
    cause: Cause = cause_of(known)

    assert cause.because
    shares = [one.share for one in cause.columns if one.verdict == "breach"]
    assert not shares or sum(shares) == pytest.approx(1)


@given(CIRCUMSTANCES)
def test_a_cause_survives_being_written_and_read(known: Circumstances) -> None:
    cause = cause_of(known)

    assert Cause.from_json(json.loads(json.dumps(cause.to_json()))) == cause


@given(CIRCUMSTANCES)
def test_the_model_is_blamed_only_by_another_version_or_from_its_deployment_on(
    known: Circumstances,
) -> None:
    blamed = cause_of(known).origin == "model"

    assert not blamed or known.shadow == "apart" or known.since_deployment


@given(CIRCUMSTANCES.filter(lambda known: known.windows_before is None and not known.shadow))
def test_what_is_not_known_is_never_blamed_on_the_model(known: Circumstances) -> None:
    assert cause_of(known).origin != "model"


def test_a_version_is_settled_after_its_first_quiet_windows() -> None:
    new = Circumstances("prediction", [STABLE], "breach", windows_before=SETTLED_WINDOWS - 1)
    settled = Circumstances("prediction", [STABLE], "breach", windows_before=SETTLED_WINDOWS)

    assert cause_of(new).origin == "model"
    assert cause_of(settled).origin == "unknown"
