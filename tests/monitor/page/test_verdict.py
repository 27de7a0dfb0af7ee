"""The verdict and the timeline say in plain words what the status, incidents and journal hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import pytest

from monitor.page.timeline import timeline
from monitor.page.verdict import Verdict, plain, verdict
from monitor.store.queries import rfc3339

NOON = 1_772_625_600.0  # 2026-03-04T12:00Z
HOUR = 3_600.0
Json: TypeAlias = dict[str, object]


def rule(
    state: str, name: str = "drift", column: str | None = "amount", **more: object
) -> dict[str, object]:
    return {
        "name": name,
        "metric": "drift",
        "state": state,
        "since": rfc3339(NOON - HOUR),
        "cause": None,
        "column": column,
        "value": 0.4,
        "threshold": 0.25,
        **more,
    }


def status(*rules: Mapping[str, Any], version: str | None = "8", **more: object) -> dict[str, Any]:
    return {
        "model": {"name": "m", "alias": "champion", "live_version": version},
        "versions": [{"version": "8", "last_seen": rfc3339(NOON - 1)}],
        "rules": list(rules),
        "rollback": {"mode": "act", "state": "WATCHING"},
        "holds": [],
        "ready": "ok",
        **more,
    }


def incident(kind: str, version: str | None = "8", **more: object) -> dict[str, Any]:
    columns = [{"column": "amount"}, {"column": "country"}]
    return {
        "at": rfc3339(NOON - 2 * HOUR),
        "kind": kind,
        "version": version,
        "rule": "drift",
        "rollback": None,
        "segment": None,
        "evidence": {"metric": "drift", "value": 0.4, "threshold": 0.25, "columns": columns},
        **more,
    }


def record(outcome: str | None, **more: object) -> dict[str, Any]:
    return {
        "from": "8",
        "to": "7",
        "state": "RESOLVED",
        "reason": "version 8: drift in breach",
        "dry_run": False,
        "manual": False,
        "outcome": outcome,
        "detail": "no rule could decide",
        "gates": [],
        "updated": NOON - HOUR / 2,
        "timings": {"verifying": NOON - HOUR},
        **more,
    }


def said(told: Verdict) -> str:
    return " ".join(plain(sentence, NOON) for sentence in told.sentences)


def test_a_breach_names_its_columns_and_since_when() -> None:
    told = verdict(status(rule("breach")), [incident("confirmed")], [], NOON)

    assert (told.level, told.title) == ("bad", "Drifted")
    assert said(told) == "Version 8 has drifted: amount and country, since 11:00."


def test_a_breach_names_every_column_that_breaches_now_the_worst_first() -> None:
    def measured(column: str, value: float, verdict: str = "breach") -> Json:
        figures = {"metric": "drift", "value": value, "threshold": 0.25}
        return {"column": column, "verdict": verdict, **figures}

    now = [measured("age", 0.5), measured("balance", 0.9), measured("plan", 0.1, "ok")]

    told = verdict(status(rule("breach")), [incident("confirmed")], [], NOON, {("8", ""): now})

    assert said(told) == ("Version 8 has drifted: balance, age, amount and country, since 11:00.")


def test_where_rules_only_tell_it_is_said_that_nothing_was_changed() -> None:
    told = verdict(status(rule("breach", action="alert")), [incident("confirmed")], [], NOON)

    assert "Kedge has changed nothing: no rule in breach asks for a rollback." in said(told)


def test_what_is_wrong_in_a_segment_only_is_said_to_be() -> None:
    missing = rule("breach", segment="country=DE", metric="missing_ratio", column="age")

    told = verdict(status(missing), [incident("confirmed")], [], NOON)

    assert (
        said(told) == "Version 8, in the segment country=DE: age is missing too often, since 11:00."
    )


def test_the_cause_is_told_where_it_is_known() -> None:
    cause = {"origin": "model", "because": "the inputs are stable", "columns": []}

    told = verdict(status(rule("breach", cause=cause)), [incident("confirmed")], [], NOON)

    assert said(told).endswith("It is likely the model: the inputs are stable.")


def test_what_is_wrong_with_a_whole_window_is_told_with_its_figures() -> None:
    slow = rule("breach", "slow", column=None, metric="latency_p99", value=812.0, threshold=500.0)

    told = verdict(status(slow), [], [], NOON)

    assert told.title == "In breach"
    assert said(told) == (
        "Version 8 is in breach: its answers are too slow (latency_p99 is 812, the limit 500), "
        "since 11:00."
    )


@pytest.mark.parametrize(
    ("rules", "level", "text"),
    [
        ((), "unknown", "No rule is configured"),
        ((rule("unknown"),), "unknown", "No rule can tell yet"),
        ((rule("ok"), rule("ok")), "good", "2 rules found nothing wrong"),
        ((rule("ok"), rule("unknown", "slow")), "unknown", "1 of 2 rules; slow cannot tell"),
        ((rule("ok"), rule("suspect")), "watch", "not often enough yet"),
    ],
    ids=["no rule", "all unknown", "all ok", "some unknown", "suspect"],
)
def test_the_verdict_follows_the_gravest_rule(
    rules: tuple[Json, ...], level: str, text: str
) -> None:
    told = verdict(status(*rules), [], [], NOON)

    assert told.level == level
    assert text in said(told)


def test_a_rollback_that_helped_is_told_beside_the_health_of_what_answers_now() -> None:
    told = verdict(
        status(rule("ok"), version="7"), [incident("confirmed")], [record("resolved")], NOON
    )

    assert told.level == "good"
    assert said(told) == (
        "Version 7 is healthy: 1 rule found nothing wrong. "
        "Version 8 had drifted: amount and country, since 10:00. "
        "Kedge went back to version 7 at 11:00; it helped."
    )


@pytest.mark.parametrize(
    ("rollback", "title", "text"),
    [
        (record(None, state="ACTING"), "Going back", "Kedge is going back to version 7, since"),
        (
            record("would have acted", dry_run=True),
            "Healthy",
            "would have gone back to version 7 at 11:30; nothing was changed",
        ),
        (
            record("refused", gates=[{"gate": "cooldown", "passed": False, "detail": "too soon"}]),
            "Healthy",
            "did not go back at 11:30, because the gate cooldown refused: too soon.",
        ),
        (record("escalated", state="ESCALATED"), "Needs a person", "a person has to look"),
        (record("contested", state="CONTESTED"), "Needs a person", "somebody else moved"),
        (record("resolved", manual=True, reason="bad"), "Healthy", "A person asked: bad."),
    ],
    ids=["open", "dry run", "refused", "escalated", "contested", "by hand"],
)
def test_every_way_a_rollback_ends_is_told(rollback: Json, title: str, text: str) -> None:
    told = verdict(status(rule("ok")), [], [rollback], NOON)

    assert told.title == title
    assert text in said(told)


def test_a_rollback_of_the_day_before_yesterday_is_no_news() -> None:
    told = verdict(status(rule("ok")), [], [record("resolved", updated=NOON - 48 * HOUR)], NOON)

    assert "went back" not in said(told)


def test_silence_holds_and_trouble_are_told() -> None:
    hold = {"model": "m", "until": rfc3339(NOON + HOUR), "reason": "deploying"}
    quiet = [{"version": "8", "last_seen": rfc3339(NOON - 24 * HOUR)}]

    told = verdict(
        status(rule("ok"), holds=[hold], versions=quiet, ready="the disk is full"), [], [], NOON
    )

    assert (told.level, told.title) == ("bad", "Kedge is in trouble")
    assert "Nothing is counted at present: the disk is full." in said(told)
    assert "No prediction has come since 3 March, 12:00." in said(told)
    assert "Automatic action is on hold until 13:00: deploying." in said(told)


def test_the_steps_of_a_rollback_are_one_happening() -> None:
    steps = [
        incident(kind, rule=None, rollback="r-1", evidence={"to": "7", "why": kind})
        for kind in ("resolved", "verifying", "acting")
    ]

    told = timeline([incident("cleared", version="7"), *steps, incident("confirmed")])

    assert [one.title for one in told] == [
        "Breach cleared",
        "Rollback verified: it helped",
        "Breach confirmed",
    ]
    assert [one.detail for one in told[1].before] == [
        "to version 7: verifying",
        "to version 7: acting",
    ]


def test_what_people_said_is_on_the_timeline() -> None:
    said_ = {"why": "deploying", "by": "ada from 10.0.0.1", "until": None}

    (told,) = timeline([incident("hold", rule=None, version=None, evidence=said_)])

    assert (told.title, told.detail) == ("Automatic action held", "deploying (ada from 10.0.0.1)")
