"""What comparisons in other tools let pass, as their users told it, and must not pass here."""

from __future__ import annotations

import pytest

from detectors.measurement import Measurement
from detectors.numerics.ratio import ratio
from detectors.rules.judgement import RuleSpec, Verdict, judge

ERRORS = RuleSpec("errors", "error_ratio", above=0.01)


def judged(errors: int, requests: int) -> Verdict:
    found = ratio(errors, requests, confidence=0.99)
    measured = Measurement("error_ratio", None, found.value, found.low, found.high, None, found.n)
    return judge([measured], requests, ERRORS).verdict


@pytest.mark.parametrize("errors", [0, 1, 2])
def test_kayenta_426_sparse_errors_are_no_pass(errors: int) -> None:
    assert judged(errors, 50) == "unknown"


def test_kayenta_426_as_many_requests_as_the_threshold_needs_tell_them_apart() -> None:
    assert judged(0, 1_000) == "ok"
    assert judged(30, 1_000) == "breach"


def test_flagger_1581_a_metric_that_matches_nothing_is_no_pass() -> None:
    spec = RuleSpec("drift", "psi", ("no_such_column",), above=0.2)
    other = Measurement("psi", "distance", 0.01, 0.0, 0.02, None, 1_000)

    assert judge([other], 1_000, spec).verdict == "unknown"
