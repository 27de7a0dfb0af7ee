"""Rules of traffic and rules of labels: each goes by windows of its own kind."""

from __future__ import annotations

from collections.abc import Sequence

from collectors.batch import Schema
from detectors.performance.performance import Pair, Performance, Reading, measure_performance
from detectors.rules.rule import RuleSpec
from detectors.windows.labelled import ClosedPerformance
from detectors.windows.pane import Pane
from detectors.windows.window import ClosedWindow
from monitor.judging.judging import Judge, Judged
from monitor.metrics.catalogue import Metrics
from monitor.publishing.publishing import Publisher

BEGIN = 1_772_618_400.0
RULES = (
    RuleSpec("right", "accuracy", below=0.9, min_events=50, action="rollback"),
    RuleSpec("busy", "events", below=10.0, action="rollback"),
)


def judge_of(rules: Sequence[RuleSpec] = RULES) -> Judge:
    return Judge(rules=rules, confidence=0.99, psi_bins=10)


def labels_window(right: int, wrong: int) -> ClosedPerformance:
    counts = Performance()
    for i in range(right + wrong):
        counts.add(Pair("a", "a" if i < right else "b"), Reading(), BEGIN)
    return ClosedPerformance("m", "7", BEGIN, BEGIN + 60, counts)


def labelled(judge: Judge, right: int, wrong: int) -> Judged:
    window = labels_window(right, wrong)
    found = measure_performance(
        window.counts, "classes", known={"a", "b"}, reading=Reading(), confidence=0.99
    )
    return judge.conclude_labels(window, found, events_by_version={"7": 12})


def traffic(judge: Judge) -> Judged:
    pane = Pane(None, Schema({}))
    window = ClosedWindow("m", "7", BEGIN, BEGIN + 60, pane, 60.0)
    return judge.conclude(window, None, rejected=0, late=0, events_by_version={})


def states(judged: Judged) -> dict[str, str]:
    return {report.rule: report.state for report in judged.reports}


def test_a_drop_of_accuracy_is_a_breach_with_its_evidence() -> None:
    judged = labelled(judge_of(), 60, 40)

    [incident] = judged.incidents
    assert states(judged) == {"right": "breach"}
    assert (incident["kind"], incident["evidence"]["value"]) == ("confirmed", 0.6)
    assert judged.labelled
    assert judged.row.window["events"] == 100
    assert judged.events_by_version == {"7": 12}  # traffic, and not pairs


def test_windows_of_traffic_do_not_move_a_rule_on_labels() -> None:
    judge = judge_of()
    before = labelled(judge, 100, 0).rule_states

    judged = traffic(judge)

    assert ("right", "7") not in judged.rule_states
    assert judge.standings("7")[0].state.to_json().items() <= before["right", "7"].items()


def test_a_breach_of_the_other_kind_holds_up_the_all_clear_and_confirms_nothing() -> None:
    judge = judge_of()
    breach = labelled(judge, 60, 40)

    judged = traffic(judge_of(RULES[:1])), traffic(judge)

    assert states(breach)["right"] == "breach"
    assert states(judged[0]) == {}
    assert states(judged[1]) == {"right": "suspect", "busy": "breach"}
    assert states(labelled(judge, 100, 0))["busy"] == "suspect"


def test_too_few_labels_are_unknown() -> None:
    judged = labelled(judge_of(), 10, 39)

    assert states(judged) == {"right": "unknown"}
    assert {row["verdict"] for row in judged.row.measurements} == {"unknown"}


def test_counters_of_labels_go_on_from_where_they_stood_at_the_start() -> None:
    metrics = Metrics(columns_max=10, versions_max=10)
    standing = {
        "joined": {"7": 100},
        "labels": {"joined": 100},
        "predictions": {"expired": 3},
        "waiting": {"predictions": 5},
    }

    publisher = Publisher("m", metrics)
    publisher.follow_labels(standing, count=False)
    publisher.follow_labels({**standing, "joined": {"7": 104}}, count=True)

    value = metrics.registry.get_sample_value
    assert value("kedge_labels_total", {"model": "m", "version": "7"}) == 4
    assert value("kedge_label_fates_total", {"kind": "prediction", "fate": "expired"}) == 0
    assert value("kedge_labels_waiting", {"kind": "predictions"}) == 5
