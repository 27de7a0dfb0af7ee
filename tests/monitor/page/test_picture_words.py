"""A picture is told in one sentence: what changed most, what is new, and what is missing."""

from __future__ import annotations

import pytest

from detectors.columns.side_by_side import Bars, Counted, beside
from monitor.pictures.picture_words import said_of

PLANS = Bars("categories", ("gold", "tin"), (60, 40, 0), 0)
AGES = Bars("ranges", (10.0, 20.0), (1, 98, 1), 0)


@pytest.mark.parametrize(
    ("bars", "counted", "said"),
    [
        (PLANS, Counted((60, 40, 0), 0, 0), "the window looks like the reference."),
        (PLANS, Counted((0, 0, 0), 9, 0), "missing values went from 0.0% to 100.0%"),
        (PLANS, Counted((30, 70, 0), 0, 0), "“gold” went from 60.0% of the rows to 30.0%."),
        (
            PLANS,
            Counted((30, 20, 0), 0, 50, {"zinc": 50}),
            "the new value “zinc” has 50.0% of the rows.",
        ),
        (
            PLANS,
            Counted((30, 20, 0), 0, 50, {"zinc": 40}),
            (
                "the new value “zinc” has 40.0% of the rows; "
                "50.0% are categories that the reference does not have."
            ),
        ),
        (
            AGES,
            Counted((1, 98, 1), 50, 0),
            "missing values went from 0.0% to 33.3%; the window looks like the reference.",
        ),
        (
            AGES,
            Counted((0, 40, 60), 5, 55),
            (
                "“above 20” went from 1.0% of the rows to 60.0%; 55.0% are outside of the "
                "reference's range; missing values went from 0.0% to 4.8%."
            ),
        ),
    ],
    ids=["alike", "empty", "shifted", "one new", "some new", "mostly missing", "all at once"],
)
def test_the_gravest_change_is_told_first(bars: Bars, counted: Counted, said: str) -> None:
    assert said_of(beside(bars, counted)).startswith(said)
