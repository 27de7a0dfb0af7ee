"""Prediction events that come in two: features under an id, and under the same id a prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from collectors.formats.event_batches import Rows
from collectors.formats.event_line import Unusable, parse_line
from collectors.formats.exchange import Half
from collectors.formats.joining import Joiner, Waiting

#: A request that failed has no prediction to wait for.
_FAILED_STATUS_MIN = 400


class EventHalves:
    """Takes halves out of the rows of a log, and gives whole events back.

    A half is a live row with an id and only one of features and prediction, of a request that
    did not fail.

    Parameters
    ----------
    join_s
        How long a half waits, in event time.
    depth_max
        Deepest nesting of a line.
    """

    def __init__(self, join_s: float, *, depth_max: int) -> None:
        self._joiner = Joiner(join_s)
        self._depth_max = depth_max
        self._events: list[Mapping[str, Any]] = []
        self._joined = 0

    def take_out(self, rows: Rows, lines: Sequence[bytes] | None, block: bytes) -> Rows:
        """Let halves wait; return the other rows.

        Parameters
        ----------
        lines
            The line of each row; None if they are the lines of the block, one by one.
        """
        sides = _sides(rows)
        if not sides:
            return rows
        if lines is None:
            lines = block.split(b"\n")
        ids, ts = rows.keys["id"], rows.ts.tolist()
        taken = {
            row for row, side in sides.items() if self._wait(ids[row], side, ts[row], lines[row])
        }
        return rows.taken([row for row in range(len(ts)) if row not in taken])

    def expire(self, wall: float, silent_s: float) -> None:
        """Give up halves that have waited long enough."""
        self._joiner.expire(wall, silent_s)

    def take_events(self) -> tuple[list[Mapping[str, Any]], int, int]:
        """Return events whole by now or given up, and how many were joined and given up."""
        events, self._events = self._events, []
        joined, self._joined = self._joined, 0
        alone = [self._parsed(half) for half in self._joiner.take_alone()]
        return events + alone, joined, len(alone)

    def encode(self) -> bytes | None:
        """Return what waits."""
        return self._joiner.encode()

    def restore(self, state: bytes) -> None:
        """Go on where `encode` stood."""
        self._joiner.restore(state)

    def _wait(self, key: str, side: Half, ts: float, line: bytes) -> bool:
        if not self._joiner.expects(side):
            return False
        half = Waiting(key, side, line)
        met = self._joiner.meet(half, ts)
        if met is not None:
            halves = (half, met) if side == "request" else (met, half)
            self._events.append(_together(*(self._parsed(one) for one in halves)))
            self._joined += 1
        return True

    def _parsed(self, half: Waiting) -> Mapping[str, Any]:
        try:
            return parse_line(half.payload, depth_max=self._depth_max)
        except Unusable:  # what the quick way takes and the standard does not: a stray NUL
            return {}


def _sides(rows: Rows) -> dict[int, Half]:
    """Which rows are halves."""
    features, predictions = rows.keys["features"], rows.keys["prediction"]
    if type(None) not in rows.prediction_types and not rows.lacks_features:
        return {}
    found: dict[int, Half] = {}
    keys = (rows.keys["id"], rows.keys["status"], rows.keys["role"])
    both = zip(features, predictions, *keys, strict=True)
    for row, (asked, answered, id_, status, role) in enumerate(both):
        is_half = (asked is None) != (answered is None)
        if is_half and id_ and (status or 0) < _FAILED_STATUS_MIN and role != "shadow":
            found[row] = "response" if asked is None else "request"
    return found


def _together(request: Mapping[str, Any], response: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return one event: the time of the request, and else what the answer says."""
    known = {key: value for key, value in response.items() if value is not None}
    return {**request, **known, "ts": request.get("ts"), "features": request.get("features")}
