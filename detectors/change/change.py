"""Change detectors: what watches single values in the order in which they arrive.

A window compares a few minutes with a reference; a change detector compares a stream with its own
past, value by value, and says at which one it changed. :mod:`detectors.change.change_kinds` is the
table of them, :mod:`detectors.change.change_stream` feeds one from the rows of a model's version.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collectors.batch import Floats
    from detectors.columns.profile import NumberProfile

#: Standardised values end so many spreads from the centre: one value of 1e9 is one far value.
CLIP_SPREADS = 4.0

#: Smallest spread of a stream of zeros and ones: that of one in a hundred. A stream that had none
#: in its first values would otherwise take its first one for a change.
_BINARY_SPREAD_MIN = 0.1

#: Shares of a normal distribution that lie below one standard deviation left and right of its mean.
_LOW, _HIGH = 0.1587, 0.8413

#: A stream whose values were all the same is taken to spread by this share of them.
_FLAT_SPREAD = 1e-9


class DamagedMemory(ValueError):  # noqa: N818 - says what it is
    """Stored memory that is none of this detector's; it has to begin anew."""


class OtherDetector(DamagedMemory):
    """Stored memory of a detector that was told something else."""


class Memory(msgspec.Struct, array_like=True, frozen=True):
    """All that a detector remembers, as plain numbers and bytes: nothing in it is ever executed.

    Parameters
    ----------
    numbers
        In an order of the detector's own.
    data
        Bytes of the detector's own; empty where the numbers are all.
    """

    numbers: list[float]
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Shift:
    """A change that a detector found.

    Parameters
    ----------
    row
        Index of the value at which it was found, among those of the call.
    upward
        Whether values became larger.
    before, after
        Level before and after, in the detector's own terms; NaN where it does not know.
    """

    row: int
    upward: bool
    before: float
    after: float


class ChangeDetector(Protocol):
    """Watches one stream. After a change it begins anew with the next value."""

    def update(self, values: Sequence[float]) -> list[Shift]:
        """Take values in; return the changes that they show, in order.

        Values are finite. However they are cut into calls, the changes are the same.
        """

    def memory(self) -> Memory:
        """Return all that is remembered."""

    def recall(self, memory: Memory) -> None:
        """Go on from what `memory` gave; the next values show what they would have shown there.

        Raises
        ------
        DamagedMemory
            It is no memory of such a detector.
        """


class Scale(msgspec.Struct, array_like=True, frozen=True):
    """How a stream's values are put on a scale on which a detector's parameters mean the same.

    Parameters
    ----------
    centre, spread
        In the values' own unit; `spread` is positive.
    binary
        The values are zeros and ones.
    """

    centre: float
    spread: float
    binary: bool = False

    @classmethod
    def of_profile(cls, profile: NumberProfile) -> Scale | None:
        """Scale of a reference's column; None if that has no values."""
        if not profile.rows:
            return None
        low, mid, high = (profile.quantile(share) for share in (_LOW, 0.5, _HIGH))
        finite = profile.points[np.isfinite(profile.points)]
        return _scale(low, mid, high, finite) if finite.size else None

    @classmethod
    def of_values(cls, values: Floats) -> Scale:
        """Scale of a stream by its first values, at least one, all finite."""
        if np.isin(values, (0.0, 1.0)).all():
            return cls(0.0, max(_BINARY_SPREAD_MIN, float(values.std())), binary=True)
        low, mid, high = np.quantile(values, (_LOW, 0.5, _HIGH), method="inverted_cdf").tolist()
        return _scale(low, mid, high, values)

    def standardised(self, values: Floats) -> Floats:
        """Distance from the centre in spreads, at most `CLIP_SPREADS`; of binary ones, from 0."""
        if self.binary:
            return np.clip(values, 0.0, 1.0) / self.spread
        return np.clip((values - self.centre) / self.spread, -CLIP_SPREADS, CLIP_SPREADS)

    def in_unit(self, values: Floats) -> Floats:
        """Standardised values put into [0, 1]; binary ones as they are."""
        if self.binary:
            return np.clip(values, 0.0, 1.0)
        return self.standardised(values) / (2 * CLIP_SPREADS) + 0.5

    def from_standardised(self, value: float) -> float:
        """Return the value that `standardised` would make this of."""
        return value * self.spread + self.centre

    def from_unit(self, value: float) -> float:
        """Return the value that `in_unit` would make this of."""
        if self.binary:
            return value
        return self.from_standardised((value - 0.5) * 2 * CLIP_SPREADS)


def _scale(low: float, mid: float, high: float, values: Floats) -> Scale:
    """Scale by quantiles, so that a far value moves it by its one row and not by its distance."""
    centre = mid if math.isfinite(mid) else float(np.median(values))
    spread = (high - low) / 2
    if not (0 < spread < math.inf):
        # Most values are one: what the others are spreads it, if there are others.
        spread = float(np.minimum(np.abs(values - centre), 1e100).std())
    if not (0 < spread < math.inf):
        spread = max(abs(centre), 1.0) * _FLAT_SPREAD
    return Scale(centre, spread)
