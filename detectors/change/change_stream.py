"""One change detector on one stream of one version: what it is fed, and what it has found.

Values are taken in the order in which they arrive, which is that of the log; event time decides
only which window a change belongs to, and how many values are looked at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from detectors.change.change import DamagedMemory, Memory, OtherDetector, Scale
from detectors.measurement import Measurement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collectors.batch import Floats
    from detectors.change.change import Shift
    from detectors.change.change_kinds import ChangeSpec

#: First values of a stream that fix its scale where no reference does; no change is seen in them.
WARM_UP = 300

#: Changes kept until the windows that hold them have closed.
CHANGES_MAX = 1_000

#: A second earlier than the last one by more than this begins anew: a clock was set right.
_BACK_S = 60


class Change(msgspec.Struct, array_like=True):
    """A change that was found.

    Attributes
    ----------
    at
        Event time of the value that showed it, seconds since the epoch.
    upward
        Whether values became larger.
    before, after
        Level before and after, in the stream's own unit; None where the detector does not know.
    told
        Whether a closed window has told of it.
    """

    at: float
    upward: bool
    before: float | None
    after: float | None
    told: bool = False


class _State(msgspec.Struct, array_like=True):
    identity: str
    memory: Memory
    scale: Scale | None
    warming: list[float]
    seen: int
    latest: float
    second: int
    in_second: int
    changes: list[Change]


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of values: changes found, and how many values the limit kept from it."""

    changes: Sequence[Change]
    limited: int


class ChangeStream:
    """A detector with its scale, its limit, and the changes that windows have yet to tell of.

    Parameters
    ----------
    spec
        Which detector, and which changes count.
    column
        The column; None for what is of the whole traffic.
    scale
        Scale of the values as the reference has it; None to learn it from the first values.
    """

    def __init__(self, spec: ChangeSpec, column: str | None, scale: Scale | None = None) -> None:
        self.spec = spec
        self.column = column
        self._detector = spec.parameters.build(two_sided=spec.direction != "up")
        self._scale = Scale(0.0, 1.0) if spec.parameters.scaling == "raw" else scale
        self._warming: list[float] = []
        self._seen = 0
        self._latest = -math.inf
        self._second, self._in_second = -(1 << 62), 0
        self._changes: list[Change] = []

    def take(self, values: Floats, ts: Floats) -> Taken:
        """Look at values, shape ``(rows,)``, none of them NaN, with their event times."""
        kept = self._within_limit(ts)
        limited = 0 if kept is None else len(ts) - len(kept)
        if kept is not None:
            values, ts = values[kept], ts[kept]
        if not len(values):
            return Taken((), limited)
        self._latest = max(self._latest, float(ts.max()))
        if self._scale is None:
            values, ts = self._warm_up(values, ts)
        if self._scale is None or not len(values):
            return Taken((), limited)
        found = [
            self._change(shift, float(ts[shift.row]), self._scale)
            for shift in self._look(values, self._scale)
        ]
        counted = [change for change in found if self._counts(change)]
        self._changes = [*self._changes, *counted][-CHANGES_MAX:]
        return Taken(counted, limited)

    def measurement(self, begins: float, ends: float, *, closed_end: bool) -> Measurement:
        """Measure a window: how many changes it holds.

        A change whose window was closed before it was found (its row came late, or its label did)
        is told of by the next one. Without a value since the window began it is unknown, and so
        it is while the scale is being learned.

        Parameters
        ----------
        begins, ends
            Of the window, seconds since the epoch.
        closed_end
            Whether `ends` belongs to it and `begins` to the one before, as in windows of events.
        """
        held, later = [], []
        for change in self._changes:
            after = change.at > ends if closed_end else change.at >= ends
            within = change.at > begins if closed_end else change.at >= begins
            if not after and (within or not change.told):
                change.told = True
                held.append(change)
            if after or within:
                later.append(change)
        self._changes = later
        known = self._scale is not None and self._latest >= begins
        value = float(len(held)) if known or held else None
        return Measurement(self.spec.metric, self.column, value, value, value, None, self._seen)

    def encode(self) -> bytes:
        """Return all that is remembered."""
        return msgspec.msgpack.encode(
            _State(
                self.spec.identity(),
                self._detector.memory(),
                self._scale,
                self._warming,
                self._seen,
                self._latest,
                self._second,
                self._in_second,
                self._changes,
            )
        )

    def recall(self, data: bytes) -> None:
        """Go on from what `encode` gave.

        Raises
        ------
        DamagedMemory
            It cannot be read.
        OtherDetector
            It is of one that was told something else.
        """
        try:
            kept = msgspec.msgpack.decode(data, type=_State)
        except msgspec.DecodeError as error:
            raise DamagedMemory(f"it cannot be read: {error}") from error
        if kept.identity != self.spec.identity():
            raise OtherDetector("it is told something else now")
        self._detector.recall(kept.memory)
        self._scale, self._warming, self._seen = kept.scale, kept.warming, kept.seen
        self._latest, self._changes = kept.latest, kept.changes
        self._second, self._in_second = kept.second, kept.in_second

    def _look(self, values: Floats, scale: Scale) -> list[Shift]:
        match self.spec.parameters.scaling:
            case "standardised":
                values = scale.standardised(values)
            case "unit":
                values = scale.in_unit(values)
            case _:
                pass
        shifts = self._detector.update(values.tolist())
        # What it rests on: all since it began, or began anew.
        self._seen = len(values) - shifts[-1].row - 1 if shifts else self._seen + len(values)
        return shifts

    def _change(self, shift: Shift, at: float, scale: Scale) -> Change:
        match self.spec.parameters.scaling:
            case "standardised":
                levels = [scale.from_standardised(level) for level in (shift.before, shift.after)]
            case "unit":
                levels = [scale.from_unit(level) for level in (shift.before, shift.after)]
            case _:
                levels = [shift.before, shift.after]
        before, after = (level if math.isfinite(level) else None for level in levels)
        return Change(at, shift.upward, before, after)

    def _counts(self, change: Change) -> bool:
        return self.spec.direction in ("both", "up" if change.upward else "down")

    def _warm_up(self, values: Floats, ts: Floats) -> tuple[Floats, Floats]:
        """Learn the scale from the first values; return those behind them."""
        wanted = WARM_UP - len(self._warming)
        self._warming += values[:wanted].tolist()
        if len(self._warming) == WARM_UP:
            self._scale, self._warming = Scale.of_values(np.array(self._warming)), []
        return values[wanted:], ts[wanted:]

    def _within_limit(self, ts: Floats) -> list[int] | None:
        """Rows that the limit on values a second of event time lets through; None for all."""
        limit = self.spec.values_per_second_max
        seconds = np.floor(ts).astype(np.int64)
        ordered = not len(ts) or bool((seconds[1:] >= seconds[:-1]).all())
        if ordered and len(ts) and seconds[0] >= self._second:
            # The usual case, without a step a row: seconds follow one another.
            last = int(seconds[-1])
            before = self._in_second if last == self._second else 0
            in_last = int(np.count_nonzero(seconds == last)) + before
            first = int(np.count_nonzero(seconds == seconds[0])) + self._in_second
            if max(in_last, first, len(ts)) <= limit:
                self._second, self._in_second = last, in_last
                return None
        kept = []
        for row, second in enumerate(seconds.tolist()):
            if second > self._second or second < self._second - _BACK_S:
                self._second, self._in_second = second, 0
            if self._in_second < limit:
                self._in_second += 1
                kept.append(row)
        return kept if len(kept) < len(ts) else None
