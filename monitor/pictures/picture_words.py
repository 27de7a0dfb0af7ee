"""What a picture shows, in words: for who does not see it, and for who has ten seconds. Pure."""

from __future__ import annotations

from typing import Final

from detectors.columns.side_by_side import SideBySide
from monitor.pictures.charts import Share, shares_of

#: New values are worth a sentence from this share of the rows on.
_NEW_SHARE: Final = 0.005
#: Missing values are worth one when their share rises by so much.
_MISSING_RISE: Final = 0.01


def said_of(column: SideBySide) -> str:
    """Say where a window differs most from its reference, and what the reference has none like.

    Examples
    --------
    >>> from detectors.columns.side_by_side import Bars, Counted, beside
    >>> bars = Bars("ranges", (5.0, 9.0), (1, 98, 1), 0)
    >>> said_of(beside(bars, Counted((0, 40, 60), 0, 55)))
    "“above 9” went from 1.0% of the rows to 60.0%; 55.0% are outside of the reference's range."
    """
    most = max(shares_of(column), key=_change, default=None)
    said = [_changes_most(column, most)]
    share = column.new / max(1, column.current_rows)
    told = most is not None and most.new and round(share, 3) == round(most.current, 3)
    if share >= _NEW_SHARE and not told:
        said.append(f"{share:.1%} are {_like_nothing(column)}")
    before, now = missing_of(column)
    if now - before >= _MISSING_RISE:
        # What changed most comes first.
        first = most is None or now - before > _change(most)
        said.insert(
            0 if first else len(said), f"missing values went from {before:.1%} to {now:.1%}"
        )
    return "; ".join(said) + "."


def missing_of(column: SideBySide) -> tuple[float, float]:
    """Return the share of all rows that have no value, in the reference and in the window."""
    before = column.reference_rows + column.reference_missing
    now = column.current_rows + column.current_missing
    return column.reference_missing / max(1, before), column.current_missing / max(1, now)


def _change(one: Share) -> float:
    return abs(one.current - one.reference)


def _changes_most(column: SideBySide, most: Share | None) -> str:
    if most is None or not column.current_rows:
        return "no row of the window has a value"
    if round(most.reference, 3) == round(most.current, 3):
        return "the window looks like the reference"
    return (
        f"“{most.label}” went from {most.reference:.1%} of the rows to {most.current:.1%}"
        if not most.new
        else f"the new value “{most.label}” has {most.current:.1%} of the rows"
    )


def _like_nothing(column: SideBySide) -> str:
    if column.kind == "category":
        return "categories that the reference does not have"
    ranged = any(one.low is not None or one.high is not None for one in column.bins)
    return f"outside of the reference's {'range' if ranged else 'few values'}"
