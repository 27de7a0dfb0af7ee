"""What of a shadow's standing a person is shown: all figures, and the worst segments. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

#: Segments shown to a person; the API has all of them.
SHOWN_MAX: Final = 10


def all_measured(shadow: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the figures of the last window of pairs, and of the last one of labels.

    Examples
    --------
    >>> windows = {"measurements": {"psi": 1}, "labelled": {"measurements": {"accuracy": 2}}}
    >>> all_measured(windows), all_measured({})
    ({'psi': 1, 'accuracy': 2}, {})
    """
    labelled = shadow.get("labelled") or {}
    return {**shadow.get("measurements", {}), **labelled.get("measurements", {})}


def most_apart(shadow: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the segments on which the shadow differs for sure the most, the first the worst.

    They go by the lower bound of the disagreement: a large share of five requests says little.

    Examples
    --------
    >>> found = [
    ...     {"segment": name, "disagreement": {"value": value, "low": low}}
    ...     for name, value, low in (("a", 0.1, 0.09), ("b", 1.0, 0.03), ("c", 0.5, 0.4))
    ... ]
    >>> [one["segment"] for one in most_apart({"segments": found})]
    ['c', 'a', 'b']
    """
    found = [one for one in shadow.get("segments", ()) if one["disagreement"]]
    known = [one for one in found if one["disagreement"]["value"] is not None]
    return sorted(known, key=_certainty, reverse=True)[:SHOWN_MAX]


def _certainty(one: Mapping[str, Any]) -> tuple[float, float]:
    found = one["disagreement"]
    return found["low"] or 0.0, found["value"]
