"""The page shows whatever the facts hold: a shadow, nothing yet, a thousand columns, odd names."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from typing import Any

import pytest

from detectors.columns.side_by_side import Bars, Counted, beside
from monitor.page.facts import Facts
from monitor.page.status_page import COLUMNS_MAX, PICTURES_MAX, render
from monitor.pictures.last_windows import LastWindow
from monitor.store.queries import rfc3339
from tests.monitor.page.test_verdict import NOON, incident, record, rule, status

HOSTILE = "</td><script>alert(1)</script>\"'&{{ 7 * 7 }}\x00\ud800"


def whole(*rules: dict[str, object], **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    filled = status(
        *({"segment": None, "low": 0.3, "high": 0.5, "action": "alert", **one} for one in rules),
        totals={"all": {"events": 10, "rejected": 0, "late": 0, "shed": 0}},
    )
    filled["versions"] = [
        {**one, "events": 10, "last_window_end": rfc3339(NOON)} for one in filled["versions"]
    ]
    return {**filled, **more}


def text(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def measured(name: str, verdict: str = "ok", value: float | None = 0.1) -> dict[str, Any]:
    bounds = {"low": None, "high": None, "threshold": 0.25}
    return {"column": name, "metric": "psi", "value": value, "verdict": verdict, **bounds}


def pictured(*names: str, segment: str = "") -> LastWindow:
    column = beside(Bars("categories", ("a",), (3, 1), 0), Counted((1, 3), 1, 0))
    return LastWindow("8", NOON - 60, NOON, dict.fromkeys(names, column), segment)


def test_a_daemon_that_has_seen_nothing_has_a_page() -> None:
    nothing = whole(version=None) | {"versions": []}
    nothing["model"]["live_version"] = None

    page = text(render(Facts(nothing, NOON)))

    assert "No prediction has been seen so far." in page
    assert "No window has closed yet." in page


def test_names_from_the_data_are_text_wherever_they_stand() -> None:
    hostile = HOSTILE.replace("\ud800", "?")  # JSON has carried none from the store
    facts = Facts(
        whole(rule("breach", name=hostile, column=hostile)),
        NOON,
        incidents=[incident("confirmed", rule=hostile, evidence={"column": hostile})],
        measured={("8", ""): [measured(hostile, "breach")]},
        pictured={("8", ""): pictured(hostile)},
    )

    page = render(facts)

    assert page.count("<script") == 2
    assert "7 * 7" in page
    assert 'class="chart"><svg' in page


@pytest.mark.parametrize("value", [0.25, None])
def test_the_shadow_is_shown_where_there_is_one(value: float | None) -> None:
    found = {"value": value, "low": 0.2, "high": 0.3, "p_value": None, "n": 400}
    shadow = {
        "version": "9",
        "live": "8",
        "state": "scoring",
        "why": "",
        "disagreement": found,
        "measurements": {"disagreement": found},
    }

    page = text(render(Facts(whole(rule("ok"), shadow=shadow), NOON)))

    assert "Version 9 answers the same requests in the shadow (scoring)." in page
    assert ("differs from version 8 on 25.0% of them" in page) == (value is not None)


def test_of_many_columns_the_ones_nearest_to_their_limit_are_listed_and_a_few_drawn() -> None:
    names = [f"column-{number}" for number in range(1_000)]
    many = [{"column": name} for name in names]
    facts = Facts(
        whole(rule("breach")),
        NOON,
        incidents=[incident("confirmed", evidence={"columns": many})],
        measured={
            ("8", ""): [measured(name, value=number / 1e4) for number, name in enumerate(names)]
        },
        pictured={("8", ""): pictured(*names)},
    )

    page = render(facts)

    assert page.count("<article") == PICTURES_MAX
    assert "Without a picture here: column-" in page
    assert page.count("?column=") == COLUMNS_MAX
    assert "?column=column-999#chosen" in page
    assert "?column=column-1#chosen" not in page


def test_any_column_can_be_drawn_for_the_asking_and_one_that_is_not_there_is_not() -> None:
    facts = Facts(whole(rule("ok")), NOON, pictured={("8", ""): pictured("age")})

    asked, unknown = render(facts, "age"), render(facts, "nothing")

    assert 'id="chosen"' in asked
    assert (
        "“a” went from 75.0% of the rows to 25.0%; missing values went from 0.0% to 20.0%."
    ) in text(asked)
    assert "<article" not in unknown


def test_what_drifted_in_the_version_that_was_left_is_drawn_beside_the_healthy_one() -> None:
    facts = Facts(
        whole(rule("ok")),
        NOON,
        incidents=[incident("confirmed")],
        rollbacks=[record("resolved")],
        pictured={("8", ""): pictured("amount", "country")},
    )
    facts.status["model"]["live_version"] = "7"

    drawn = render(facts)
    later = render(replace(facts, now=NOON + 2 * 86_400))

    assert drawn.count("<article") == 2
    assert "<article" not in later


def test_a_column_in_breach_in_a_segment_only_is_drawn_for_that_segment() -> None:
    germany = "country=DE"
    facts = Facts(
        whole(rule("breach", segment=germany)),
        NOON,
        incidents=[incident("confirmed", segment=germany)],
        measured={("8", germany): [measured("amount", "breach")]},
        pictured={
            ("8", ""): pictured("amount"),
            ("8", germany): pictured("amount", segment=germany),
        },
    )

    page = text(render(facts))

    assert "Version 8, in the segment country=DE, has drifted" in page
    assert "version 8, segment country=DE, window until" in page
    assert render(facts).count("<article") == 1


def test_a_drifted_column_without_a_picture_is_named() -> None:
    facts = Facts(whole(rule("breach")), NOON, incidents=[incident("confirmed")])

    page = text(render(facts))

    assert "Without a picture here: amount and country." in page
    assert "None, as far as the rules can tell" not in page
