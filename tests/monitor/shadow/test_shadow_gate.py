"""A comparison of a rollback's target, as the gate takes it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from collectors.labels import Scalar
from detectors.paired.answers import PairedAnswer, PairedAnswers
from detectors.paired.comparison import summarise
from monitor.shadow.gate import comparison_of


def compared(
    pairs: Sequence[tuple[Scalar, Scalar]], label: Scalar | None
) -> tuple[str, int, float | None]:
    counts = PairedAnswers()
    for live, target in pairs:
        counts.add(PairedAnswer(live, target, label), 0.0, tolerance=0.0)
    found = comparison_of(summarise(counts, live="8", other="7", confidence=0.99))
    assert found.to_version == "7"
    return found.verdict, found.n, found.difference


@pytest.mark.parametrize(
    ("pairs", "label", "expected"),
    [
        ([("bad", "good")] * 200, "good", ("better", 200, 1.0)),
        ([("good", "bad")] * 200, "good", ("worse", 200, -1.0)),
        ([("good", "good")] * 200, "good", ("alike", 200, 0.0)),
        ([("good", "good")] * 200, None, ("alike", 200, None)),
        ([("bad", "good")] * 200, None, ("apart", 200, None)),
        ([("bad", "good")], "good", ("unknown", 1, 1.0)),
        ([], None, ("unknown", 0, None)),
    ],
    ids=["better", "worse", "alike", "alike-unlabelled", "apart-unlabelled", "one-row", "none"],
)
def test_only_labels_say_which_version_is_better(
    pairs: Sequence[tuple[Scalar, Scalar]], label: Scalar | None, expected: object
) -> None:
    assert compared(pairs, label) == expected
