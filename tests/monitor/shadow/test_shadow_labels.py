"""Labels that come later meet the answers of both versions, once each, over restarts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collectors.batch import NumberColumn, PredictionBatch
from collectors.labels import JoinColumns, LabelRows, Scalar
from detectors.paired.comparison import LABELLED_METRICS, SHADOW_METRICS
from detectors.performance.performance import Reading
from detectors.rules.rule import RuleSpec
from detectors.windows.labelled import PerformanceWindows
from detectors.windows.paired import PairedWindows
from detectors.windows.window_spec import WindowSpec
from monitor.counting.engine import LABELS, SHADOW
from monitor.judging.judging import Judged
from monitor.judging.turn import Pending
from monitor.labels.labels import LabelJoin
from monitor.labels.settling import JoinSpec
from monitor.shadow.judging import ShadowJudging
from monitor.shadow.labelled import LabelledShadow
from monitor.shadow.queues import Answered, ShadowQueue
from monitor.shadow.watch import ShadowStanding, ShadowWatch
from monitor.store.store import Store
from monitor.traffic.segments import Segments
from tests.monitor.daemon import Kedge, eventually, running
from tests.monitor.shadowing import MODEL, configuration, live_events, write

T0, DAY_S = 1_772_618_400.0, 86_400.0
FOURS = WindowSpec("events", 4, 4)
SMALL = "country=FR"
RULE = RuleSpec("worse", "shadow_accuracy_difference", below=-0.5)
OTHER_RULE = RuleSpec("differs", "shadow_disagreement", above=0.9)
SPEC = JoinSpec(
    ttl_s=30 * DAY_S,
    pending_max=1_000,
    task="classes",
    min_pairs=4,
    confidence=0.95,
    ahead_max_s=DAY_S,
    idle_s=10.0,
)


class Daemon:
    """The counting's half of a shadow and of labels, with their store; begun anew by `restart`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.restart()

    def restart(self) -> None:
        """Go on from what was committed."""
        how = {"confidence": 0.95, "psi_bins": 10}
        self._queue = ShadowQueue(100)
        self._segments = Segments(("country",), 3)
        self.labels = LabelJoin(
            SPEC, PerformanceWindows(FOURS, "m", Reading()), wall=lambda: T0 + 9 * DAY_S
        )
        rules = [RULE, OTHER_RULE]
        others = SHADOW_METRICS - LABELLED_METRICS
        self.watch = ShadowWatch(
            PairedWindows(FOURS, "m", segments_max=4),
            self._queue,
            ShadowStanding("scoring", "8"),
            ShadowJudging(rules, metrics=others, **how),  # type: ignore[arg-type] # as named
            sampling=1.0,
            queue_max=100,
            segments=self._segments,
            labelled=LabelledShadow(
                PairedWindows(FOURS, "m", segments_max=4),
                ShadowJudging(rules, metrics=LABELLED_METRICS, **how),  # type: ignore[arg-type] # as named
                **how,  # type: ignore[arg-type] # as named
            ),
            **how,  # type: ignore[arg-type] # as named
        )
        kept = self._store.load()
        self._segments.restore(kept.states)
        self.labels.restore(kept.states.get(LABELS), kept.performance_panes)
        self.watch.restore(kept.states.get(SHADOW), kept.rules)

    def predict(
        self, answers: Mapping[str, Scalar], labels: Mapping[str, Scalar] | None = None
    ) -> None:
        """Take live answers by id; those whose id holds an ``f`` are French."""
        rows = len(answers)
        known = [(labels or {}).get(id_) for id_ in answers]
        batch = PredictionBatch(
            *("m", "7", "live", "server"),
            ts=np.full(rows, T0),
            latency_ms=np.full(rows, 5.0),
            status=np.full(rows, 200),
            weight=np.ones(rows),
            columns={"age": NumberColumn(np.zeros(rows))},
            joins=JoinColumns(list(answers), list(answers.values()), known),
            segments={"country": ["FR" if "f" in id_ else "DE" for id_ in answers]},
        )
        self.labels.take(batch)
        self.watch.take(batch)
        list(self._segments.parts(batch))

    def answer(self, *answers: Scalar) -> None:
        """Have the shadow answer the requests that wait, in order."""
        for one in answers:
            request = self._queue.take()
            assert request is not None
            self._queue.answer(Answered(request, "scored", "8", [one], 3.0))

    def label(self, labels: Mapping[str, Scalar]) -> None:
        """Take labels that come a day later."""
        moments = np.full(len(labels), T0 + DAY_S)
        self.labels.take_labels(LabelRows(list(labels), list(labels.values()), moments))

    def commit(self) -> list[Judged]:
        """Commit as the engine does; return what was concluded."""
        pending = Pending()
        change = pending.change
        self.watch.settle(T0 + DAY_S, pending)
        self.watch.hand_over(self.labels)
        change.labels = self.labels.settle(self._store)
        self.watch.settle_labels(self.labels, pending)
        self.labels.close()
        change.states[LABELS] = self.labels.complete(change.labels)
        change.states[SHADOW] = self.watch.complete(())
        change.states.update(self._segments.changed())
        self._store.commit(change)
        return pending.judged


@pytest.fixture
def daemon(url: str) -> Iterator[Daemon]:
    store = Store.open(url, clock=lambda: 0.0)
    yield Daemon(store)
    store.close()


def labelled(judged: list[Judged], segment: str = "") -> dict[str, Any]:
    windows = [one for one in judged if one.row.window["kind"] == "shadow-labels"]
    (window,) = [one for one in windows if one.row.window["segment"] == segment]
    assert window.row.window["version"] == "8"
    assert {row["column"] for row in window.row.measurements} == {"7"}
    return {row["metric"]: (row["value"], row["n"]) for row in window.row.measurements}


ANSWERS: Mapping[str, Scalar] = {"a": "x", "b": "x", "cf": "y", "df": "y"}
TRUTH: Mapping[str, Scalar] = {"a": "x", "b": "x", "cf": "y", "df": "x"}


@pytest.mark.parametrize("restarts", [False, True], ids=["at-once", "over-restarts"])
def test_labels_of_the_next_day_tell_how_right_both_are_on_the_same_requests(
    daemon: Daemon, *, restarts: bool
) -> None:
    daemon.predict(ANSWERS)
    daemon.answer("x", "z", "z", "z")
    first = daemon.commit()
    if restarts:
        daemon.restart()
    daemon.label({id_: TRUTH[id_] for id_ in ("a", "b")})
    between = daemon.commit()
    if restarts:
        daemon.restart()
    daemon.label({id_: TRUTH[id_] for id_ in ("cf", "df")})

    found = labelled(daemon.commit())

    assert {one.row.window["kind"] for one in first} == {"shadow"}
    assert not {row["metric"] for one in first for row in one.row.measurements} & LABELLED_METRICS
    assert between == []
    assert found == {
        "shadow_accuracy": (0.25, 4),
        "shadow_live_accuracy": (0.75, 4),
        "shadow_accuracy_difference": (-0.5, 4),
    }
    shown = daemon.watch.standing()["labelled"]
    assert (shown["live"], shown["measurements"]["accuracy"]["value"]) == ("7", 0.25)


def test_a_shadow_that_answers_after_the_label_came_counts_as_well(daemon: Daemon) -> None:
    daemon.predict(ANSWERS)
    daemon.label(TRUTH)
    before = daemon.commit()

    daemon.answer("x", "z", "z", "z")
    found = labelled(daemon.commit())

    assert before == []
    assert found["shadow_accuracy"] == (0.25, 4)


def test_answers_and_labels_of_one_commit_meet_and_a_label_said_twice_counts_once(
    daemon: Daemon,
) -> None:
    daemon.predict(ANSWERS)
    daemon.answer("x", "z", "z", "z")
    daemon.label(TRUTH)
    found = labelled(daemon.commit())

    daemon.label(TRUTH)
    daemon.label({"a": "z"})
    again = daemon.commit()

    assert found["shadow_accuracy"] == (0.25, 4)
    assert again == []


def test_an_id_that_is_used_again_counts_for_the_first_answer_of_each(daemon: Daemon) -> None:
    daemon.predict(ANSWERS)
    daemon.answer("x", "z", "z", "z")
    daemon.commit()

    def again(labels: Mapping[str, Scalar]) -> list[Judged]:
        daemon.predict(ANSWERS)
        daemon.answer("z", "x", "y", "x")
        if labels:
            daemon.label(labels)
        return daemon.commit()

    before, met, after = again({}), again(TRUTH), again({})

    assert labelled(met)["shadow_accuracy"] == (0.25, 4)
    assert {one.row.window["kind"] for one in (*before, *after)} == {"shadow"}


def test_labels_in_the_events_count_with_those_that_come_later(daemon: Daemon) -> None:
    daemon.predict(ANSWERS, {"a": "x", "b": "x"})
    daemon.answer("x", "z", "z", "z")
    daemon.label({"cf": "y", "df": "x"})

    found = labelled(daemon.commit())

    assert found["shadow_live_accuracy"] == (0.75, 4)


def test_a_segment_has_windows_of_labels_of_its_own(daemon: Daemon) -> None:
    french: dict[str, Scalar] = {f"f{number}": "x" for number in range(4)}
    daemon.predict(french)
    daemon.answer("x", "z", "z", "z")
    daemon.commit()
    daemon.restart()
    daemon.label(french)

    judged = daemon.commit()

    assert labelled(judged, SMALL)["shadow_accuracy"] == (0.25, 4)
    assert labelled(judged) == labelled(judged, SMALL)


def test_rules_that_need_labels_are_judged_by_them_and_the_others_by_pairs(daemon: Daemon) -> None:
    daemon.predict(dict.fromkeys("abcd", "x"))
    daemon.answer("z", "z", "z", "z")
    pairs = daemon.commit()
    daemon.label(dict.fromkeys("abcd", "x"))
    labels = daemon.commit()

    assert {rule for one in pairs for rule, _ in one.rule_states} == {"differs"}
    assert {rule for one in labels for rule, _ in one.rule_states} == {"worse"}
    assert [one.rule.name for one in daemon.watch.standings()] == ["differs", "worse"]


def test_numbers_have_errors(daemon: Daemon) -> None:
    daemon.predict({"a": 1.5, "b": 2.5, "c": 3.5, "d": 4.5})
    daemon.answer(1.0, 2.0, 3.0, 4.0)
    daemon.label({"a": 1.25, "b": 2.5, "c": 3.5, "d": 4.5})

    found = labelled(daemon.commit())

    assert found["shadow_error"] == ((0.25 + 3 * 0.5) / 4, 4)
    assert found["shadow_live_error"] == (0.25 / 4, 4)


@pytest.mark.real
def test_a_daemon_joins_late_labels_to_both_versions_over_a_kill(
    tmp_path: Path, registry_uri: str
) -> None:
    labels = """
[labels]
join = true

[segments]
keys = ["country"]

[[rules]]
name = "worse"
metric = "shadow_accuracy_difference"
below = -0.2
for = "1 of 1"
"""
    config = configuration(tmp_path, registry_uri, 'version = "2"', labels)
    events, log = live_events(60), tmp_path / "predictions.jsonl"
    write(log, events)

    with running(config) as kedge:
        eventually(lambda: shadow_of(kedge)["requests"]["scored"] >= 60, what="all are scored")
        kedge.kill()
    truths = [
        {"id": one["id"], "ts": one["ts"] + DAY_S, "label": one["prediction"]} for one in events
    ]
    with running(config) as kedge:
        kedge.counted(60)
        fates = shadow_of(kedge)["requests"]
        write(log, truths)
        eventually(lambda: shadow_of(kedge)["labelled"]["measurements"], what="a labelled window")
        eventually(lambda: rule(kedge) == "breach", what="the breach")
        rows = kedge.get("/api/v1/measurements?version=2&metric=shadow_accuracy")["measurements"]
        page, html = kedge.page("/metrics"), kedge.page("/")
        assert kedge.stop() == 0

    assert fates["scored"] + fates["lost"] == 60
    whole = [row for row in rows if row["segment"] is None]
    assert {(row["live"], row["value"], row["n"]) for row in whole} == {("1", 0.0, 20)}
    one = f'model="{MODEL}",shadow="2"'
    assert f'kedge_shadow_statistic{{live="1",metric="live_accuracy",{one}}} 1.0' in page
    assert f'kedge_shadow_statistic{{live="1",metric="accuracy",{one}}} 0.0' in page
    assert "live accuracy" in html


def shadow_of(kedge: Kedge) -> dict[str, Any]:
    return dict(kedge.get("/api/v1/status")["shadow"])


def rule(kedge: Kedge) -> str:
    return str(kedge.get("/api/v1/status")["rules"][0]["state"])
