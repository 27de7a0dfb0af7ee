"""Halves of events that wait for each other, within bounds of number, size and time."""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from collectors.formats.exchange import Half

#: Halves that wait at most; the oldest then counts alone.
WAITING_MAX = 10_000
#: Bytes that they take at most: they are written to the store with every commit.
WAITING_BYTES_MAX = 8 << 20
#: Times further ahead of our clock than this do not move the clock of the halves on.
AHEAD_S = 300.0
#: A log of which so many halves stayed alone, and that never brought one of the other side, has
#: one side only: then nothing waits any more.
ONE_SIDED_MIN = 100


class Waiting(msgspec.Struct, array_like=True, frozen=True):
    """One half of an event.

    Parameters
    ----------
    key
        What both halves carry.
    side
        Which half it is.
    payload
        The half, in the terms of the format.
    """

    key: str
    side: Half
    payload: bytes


class _State(msgspec.Struct, array_like=True):
    newest: float
    waiting: list[tuple[float, Waiting]]
    met: set[Half]
    alone: dict[Half, int]


class Joiner:
    """Keeps each half until its other half comes, or until it has waited `join_s`.

    Time is that of the events, so that a log is joined alike however quickly it is read: a half
    waits until events `join_s` newer than the newest at its coming are seen, or until the log
    was silent for so long.

    Parameters
    ----------
    join_s
        How long a half waits, in seconds.
    waiting_max, waiting_bytes_max
        Limits; the oldest halves then count alone before their time.
    """

    def __init__(
        self,
        join_s: float,
        *,
        waiting_max: int = WAITING_MAX,
        waiting_bytes_max: int = WAITING_BYTES_MAX,
    ) -> None:
        self._join_s = join_s
        self._waiting_max, self._waiting_bytes_max = waiting_max, waiting_bytes_max
        self._waiting: OrderedDict[tuple[str, Half], tuple[float, Waiting]] = OrderedDict()
        self._bytes = 0
        self._newest = 0.0
        self._ahead = float("inf")
        self._met: set[Half] = set()
        self._alone_by_side: dict[Half, int] = {}
        self._left: list[Waiting] = []

    def expects(self, side: Half) -> bool:
        """Whether the other half of such a half may come: not in a log of one side only."""
        self._met.add(side)
        return other(side) in self._met or self._alone_by_side.get(side, 0) < ONE_SIDED_MIN

    def meet(self, half: Waiting, ts: float) -> Waiting | None:
        """Return the other half, if it waits; otherwise let this one wait.

        A half of the same key and side that waits already is left alone: it will not be met.
        """
        self._met.add(half.side)
        if self._newest < ts <= self._ahead:
            self._newest = ts
        found = self._take((half.key, other(half.side)))
        if found is not None:
            return found
        before = self._take((half.key, half.side))
        if before is not None:
            self._leave(before)
        self._waiting[half.key, half.side] = self._newest + self._join_s, half
        self._bytes += len(half.payload)
        while len(self._waiting) > self._waiting_max or self._bytes > self._waiting_bytes_max:
            self._leave_oldest()
        return None

    def expire(self, wall: float, silent_s: float) -> None:
        """Leave alone what has waited long enough.

        Parameters
        ----------
        wall
            Seconds since the epoch: which event times cannot be.
        silent_s
            How long nothing has come.
        """
        self._ahead = wall + AHEAD_S
        while self._waiting:
            due, _ = next(iter(self._waiting.values()))
            if due > self._newest + silent_s:
                return
            self._leave_oldest()

    def take_alone(self) -> list[Waiting]:
        """Halves that have been left alone since the last call, oldest first."""
        left, self._left = self._left, []
        return left

    def encode(self) -> bytes | None:
        """Everything to go on from; None while nothing was ever met."""
        if not self._met:
            return None
        state = _State(self._newest, list(self._waiting.values()), self._met, self._alone_by_side)
        return msgspec.msgpack.encode(state)

    def restore(self, data: bytes) -> None:
        """Go on where `encode` stood.

        Raises
        ------
        msgspec.DecodeError
            The bytes are no such state.
        """
        state = msgspec.msgpack.decode(data, type=_State)
        self._newest, self._met = state.newest, state.met
        self._alone_by_side = state.alone
        self._waiting = OrderedDict(
            ((half.key, half.side), (due, half)) for due, half in state.waiting
        )
        self._bytes = sum(len(half.payload) for _, half in state.waiting)

    def _take(self, at: tuple[str, Half]) -> Waiting | None:
        found = self._waiting.pop(at, None)
        if found is None:
            return None
        self._bytes -= len(found[1].payload)
        return found[1]

    def _leave_oldest(self) -> None:
        _, (_, half) = self._waiting.popitem(last=False)
        self._bytes -= len(half.payload)
        self._leave(half)

    def _leave(self, half: Waiting) -> None:
        self._left.append(half)
        self._alone_by_side[half.side] = self._alone_by_side.get(half.side, 0) + 1


def other(side: Half) -> Half:
    """Return the side that a half lacks."""
    return "response" if side == "request" else "request"
