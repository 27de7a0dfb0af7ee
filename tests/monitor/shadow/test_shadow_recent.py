"""The last live requests that are kept for a comparison: which, how many, and what they cost."""

from __future__ import annotations

import numpy as np
import pytest

from collectors.batch import CategoryColumn, NumberColumn, PredictionBatch
from collectors.labels import JoinColumns, Scalar
from monitor.shadow.recent import PORTION_MAX, RENEWAL_S, VERSIONS_MAX, RecentRequests


def batch_of(
    rows: int,
    *,
    version: str = "7",
    begins: float = 0.0,
    step_s: float = 0.001,
    status: int = 200,
    prediction: NumberColumn | CategoryColumn | None = None,
    labels: list[Scalar | None] | None = None,
) -> PredictionBatch:
    numbers = np.arange(float(rows))
    answers = NumberColumn(numbers) if prediction is None else prediction
    return PredictionBatch(
        *("m", version, "live", "server"),
        begins + numbers * step_s,
        np.full(rows, 5.0),
        np.full(rows, status),
        np.ones(rows),
        {"age": NumberColumn(numbers + 18), "prediction": answers},
        joins=None if labels is None else JoinColumns([None] * rows, [1.0] * rows, labels),
    )


def test_no_more_rows_of_a_version_and_no_more_versions_are_kept_than_asked() -> None:
    recent = RecentRequests(60)
    for version in range(VERSIONS_MAX + 1):
        for begins in (0.0, 1_000.0):
            recent.take(batch_of(200, version=str(version), begins=begins))

    assert recent.of("0") == []
    assert [len(recent.of(str(version))) for version in range(1, VERSIONS_MAX + 1)] == [60] * 3
    assert min(one.ts[0] for one in recent.of("1")) >= 1_000


def test_rows_are_spread_over_a_batch_and_hold_their_own_answer_and_features() -> None:
    recent = RecentRequests(10_000)

    recent.take(batch_of(10 * PORTION_MAX))

    kept = recent.of("7")
    assert len(kept) == PORTION_MAX
    places = [one.answers[0] for one in kept]
    assert places == [10.0 * row for row in range(PORTION_MAX)]
    for one in kept:
        age = one.features["age"]
        assert isinstance(age, NumberColumn)
        assert age.values.tolist() == [float(str(one.answers[0])) + 18]
        assert one.batch.rows == PORTION_MAX


def test_once_enough_are_kept_they_are_renewed_in_some_seconds_however_many_there_are() -> None:
    recent = RecentRequests(PORTION_MAX)
    recent.take(batch_of(PORTION_MAX, begins=0.75))

    of_a_second = []
    for second in range(1, 7):
        for tenth in range(10):
            recent.take(batch_of(100, begins=second + tenth / 10))
        of_a_second.append(sum(one.ts[0] >= second for one in recent.of("7")))

    a_second = PORTION_MAX / RENEWAL_S
    assert of_a_second == [pytest.approx(a_second, rel=0.1)] * 6
    assert min(one.ts[0] for one in recent.of("7")) >= 1


def test_of_traffic_in_small_portions_as_many_are_renewed_as_of_large_ones() -> None:
    recent = RecentRequests(PORTION_MAX)
    recent.take(batch_of(PORTION_MAX))

    for portion in range(200):
        recent.take(batch_of(3, begins=1 + portion * 0.01))

    a_second = PORTION_MAX / RENEWAL_S
    assert sum(one.ts[0] >= 1 for one in recent.of("7")) >= 1.5 * a_second


def test_an_event_far_ahead_of_its_time_does_not_keep_the_others_out() -> None:
    recent = RecentRequests(PORTION_MAX)
    recent.take(batch_of(PORTION_MAX, begins=4e9))

    recent.take(batch_of(10, begins=5.0))

    assert sum(one.ts[0] < 6 for one in recent.of("7")) == 10


@pytest.mark.parametrize(
    "batch",
    [
        batch_of(0),
        batch_of(5, status=500),
        batch_of(5, prediction=NumberColumn(np.full(5, np.nan))),
        batch_of(5, prediction=CategoryColumn([None] * 5)),
    ],
    ids=["empty", "failed", "not a number", "missing"],
)
def test_what_was_not_answered_is_not_kept(batch: PredictionBatch) -> None:
    recent = RecentRequests(10)

    recent.take(batch)

    assert recent.of("7") == []


def test_requests_of_before_the_suspicion_are_left_out_and_labels_come_along() -> None:
    recent = RecentRequests(10)
    recent.take(batch_of(5, step_s=1.0, labels=["good", None, "bad", None, None]))

    assert [one.labels for one in recent.of("7", since=2.0)] == [["bad"], [None], [None]]
