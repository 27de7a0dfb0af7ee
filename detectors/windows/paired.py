"""Windows of paired answers: pairs go into panes by their event time, panes add up to windows.

Pairs come later than the events they are of, because the other answer takes its time. So whoever
adds them says how far they are complete (`advance`), and nothing is late.

Pairs of a segment of the traffic have windows of their own: the name of the other version is then
that of a population (:mod:`detectors.windows.population`), and stands beside the version's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from detectors.paired.answers import PairedAnswers, PairedStateError
from detectors.windows.population import is_segment, split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from detectors.windows.window_spec import WindowSpec

#: What is compared: the live version, and the population of the other.
Versions: TypeAlias = tuple[str, str]
_Key: TypeAlias = tuple[str, str, int]

#: Two versions each that are compared at once; the ones idle for longest are let go of.
VERSIONS_MAX = 8
#: Panes held at once, beyond those that one window of each two versions needs.
PANES_MAX = 500
_NEVER = -(1 << 62)
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class ClosedPairs:
    """The pairs of a window, final.

    Parameters
    ----------
    live
        The version that answered.
    population
        The one that was asked the same: all of its answers, or those of one segment.
    begins, ends
        Event time, seconds since the epoch: ``[begins, ends)``; by number of pairs, the smallest
        and the largest time.
    """

    model: str
    live: str
    population: str
    begins: float
    ends: float
    counts: PairedAnswers

    @property
    def version(self) -> str:
        """Return the version that was asked the same."""
        return split(self.population)[0]

    @property
    def segment(self) -> str:
        """Return of which segment the pairs are; empty for all traffic."""
        return split(self.population)[1]


class _Standing(msgspec.Struct, array_like=True):
    """How far two versions have come: pairs, panes' windows closed, latest event time."""

    pairs: int = 0
    closed: int = 0
    last: float = -math.inf


class _State(msgspec.Struct, array_like=True, frozen=True):
    format: int
    model: str
    kind: str
    slide: float
    watermark: float
    boundary: int
    evicted: int
    standings: list[tuple[str, str, _Standing]]
    panes: list[tuple[str, str, int, bytes]]


class PairedWindows:
    """Open panes of every two versions that are compared, and the windows they add up to.

    Parameters
    ----------
    spec
        How to cut: as traffic is cut, with pairs for events.
    tolerance
        Up to which two numbers agree.
    segments_max
        Segments that two versions are compared in, beside the whole.

    Attributes
    ----------
    watermark
        Event time up to which pairs are complete; never moves back.
    evicted
        Panes that the limits cost.
    """

    def __init__(
        self,
        spec: WindowSpec,
        model: str,
        *,
        tolerance: float = 0.0,
        versions_max: int = VERSIONS_MAX,
        panes_max: int = PANES_MAX,
        segments_max: int = 0,
    ) -> None:
        self.spec = spec
        self.model = model
        self.tolerance = tolerance
        self.watermark = -math.inf
        self.evicted = 0
        self._versions_max = versions_max
        self._panes_max = panes_max + versions_max * (1 + segments_max) * spec.panes
        self._standings: dict[Versions, _Standing] = {}
        self._panes: dict[_Key, PairedAnswers] = {}
        self._encoded: dict[_Key, bytes] = {}  # of panes that have not changed since
        self._boundary = _NEVER

    def pane(self, live: str, other: str, ts: float) -> PairedAnswers:
        """Return the counts that a pair of that event time is to be added to.

        `other` is a population. By number, each call makes place for one pair. A pair whose windows
        are closed goes to the oldest pane that is open. The counts are not to be changed after the
        next `encode`.
        """
        standing = self._standing((live, other))
        if self.spec.kind == "time":
            index = max(math.floor(ts / self.spec.slide), self._boundary)
        else:
            index = standing.pairs // int(self.spec.slide)
        standing.pairs += 1
        standing.last = max(standing.last, ts)
        key = (live, other, index)
        if key not in self._panes:
            self._panes[key] = PairedAnswers()
            while len(self._panes) > self._panes_max:
                self._drop([min(self._panes, key=lambda one: (one[2], one))])
                self.evicted += 1
        self._encoded.pop(key, None)
        return self._panes.setdefault(key, PairedAnswers())

    def advance(self, watermark: float) -> None:
        """Say that pairs of events up to there are complete; never moves back."""
        self.watermark = max(self.watermark, watermark)

    def closable(self) -> bool:
        """Say whether `close` may have something to do."""
        if not self._panes:
            return False
        if self.spec.kind == "time":
            complete = math.isfinite(self.watermark)
            return complete and math.floor(self.watermark / self.spec.slide) > self._boundary
        slide = int(self.spec.slide)
        return any(one.pairs // slide > one.closed for one in self._standings.values())

    def close(self) -> list[ClosedPairs]:
        """Close and return the windows that are complete and have pairs, in order of their ends."""
        if not self.closable():
            return []
        closed = self._by_number() if self.spec.kind == "events" else self._by_time()
        return sorted(closed, key=lambda one: (one.ends, one.live, one.population))

    def encode(self) -> bytes:
        """Everything to go on from, for the store."""
        for key, counts in self._panes.items():
            if key not in self._encoded:
                self._encoded[key] = counts.encode()
        return msgspec.msgpack.encode(
            _State(
                _FORMAT,
                self.model,
                self.spec.kind,
                self.spec.slide,
                self.watermark,
                self._boundary,
                self.evicted,
                [(*versions, one) for versions, one in sorted(self._standings.items())],
                [(*key, self._encoded[key]) for key in sorted(self._panes)],
            )
        )

    def restore(self, data: bytes, watches: Callable[[str], bool] = lambda _: True) -> None:
        """Go on where `encode` stood.

        Parameters
        ----------
        watches
            Says whether a population is still compared; the others are let go of.

        Raises
        ------
        PairedStateError
            If the state is damaged, of another model, or was cut in another way than now.
        """
        try:
            state = msgspec.msgpack.decode(data, type=_State)
        except msgspec.DecodeError as error:
            raise PairedStateError(
                f"stored windows of paired answers are damaged: {error}"
            ) from error
        cut = (_FORMAT, self.model, self.spec.kind, self.spec.slide)
        if (state.format, state.model, state.kind, state.slide) != cut:
            raise PairedStateError("stored windows of paired answers were cut in another way")
        panes = {
            (live, other, index): PairedAnswers.decode(counts)
            for live, other, index, counts in state.panes
            if watches(other)
        }
        self._standings = {
            (live, other): one for live, other, one in state.standings if watches(other)
        }
        self._panes, self._boundary, self._encoded = panes, state.boundary, {}
        self.watermark, self.evicted = state.watermark, state.evicted

    def _by_time(self) -> list[ClosedPairs]:
        slide, panes = self.spec.slide, self.spec.panes
        boundary = math.floor(self.watermark / slide)
        windows = {
            (live, other, end)
            for live, other, index in self._panes
            for end in range(max(index, self._boundary) + 1, min(index + panes, boundary) + 1)
        }
        closed = [
            ClosedPairs(
                *(self.model, live, other, (end - panes) * slide, end * slide),
                self._sum((live, other), end),
            )
            for live, other, end in windows
        ]
        self._boundary = boundary
        self._drop(key for key in list(self._panes) if key[2] + panes <= boundary)
        return closed

    def _by_number(self) -> list[ClosedPairs]:
        closed: list[ClosedPairs] = []
        for versions, standing in self._standings.items():
            full = standing.pairs // int(self.spec.slide)
            for end in range(max(standing.closed + 1, self.spec.panes), full + 1):
                counts = self._sum(versions, end)
                if counts.n:
                    closed.append(
                        ClosedPairs(self.model, *versions, counts.first, counts.last, counts)
                    )
            standing.closed = full
            done = full - self.spec.panes
            self._drop(key for key in list(self._panes) if key[:2] == versions and key[2] <= done)
        return closed

    def _sum(self, versions: Versions, end: int) -> PairedAnswers:
        total = PairedAnswers()
        for index in range(end - self.spec.panes, end):
            pane = self._panes.get((*versions, index))
            if pane is not None:
                total.merge(pane)
        return total

    def _standing(self, versions: Versions) -> _Standing:
        if versions not in self._standings:
            whole = [one for one in self._standings if not is_segment(one[1])]
            if len(whole) >= self._versions_max and not is_segment(versions[1]):
                self._let_go(min(whole, key=lambda one: self._standings[one].last))
            self._standings[versions] = _Standing()
        return self._standings[versions]

    def _let_go(self, versions: Versions) -> None:
        """Forget two versions, with their segments."""

        def is_theirs(live: str, other: str) -> bool:
            return (live, split(other)[0]) == versions

        for one in [one for one in self._standings if is_theirs(*one)]:
            del self._standings[one]
        gone = [key for key in self._panes if is_theirs(*key[:2])]
        self.evicted += len(gone)
        self._drop(gone)

    def _drop(self, keys: Iterable[_Key]) -> None:
        for key in keys:
            del self._panes[key]
            self._encoded.pop(key, None)
