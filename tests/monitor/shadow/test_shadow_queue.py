"""Which requests go to the shadow, and what becomes of those that do not come back."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from collectors.batch import NumberColumn, PredictionBatch
from collectors.labels import JoinColumns
from detectors.windows.paired import PairedWindows
from detectors.windows.window_spec import WindowSpec
from monitor.judging.turn import Pending
from monitor.shadow.judging import ShadowJudging
from monitor.shadow.queues import Answered, ShadowQueue, is_sampled, sampled_requests, sampled_rows
from monitor.shadow.watch import ShadowStanding, ShadowWatch

MINUTE = WindowSpec("time", 60.0, 60.0)


def batch_of(
    ids: list[str | None],
    *,
    answers: list[float | str | None] | None = None,
    status: list[int] | None = None,
    live: str = "7",
    begins: float = 0.0,
) -> PredictionBatch:
    rows = len(ids)
    return PredictionBatch(
        "m",
        live,
        "live",
        "server",
        begins + np.arange(float(rows)),
        np.full(rows, 5.0),
        np.array(status or [200] * rows),
        np.ones(rows),
        {"age": NumberColumn(np.arange(float(rows))), "prediction": NumberColumn(np.zeros(rows))},
        joins=JoinColumns(ids, [1.0] * rows if answers is None else answers, [None] * rows),
    )


def watch_of(queue: ShadowQueue, *, queue_max: int = 100) -> ShadowWatch:
    return ShadowWatch(
        PairedWindows(MINUTE, "m"),
        queue,
        ShadowStanding("scoring", "8"),
        ShadowJudging((), confidence=0.99, psi_bins=10),
        sampling=1.0,
        queue_max=queue_max,
        confidence=0.99,
        psi_bins=10,
    )


def test_rows_of_one_request_are_scored_together_without_the_prediction() -> None:
    requests, more = sampled_requests(
        batch_of(["a#0", "b", "a#1", None]), sampling=1.0, requests_max=10
    )

    assert more == 0
    assert [list(one.ts) for one in requests] == [[0.0, 2.0], [1.0], [3.0]]
    (age,) = requests[0].features.values()
    assert isinstance(age, NumberColumn)
    assert age.values.tolist() == [0.0, 2.0]


def test_requests_that_failed_have_no_answer_to_compare_with() -> None:
    batch = batch_of(["a", "b", "c"], status=[200, 503, 404])

    requests, _ = sampled_requests(batch, sampling=1.0, requests_max=10)

    assert len(requests) == 1


def test_of_too_many_requests_the_newest_are_taken() -> None:
    requests, more = sampled_requests(
        batch_of([f"r{i}" for i in range(10)]), sampling=1.0, requests_max=3
    )

    assert [one.ts for one in requests] == [[7.0], [8.0], [9.0]]
    assert more == 7


def test_the_sample_follows_from_the_ids_and_keeps_its_share() -> None:
    ids: list[str | None] = [f"r{i}" for i in range(4_000)]

    requests, _ = sampled_requests(batch_of(ids), sampling=0.1, requests_max=10_000)

    chosen = {f"r{int(one.ts[0])}" for one in requests}
    assert chosen == {str(one) for one in ids if is_sampled(str(one), 0.1)}
    assert 320 < len(chosen) < 480


def test_rows_can_be_taken_many_at_once() -> None:
    requests = sampled_rows(batch_of([f"r{i}" for i in range(10)]), sampling=1.0, rows_max=4)

    assert [len(one.ts) for one in requests] == [4, 4, 2]


def test_rows_of_requests_with_other_parameters_are_asked_apart() -> None:
    params = ['{"k":1}', None, '{"k":1}', '{"k":2}']
    batch = replace(batch_of(["a", "b", "c", "d"]), params=params)

    many = sampled_rows(batch, sampling=1.0, rows_max=10)
    single, _ = sampled_requests(batch, sampling=1.0, requests_max=10)

    assert [(one.params, one.ts) for one in many] == [
        ('{"k":1}', [0.0, 2.0]),
        (None, [1.0]),
        ('{"k":2}', [3.0]),
    ]
    assert [one.params for one in single] == params


def test_parts_of_a_prediction_are_no_features() -> None:
    batch = batch_of(["a"])
    parts = {f"prediction.{part}": NumberColumn(np.zeros(1)) for part in range(2)}
    batch = replace(batch, columns={**batch.columns, **parts})

    (request,) = sampled_rows(batch, sampling=1.0, rows_max=10)

    assert set(request.features) == {"age"}


def test_a_queue_that_is_full_sheds_the_oldest_and_counts_them() -> None:
    queue, pending = ShadowQueue(5), Pending()
    watch = watch_of(queue)

    watch.take(batch_of([f"r{i}" for i in range(8)]))
    watch.settle(-math.inf, pending)

    assert watch.standing()["requests"]["shed"] == 3
    assert pending.dirty
    taken = queue.take()
    assert taken is not None
    assert taken.ts == [3.0]


def test_a_window_waits_for_the_answers_to_its_events() -> None:
    queue, pending = ShadowQueue(100), Pending()
    watch = watch_of(queue)
    watch.take(batch_of(["a", "b"]))
    requests = [queue.take(), queue.take()]
    early = watch.settle(60.0, pending)

    for request in requests:
        assert request is not None
        queue.answer(Answered(request, "scored", "8", [0.0], 3.0))
    watch.settle(60.0, pending)

    assert not early
    (judged,) = pending.judged
    window = judged.row.window
    assert (window["version"], window["kind"], window["events"]) == ("8", "shadow", 2)
    assert judged.live == "7"
    assert {row["column"] for row in judged.row.measurements} == {"7"}


@pytest.mark.parametrize("outcome", ["refused", "failed", "timeout", "missing_inputs"])
def test_an_answer_that_does_not_come_is_counted_and_holds_nothing_up(outcome: str) -> None:
    queue, pending = ShadowQueue(100), Pending()
    watch = watch_of(queue)
    watch.take(batch_of(["a"]))
    request = queue.take()
    assert request is not None

    queue.answer(Answered(request, outcome, "8"))  # type: ignore[arg-type] # one of them
    watch.settle(60.0, pending)

    assert watch.standing()["requests"][outcome] == 1
    assert queue.oldest() == math.inf
    assert not pending.judged


def test_answers_that_are_no_numbers_and_no_texts_are_incomparable() -> None:
    watch = watch_of(ShadowQueue(100))

    watch.take(batch_of(["a", "b"], answers=[None, 1.0]))

    assert watch.standing()["requests"]["incomparable"] == 1
    assert watch.standing()["waiting"] == 1


def test_what_waited_at_a_kill_is_counted_as_lost_once() -> None:
    queue = ShadowQueue(100)
    killed = watch_of(queue)
    killed.take(batch_of(["a", "b", "c"]))
    queue.take()
    state = killed.complete(())

    after = watch_of(ShadowQueue(100))
    after.restore(state, {})
    for _ in range(2):
        after.settle(-math.inf, Pending())

    assert after.standing()["requests"]["lost"] == 3
    again = watch_of(ShadowQueue(100))
    again.restore(after.complete(()), {})
    again.settle(-math.inf, Pending())
    assert again.standing()["requests"]["lost"] == 3


def test_a_damaged_state_is_dropped_and_counting_goes_on() -> None:
    watch = watch_of(ShadowQueue(100))

    watch.restore(b"no", {})

    assert watch.standing()["requests"]["lost"] == 0
