"""What a report says, and what it keeps of thousands of windows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.reports.facts import Facts, VersionFacts
from monitor.reports.series import POINTS_MAX, Point, Series
from monitor.reports.standing import standing
from monitor.reports.words import headline, rollback, summary

BEGIN = 1_772_618_400.0


def point(
    number: int, value: float | None, verdict: str = "ok", threshold: float | None = 0.5
) -> Point:
    ends = BEGIN + 60 * number
    low, high = (None, None) if value is None else (value - 0.1, value + 0.1)
    breaches = int(verdict == "breach")
    return Point(ends - 60, ends, value, low, high, 100, threshold, verdict, 1, breaches)


def version(name: str, **columns: list[Point]) -> VersionFacts:
    """A version whose columns' drift was measured so."""
    facts = VersionFacts(name, windows=3, begins=BEGIN, ends=BEGIN + 180)
    for column, points in columns.items():
        series = facts.series[column, "drift"] = Series()
        for one in points:
            series.add(one)
    return facts


def facts(*versions: VersionFacts, **more: Any) -> Facts:  # noqa: ANN401 - as of Facts
    return Facts("flight-delay", "the store", BEGIN, versions, more.pop("incidents", ()), **more)


def said(of: Facts) -> list[str]:
    standings = [standing(one, name) for one in of.versions for name in sorted(one.columns())]
    return [headline(of, standings)[1], *summary(of, standings)]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3_000),
            st.none() | st.floats(-10, 10),
            st.sampled_from(["ok", "breach", "unknown"]),
        ),
        min_size=1,
        max_size=600,
    ),
    st.integers(2, POINTS_MAX),
)
def test_a_series_is_bounded_and_hides_no_breach(
    windows: list[tuple[int, float | None, str]], points_max: int
) -> None:
    series = Series()
    for number, value, verdict in windows:
        series.add(point(number, value, verdict))

    points = series.points(points_max)

    assert len(points) <= points_max
    assert sum(one.windows for one in points) == len(windows) == series.windows
    breaches = sum(verdict == "breach" for _, _, verdict in windows)
    assert sum(one.breaches for one in points) == breaches == series.breaches
    assert all(one.verdict == "breach" for one in points if one.breaches)
    assert [one.ends for one in points] == sorted(one.ends for one in points)
    in_breach = [
        value for _, value, verdict in windows if verdict == "breach" and value is not None
    ]
    if in_breach:
        assert series.worst is not None
        assert series.worst.value == max(in_breach)


def test_the_summary_names_what_drifted_since_when_and_what_became_of_the_rest() -> None:
    bad = [point(1, 0.1), point(2, 0.9, "breach"), point(3, 0.9, "breach")]
    good, open_ = [point(1, 0.1)], [point(1, 0.4, "unknown")]
    eight = version(
        "8", amount=bad, country=bad, age=good, plan=open_, free=[point(1, 0.1, "unknown", None)]
    )

    lines = said(facts(version("7", amount=good), eight))

    assert lines[0] == "Two columns drifted"
    assert lines[1] == (
        "In 6 windows from 2026-03-04 10:00 UTC to 2026-03-04 10:03 UTC, "
        "versions 7 and 8 of flight-delay answered."
    )
    assert lines[2] == (
        "Version 8: two columns drifted, proven: amount and country; "
        "first seen in the window that ended at 2026-03-04 10:02 UTC."
    )
    assert lines[3] == (
        "Of the others, one column did not drift; of one column it cannot be told; "
        "no rule looks at one column."
    )
    assert lines[4] == "Version 7: one column did not drift."
    assert lines[-1] == "Nothing was rolled back."


def test_a_column_that_could_not_be_judged_is_never_called_stable() -> None:
    lines = said(facts(version("8", amount=[point(1, 0.4, "unknown")])))

    assert lines[0] == "Nothing can be told"
    assert "Version 8: of one column it cannot be told." in lines


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ("resolved", "Kedge went back from version 8 to version 7; it helped"),
        ("would have acted", "would have gone back from version 8 to version 7; it was a dry run"),
        ("would breach", "by its mode Kedge only observes"),
        ("refused", "did not go back from version 8 to version 7: cooldown: too soon"),
        ("escalated", "ended without proof that it helped (escalated): nobody answers"),
        ("contested", "somebody else moved the model: nobody answers"),
        (None, "it is not over (VERIFYING)"),
    ],
)
def test_a_rollback_is_told_with_how_it_ended(outcome: str | None, words: str) -> None:
    record = {
        "from": "8",
        "to": "7",
        "reason": "drift",
        "detail": "nobody answers.",
        "created": BEGIN,
        "state": "VERIFYING",
        "outcome": outcome,
        "gates": [
            {"gate": "hold", "passed": True, "detail": ""},
            {"gate": "cooldown", "passed": False, "detail": "too soon"},
        ],
    }

    text = rollback(record)

    assert text.startswith("At 2026-03-04 10:00 UTC ")
    assert words in text
    assert text.endswith(".")


def test_rules_that_fired_are_named_with_the_likely_cause() -> None:
    cause = {"origin": "world", "because": "age drifted", "columns": ["age"]}
    fired = {
        "at": BEGIN,
        "kind": "confirmed",
        "rule": "any-drift",
        "version": "8",
        "segment": "country=DE",
        "rollback": None,
        "evidence": {"cause": cause},
    }

    lines = said(facts(version("8", amount=[point(1, 0.1)]), incidents=[fired], replayed=True))

    assert lines[0] == "One breach"
    assert any(
        line == "Rule any-drift fired once, first at 2026-03-04 10:00 UTC on version 8 "
        "in the segment country=DE."
        for line in lines
    )
    assert "Likely the world: age drifted." in lines
    assert lines[-1].startswith("These are old logs")
