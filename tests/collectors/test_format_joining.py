"""Halves of events meet in either order, within bounds, over restarts, and are counted alone."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.format import Holding
from collectors.formats.joining import AHEAD_S, ONE_SIDED_MIN, Joiner, Waiting
from collectors.formats.kedge import KedgeFormat
from collectors.formats.options import FormatOptions
from tests.collectors.decoding import columns, rows
from tests.collectors.events import TS, event, lines

MODEL = "credit-default"
FEATURES = {"prediction": ..., "latency_ms": ..., "status": ..., "version": ...}
PREDICTION = {"features": ...}


def joining(join_s: float = 20.0) -> KedgeFormat:
    return KedgeFormat(MODEL, options=FormatOptions(join_s=join_s))


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)], ids=["asked", "answered"])
def test_features_and_prediction_of_one_id_are_one_event_in_either_order(order: slice) -> None:
    halves = [event(ts=TS, **FEATURES), event(ts=TS + 3, **PREDICTION)][order]

    decoded = joining().decode(lines(*halves))

    assert columns(decoded) == [{"age": 41, "plan": "gold", "prediction": 0.83}]
    assert rows(decoded, "ts", "version", "latency_ms", "status") == [
        {"ts": TS, "version": "7", "latency_ms": 12.5, "status": 200}
    ]
    assert (decoded.joined, decoded.alone) == (1, 0)


def test_halves_meet_over_chunks_and_over_a_restart() -> None:
    before, after = joining(), joining()

    first = before.decode(lines(event(**FEATURES)))
    after.restore(before.encode() or b"")
    second = after.decode(lines(event(**PREDICTION)))

    assert list(first.batches) == []
    assert columns(second) == [{"age": 41, "plan": "gold", "prediction": 0.83}]


def test_a_half_that_stays_alone_counts_once_its_time_is_up() -> None:
    decoder = joining()
    decoder.decode(lines(event(**FEATURES)))

    newer = decoder.decode(lines(event(id="b", ts=TS + 19, **FEATURES)))
    early = decoder.expire(TS + 1000, 0.0)
    decoder.decode(lines(event(id="c", ts=TS + 20, **FEATURES)))
    due = decoder.expire(TS + 1000, 0.0)

    assert (list(newer.batches), list(early.batches)) == ([], [])
    assert columns(due) == [{"age": 41, "plan": "gold"}]
    assert due.alone == 1


def test_silence_counts_as_time() -> None:
    decoder = joining()
    decoder.decode(lines(event(**PREDICTION)))

    early, due = decoder.expire(TS, 19.0), decoder.expire(TS, 20.0)

    assert list(early.batches) == []
    assert columns(due) == [{"prediction": 0.83}]


def test_what_lacks_nothing_or_has_nothing_to_wait_for_does_not_wait() -> None:
    failed = event(id="f", prediction=..., status=422)
    nameless = event(id=..., prediction=...)
    shadow = event(id="s", features=..., role="shadow")

    decoded = joining().decode(lines(event(), failed, nameless, shadow))

    assert sum(batch.rows for batch in decoded.batches) == 4


def test_without_options_every_event_is_a_row_of_its_own() -> None:
    decoded = KedgeFormat(MODEL).decode(lines(event(**FEATURES), event(**PREDICTION)))

    assert sum(batch.rows for batch in decoded.batches) == 2


def test_the_same_half_twice_leaves_the_first_alone() -> None:
    decoder = joining()

    decoded = decoder.decode(
        lines(
            event(**FEATURES, features={"age": 1}),
            event(**FEATURES, features={"age": 2}),
            event(**PREDICTION),
        )
    )

    assert sorted(row["age"] for row in columns(decoded)) == [1, 2]
    assert (decoded.joined, decoded.alone) == (1, 1)


def test_a_log_of_one_side_only_soon_waits_no_more() -> None:
    decoder = joining()
    for i in range(ONE_SIDED_MIN):
        decoder.decode(lines(event(id=f"a{i}", **FEATURES)))
    decoder.expire(TS + 1000, 60.0)

    at_once = decoder.decode(lines(event(id="b", **FEATURES)))
    decoder.decode(lines(event(id="x", **PREDICTION)))
    again = decoder.decode(lines(event(id="c", **FEATURES)))

    assert columns(at_once) == [{"age": 41, "plan": "gold"}]
    assert list(again.batches) == []


def test_lines_looked_at_one_by_one_are_joined_too() -> None:
    bad = '{"ts": 1, "prediction": NaN}'

    decoded = joining().decode(
        lines(bad, event(**FEATURES), bad, event(**PREDICTION), event(id="w"))
    )

    assert sum(batch.rows for batch in decoded.batches) == 2
    assert [rejection.reason for rejection in decoded.rejections] == ["malformed"] * 2
    assert decoded.joined == 1


def test_past_the_limits_the_oldest_half_counts_alone() -> None:
    joiner = Joiner(20.0, waiting_max=2, waiting_bytes_max=100)

    for i, size in enumerate((1, 1, 1, 99)):
        joiner.meet(Waiting(str(i), "request", b"x" * size), TS)

    assert [half.key for half in joiner.take_alone()] == ["0", "1"]
    assert joiner.meet(Waiting("2", "response", b""), TS) is not None


def test_one_event_of_the_far_future_ends_no_wait() -> None:
    joiner = Joiner(20.0)
    joiner.expire(TS, 0.0)
    joiner.meet(Waiting("a", "request", b""), TS)

    joiner.meet(Waiting("b", "request", b""), TS + AHEAD_S + 1)
    joiner.expire(TS, 0.0)

    assert joiner.take_alone() == []


@pytest.mark.parametrize("id_", ["\ud800", "x" * 10_000, "a\0b", "\U0001f680" * 5_000], ids=ascii)
def test_an_id_of_any_characters_and_length_waits_and_outlives_a_restart(id_: str) -> None:
    before, after = joining(), joining()
    before.decode(lines(event(id=id_, **FEATURES)))

    state = before.encode() or b""
    after.restore(state)
    decoded = after.decode(lines(event(id=id_, **PREDICTION)))

    assert decoded.joined == 1


def test_bytes_of_another_format_are_dropped() -> None:
    for state in (b"", b"nonsense", b"\x93\x01\x02\x03"):
        decoder = joining()
        assert isinstance(decoder, Holding)

        decoder.restore(state)

        assert decoder.decode(lines(event(id="w"))).batches[0].rows == 1


@given(seed=st.integers(0, 10_000), ids=st.integers(1, 30), cuts=st.integers(1, 6))
def test_every_half_has_its_effect_once_however_the_log_is_cut(
    seed: int, ids: int, cuts: int
) -> None:
    rng = random.Random(seed)
    log = [event(id=str(i), ts=TS + i, **FEATURES) for i in range(ids)]
    log += [event(id=str(i), ts=TS + i, **PREDICTION) for i in range(ids) if rng.random() < 0.7]
    rng.shuffle(log)
    decoder = joining(join_s=1e6)
    joined = alone = found = 0

    for part in range(cuts):
        fresh = joining(join_s=1e6)
        fresh.restore(decoder.encode() or b"")
        decoder = fresh
        decoded = decoder.decode(lines(*log[part::cuts]))
        joined += decoded.joined
        found += sum(batch.rows for batch in decoded.batches)
    rest = decoder.expire(TS, 1e7)
    alone = rest.alone
    found += sum(batch.rows for batch in rest.batches)

    assert 2 * joined + alone == len(log)
    assert found == ids


def test_what_waits_says_since_when() -> None:
    decoder = joining()
    before = decoder.held_since()
    decoder.decode(lines(event(id="a", ts=TS + 5, **FEATURES), event(id="b", ts=TS, **FEATURES)))

    waiting = decoder.held_since()
    decoder.decode(lines(event(id="b", **PREDICTION)))

    assert (before, waiting, decoder.held_since()) == (math.inf, TS, TS + 5)


def test_halves_of_one_side_that_wait_when_that_is_understood_come_out_at_once() -> None:
    decoder = joining()
    decoder.decode(lines(*(event(id=f"a{i}", **FEATURES) for i in range(ONE_SIDED_MIN))))
    decoder.decode(lines(event(id="late", ts=TS + 15, **FEATURES)))
    decoder.expire(TS + 1000, 6.0)

    decoded = decoder.decode(lines(event(id="b", ts=TS + 16, **FEATURES)))

    assert sum(batch.rows for batch in decoded.batches) == 2
    assert decoder.held_since() == math.inf
