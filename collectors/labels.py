"""Labels, and what they join: ids and plain values beside the columns of a batch."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import msgspec
import numpy as np
import numpy.typing as npt

from collectors.text import TEXT_CHARS_MAX, clean_text

#: A prediction or a label: a finite number, or a text; booleans are ``"true"`` and ``"false"``.
Scalar: TypeAlias = float | str


@dataclass(frozen=True, slots=True)
class JoinColumns:
    """What labels join on, a row each.

    Parameters
    ----------
    ids
        As `join_key` gives them; None where the event carried none.
    predictions
        None where there is none, or it is an array or an object.
    labels
        Labels that stood in the events themselves; None where there was none.
    """

    ids: Sequence[str | None]
    predictions: Sequence[Scalar | None]
    labels: Sequence[Scalar | None]


@dataclass(frozen=True, slots=True)
class LabelRows:
    """Labels that came in lines of their own, in log order.

    Parameters
    ----------
    ids
        Whose labels they are, as `join_key` gives them.
    labels
        The labels; None for one that is no scalar.
    ts
        When each became known, seconds since the epoch, shape ``(rows,)``.
    """

    ids: Sequence[str]
    labels: Sequence[Scalar | None]
    ts: npt.NDArray[np.float64]


@runtime_checkable
class JoinsLabels(Protocol):
    """A format that can hand out what labels join on."""

    def join_labels(self) -> None:
        """From now on fill `PredictionBatch.joins`, and `Decoded.labels` where there are any."""


def scalar(value: object) -> Scalar | None:
    """Return a decoded value as a prediction or label can be; None for null and all others.

    Examples
    --------
    >>> scalar(True), scalar(3), scalar("gold"), scalar([1]), scalar(float("nan"))
    ('true', 3.0, 'gold', None, None)
    """
    if isinstance(value, msgspec.Raw):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) else None
    return clean_text(value) if isinstance(value, str) else None


def join_key(identity: str) -> str:
    """Return an event id fit for the store: cleaned, and a digest in place of one too long.

    Examples
    --------
    >>> join_key("req-1")
    'req-1'
    >>> len(join_key("x" * 1000))
    71
    """
    if len(identity) <= TEXT_CHARS_MAX:
        return clean_text(identity)
    digest = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()
    return f"sha256:{digest}"
