"""Segments of the traffic: what an event says of where it belongs, beside its features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from collectors.text import clean_text


@runtime_checkable
class ReadsSegments(Protocol):
    """A format whose events carry segments, and that can hand them out."""

    def read_segments(self, keys: Sequence[str]) -> None:
        """From now on fill `PredictionBatch.segments` with the values of these keys."""


def segment_values(segments: Sequence[Any], key: str) -> list[str | None]:
    """Return the value of a key for each row; None where there is none, or it is no string.

    Examples
    --------
    >>> segment_values([{"country": "DE"}, {"country": 7}, None, "DE"], "country")
    ['DE', None, None, None]
    """
    return [
        clean_text(value)
        if isinstance(one, dict) and isinstance(value := one.get(key), str) and value
        else None
        for one in segments
    ]
