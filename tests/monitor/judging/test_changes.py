"""Change detectors while the daemon runs: what they see of the rows, and what they keep."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.batch import (
    CategoryColumn,
    Column,
    LatencyKind,
    NumberColumn,
    PredictionBatch,
    Schema,
)
from detectors.change.change_kinds import (
    CHANGE_KINDS,
    ChangeSpec,
    Direction,
    Subject,
    default_direction,
)
from detectors.change.change_stream import WARM_UP
from detectors.measurement import Measurement
from detectors.performance.performance import Pair
from detectors.rules.rule import RuleSpec
from detectors.windows.pane import Pane
from detectors.windows.window import ClosedWindow
from monitor.judging.changes import CHANGES, STREAMS_MAX, ChangeWatch
from monitor.metrics.catalogue import Metrics
from tests.detectors.batches import batch_of, reference_of

BEGIN = 1_772_618_400.0
NOW = BEGIN + 1e9


def rule(
    kind: str,
    subject: Subject,
    *columns: str,
    direction: Direction | None = None,
    per_second_max: int = 1_000_000,
    **parameters: float,
) -> RuleSpec:
    spec = ChangeSpec(
        kind,
        subject,
        columns,
        direction or default_direction(subject),
        CHANGE_KINDS[kind](**parameters),
        per_second_max,
    )
    return RuleSpec("r", spec.metric, columns, above=0, change=spec)


def watch_of(
    *rules: RuleSpec,
    metrics: Metrics | None = None,
    versions_max: int = 20,
    by_events: bool = False,
) -> ChangeWatch:
    return ChangeWatch(
        rules,
        metrics or Metrics(columns_max=100, versions_max=20),
        model="m",
        versions_max=versions_max,
        ahead_max_s=300.0,
        by_events=by_events,
    )


def window(begins: float, ends: float, version: str = "1") -> ClosedWindow:
    return ClosedWindow("m", version, begins, ends, Pane(None, Schema({})), ends - begins)


def latencies(
    values: Sequence[float],
    begins: float = BEGIN,
    *,
    version: str = "1",
    status: Sequence[int] | None = None,
    latency_kind: LatencyKind = "model",
) -> PredictionBatch:
    ts = [begins + row / 100 for row in range(len(values))]
    return batch_of(
        ts, version=version, latency_ms=list(values), status=status, latency_kind=latency_kind
    )


def jump(rows: int = 2_000, level: float = 3.0) -> list[float]:
    rng = np.random.default_rng(3)
    half = rows // 2
    return [*rng.lognormal(2, 0.3, half), *(level * rng.lognormal(2, 0.3, rows - half))]


def sample(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


@dataclass(frozen=True)
class Restarted:
    """A watch that is stored and taken up anew whenever asked."""

    rules: Sequence[RuleSpec]

    def run(self, batch: PredictionBatch, cuts: Sequence[int], restarts: set[int]) -> list[float]:
        watch, states = watch_of(*self.rules), dict[str, bytes]()
        metrics = Metrics(columns_max=100, versions_max=20)
        edges = sorted({0, *cuts, batch.rows})
        for number, (start, end) in enumerate(pairwise(edges)):
            watch.take(batch.take(slice(start, end)), None, NOW)
            if number in restarts:
                states |= {name: kept for name, kept in watch.changed(()).items() if kept}
                watch = watch_of(*self.rules, metrics=metrics)
                watch.restore(states)
        found = []
        for begins in range(0, 60, 5):
            at = window(BEGIN + begins, BEGIN + begins + 5)
            found += [one.value or 0.0 for one in watch.of_window(at)]
        return found


@pytest.mark.parametrize(
    "asked",
    [
        rule("adwin", "latency", direction="both", delta=0.05),
        rule("page_hinkley", "latency", direction="both", threshold=5),
        rule("kswin", "latency", direction="both", alpha=0.01, stat_size=20, window_size=40),
        rule("kswin", "latency", direction="both", per_second_max=40, alpha=0.05, stat_size=10),
        rule("ddm", "errors", warm_start=30, drift_threshold=2),
        rule("eddm", "errors", warm_start=10, beta=0.9),
        rule("hddm_a", "errors", direction="both", drift_confidence=0.05),
        rule("hddm_w", "errors", direction="both", drift_confidence=0.05),
    ],
    ids=lambda asked: f"{asked.metric} {asked.change.values_per_second_max}",
)
@settings(max_examples=12, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 2_500), max_size=8),
    restarts=st.sets(st.integers(0, 8)),
    seed=st.integers(0, 100),
)
def test_neither_restarts_nor_how_rows_are_cut_change_what_is_found(
    asked: RuleSpec, cuts: list[int], restarts: set[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    level = np.repeat(rng.random(10), 250)
    status = np.where(rng.random(2_500) < level, 500, 200).tolist()
    slow = [None if rng.random() < 0.01 else one for one in rng.normal(10 * level, 1)]
    batch = latencies([np.nan if one is None else one for one in slow], status=status)

    found = Restarted([asked]).run(batch, cuts, restarts)

    assert found == Restarted([asked]).run(batch, [], set())


def test_a_latency_jump_is_found_in_its_window_and_told_once() -> None:
    metrics = Metrics(columns_max=10, versions_max=20)
    watch = watch_of(rule("adwin", "latency"), metrics=metrics)

    watch.take(latencies(jump()), None, NOW)
    told = [watch.of_window(window(BEGIN + at, BEGIN + at + 5))[0].value for at in (0, 5, 10, 15)]

    assert told == [0.0, 0.0, 1.0, 0.0]
    labels = {"model": "m", "version": "1", "column": "", "metric": "adwin_latency"}
    assert sample(metrics, "kedge_changes_total", **labels, direction="up") == 1


def test_overlapping_windows_each_hold_the_change() -> None:
    watch = watch_of(rule("adwin", "latency"))

    watch.take(latencies(jump()), None, NOW)
    told = [watch.of_window(window(BEGIN + at, BEGIN + at + 10))[0].value for at in range(0, 20, 2)]

    assert sum(value or 0 for value in told) == 5


def test_a_change_whose_window_was_closed_is_told_by_the_next() -> None:
    watch = watch_of(rule("adwin", "latency"))

    watch.take(latencies(jump()), None, NOW)
    measured = watch.of_window(window(BEGIN + 100, BEGIN + 105))[0]

    assert measured.value == 1.0


def test_a_drop_of_the_latency_is_no_breach_unless_asked_for() -> None:
    falling = latencies(jump(level=0.2))
    only_up, both = (
        watch_of(rule("adwin", "latency")),
        watch_of(rule("adwin", "latency", direction="both")),
    )

    for watch in (only_up, both):
        watch.take(falling, None, NOW)

    whole = window(BEGIN, BEGIN + 50)
    assert [only_up.of_window(whole)[0].value, both.of_window(whole)[0].value] == [0.0, 1.0]


def test_one_value_of_a_billion_finds_no_change_and_hides_none() -> None:
    values = jump()
    values[100] = values[700] = 1e9
    quiet, loud = watch_of(rule("adwin", "latency")), watch_of(rule("page_hinkley", "latency"))

    for watch in (quiet, loud):
        watch.take(latencies(values), None, NOW)
        before, after = (
            watch.of_window(window(BEGIN + at, BEGIN + at + 10))[0].value for at in (0, 10)
        )
        assert (before, after) == (0.0, 1.0)


def test_it_is_unknown_while_the_scale_is_learned_and_where_no_value_comes() -> None:
    watch = watch_of(rule("adwin", "latency"))

    watch.take(latencies(jump()[: WARM_UP - 1]), None, NOW)
    learning = watch.of_window(window(BEGIN, BEGIN + 5))[0]
    watch.take(latencies([8.0] * 100, BEGIN + 3), None, NOW)
    known, silent = (watch.of_window(window(BEGIN + at, BEGIN + at + 5))[0] for at in (0, 60))

    assert [one.value for one in (learning, known, silent)] == [None, 0.0, None]
    assert known.n == 99


def test_a_reference_gives_the_scale_so_that_the_first_value_counts() -> None:
    rng = np.random.default_rng(1)
    reference = reference_of({"age": NumberColumn(rng.normal(40, 10, 5_000))})
    watch = watch_of(rule("adwin", "values", "a*"))
    values = np.concatenate([rng.normal(40, 10, 150), rng.normal(70, 10, 150)])
    batch = batch_of([BEGIN + n / 100 for n in range(300)], {"age": NumberColumn(values)})

    watch.take(batch, reference, NOW)

    (measured,) = watch.of_window(window(BEGIN, BEGIN + 5))
    assert (measured.metric, measured.column, measured.value) == ("adwin", "age", 1.0)


def test_missing_values_of_any_column_are_a_stream_of_their_own() -> None:
    watch = watch_of(rule("hddm_a", "missing", "*"))
    rows = 1_000
    gone = [None if row > 500 and row % 2 else "x" for row in range(rows)]
    columns: dict[str, Column] = {
        "plan": CategoryColumn(gone),
        "age": NumberColumn(np.ones(rows)),
    }

    watch.take(batch_of([BEGIN + n / 100 for n in range(rows)], columns), None, NOW)

    found = {one.column: one.value for one in watch.of_window(window(BEGIN, BEGIN + 50))}
    assert found == {"plan": 1.0, "age": 0.0}


def test_versions_are_watched_by_themselves() -> None:
    rng = np.random.default_rng(2)
    watch = watch_of(rule("adwin", "latency"))

    for turn in range(10):
        at = BEGIN + turn * 2
        watch.take(latencies(rng.normal(10, 1, 200).tolist(), at, version="1"), None, NOW)
        watch.take(latencies(rng.normal(50, 1, 200).tolist(), at, version="2"), None, NOW)

    assert [watch.of_window(window(BEGIN, BEGIN + 50, v))[0].value for v in ("1", "2")] == [0, 0]


def test_a_latency_of_another_kind_is_not_a_change() -> None:
    metrics = Metrics(columns_max=10, versions_max=20)
    watch = watch_of(rule("adwin", "latency"), metrics=metrics)

    watch.take(latencies(jump()[:1_000], latency_kind="model"), None, NOW)
    watch.take(latencies(jump()[1_000:], BEGIN + 10, latency_kind="client"), None, NOW)

    assert watch.of_window(window(BEGIN, BEGIN + 50))[0].value == 0
    skipped = {"metric": "adwin_latency", "reason": "latency_kind"}
    assert sample(metrics, "kedge_change_values_skipped_total", **skipped) == 1_000


def test_what_the_limit_leaves_out_is_counted() -> None:
    metrics = Metrics(columns_max=10, versions_max=20)
    watch = watch_of(rule("adwin", "latency", per_second_max=30), metrics=metrics)

    watch.take(latencies([1.0] * 1_000), None, NOW)

    skipped = {"metric": "adwin_latency", "reason": "limit"}
    assert sample(metrics, "kedge_change_values_skipped_total", **skipped) == 700


@pytest.mark.parametrize("kind", CHANGE_KINDS)
def test_a_stream_costs_no_more_than_its_share_of_a_core(kind: str) -> None:
    subject: Subject = "errors" if "errors" in CHANGE_KINDS[kind]().subjects else "latency"
    watch = watch_of(rule(kind, subject, per_second_max=0))
    rng = np.random.default_rng(0)
    seconds, rate = 4, 20_000
    ts = np.arange(seconds * rate) / rate + BEGIN
    status = np.where(rng.random(len(ts)) < 0.05, 500, 200).tolist()
    batch = batch_of(ts.tolist(), latency_ms=rng.normal(10, 1, len(ts)).tolist(), status=status)

    began = time.process_time()
    for start in range(0, batch.rows, 1_000):
        watch.take(batch.take(slice(start, start + 1_000)), None, NOW)

    # 5 % by the table's costs; twice that, for a machine half as fast, and what it takes to choose.
    assert time.process_time() - began < 0.15 * seconds


def test_losses_of_pairs_are_watched_once_the_task_is_known() -> None:
    metrics = Metrics(columns_max=10, versions_max=20)
    watch = watch_of(rule("adwin", "loss"), rule("hddm_a", "loss"), metrics=metrics)
    rng = np.random.default_rng(4)
    wrong = rng.random(2_000) < np.repeat([0.05, 0.5], 1_000)
    pairs = [
        ("1", Pair("a", "b" if no else "a"), BEGIN + row / 100) for row, no in enumerate(wrong)
    ]

    watch.take_pairs(pairs, "classes", {"1"})
    watch.take_pairs([("gone", Pair("a", "b"), BEGIN)], "classes", {"1"})
    watch.take_pairs([("1", Pair(1.0, 2.0), BEGIN)], None, {"1"})

    found = watch.of_labels(window(BEGIN, BEGIN + 50))  # type: ignore[arg-type]  # alike in what is asked
    assert {one.metric: one.value for one in found} == {"adwin_loss": 1.0, "hddm_a_loss": 1.0}
    assert watch.of_window(window(BEGIN, BEGIN + 50)) == []
    for metric in ("adwin_loss", "hddm_a_loss"):
        skipped = {"metric": metric, "reason": "task"}
        assert sample(metrics, "kedge_change_values_skipped_total", **skipped) == 1


def test_errors_of_a_quantity_are_no_zeros_and_ones() -> None:
    metrics = Metrics(columns_max=10, versions_max=20)
    watch = watch_of(rule("ddm", "loss"), metrics=metrics)

    watch.take_pairs([("1", Pair(1.0, 3.5), BEGIN)], "quantity", {"1"})

    skipped = {"metric": "ddm_loss", "reason": "not_binary"}
    assert sample(metrics, "kedge_change_values_skipped_total", **skipped) == 1


def stored(watch: ChangeWatch) -> Mapping[str, bytes]:
    return {name: kept for name, kept in watch.changed(()).items() if kept is not None}


@pytest.mark.parametrize("spoil", ["river_version", "parameters", "damaged"])
def test_memory_that_cannot_be_taken_up_is_left_with_its_reason(spoil: str) -> None:
    metrics = Metrics(columns_max=10, versions_max=20)
    first = watch_of(rule("adwin", "latency"))
    first.take(latencies([1.0] * 1_000), None, NOW)
    states = dict(stored(first))
    if spoil == "river_version":
        kept = msgspec.msgpack.decode(states[f"{CHANGES}1"])
        states[f"{CHANGES}1"] = msgspec.msgpack.encode(kept | {"river": "0.1"})
    elif spoil == "damaged":
        states[f"{CHANGES}1"] = states[f"{CHANGES}1"][:50]

    asked = rule("adwin", "latency", delta=0.01 if spoil == "parameters" else 0.002)
    second = watch_of(asked, metrics=metrics)
    second.restore(states)

    assert second.of_window(window(BEGIN, BEGIN + 5)) == []
    assert sample(metrics, "kedge_change_memory_dropped_total", reason=spoil) == 1


def test_versions_beyond_the_limit_give_way_and_leave_the_store() -> None:
    watch = watch_of(rule("adwin", "latency"), versions_max=2)

    for version in ("1", "2", "3"):
        watch.take(latencies([1.0], version=version), None, NOW)
    kept = watch.changed(forgotten=["2"])

    assert {name: state is not None for name, state in kept.items()} == {
        f"{CHANGES}1": False,
        f"{CHANGES}2": False,
        f"{CHANGES}3": True,
    }
    assert watch.evicted == 1
    assert watch.changed(()) == {}


def test_columns_beyond_the_limit_are_counted() -> None:
    metrics = Metrics(columns_max=10, versions_max=20)
    watch = watch_of(rule("adwin", "values", "*"), metrics=metrics)
    columns = {f"c{n}": NumberColumn(np.ones(2)) for n in range(STREAMS_MAX + 3)}

    watch.take(batch_of([BEGIN, BEGIN], columns), None, NOW)

    skipped = {"metric": "adwin", "reason": "streams"}
    assert sample(metrics, "kedge_change_values_skipped_total", **skipped) == 6


def test_other_rules_keep_the_streams_that_they_share() -> None:
    watch = watch_of(rule("adwin", "latency"), rule("kswin", "latency"))
    watch.take(latencies(jump()[:1_000]), None, NOW)

    watch.replace_rules([rule("adwin", "latency"), rule("kswin", "latency", alpha=0.01)])
    watch.take(latencies(jump()[:100], BEGIN + 10), None, NOW)

    def n(found: Sequence[Measurement]) -> dict[str, int]:
        return {one.metric: one.n for one in found}

    assert n(watch.of_window(window(BEGIN, BEGIN + 60))) == {
        "adwin_latency": 1_100 - WARM_UP,
        "kswin_latency": 100,
    }
