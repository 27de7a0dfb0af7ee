"""One settling of labels and predictions: what has come meets what the store holds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import msgspec

from collectors.labels import Scalar
from detectors.performance.performance import Pair, Task
from detectors.windows.labelled import PerformanceWindows
from monitor.store.pending import ComparedAnswers, Held, LabelChange, ShadowAnswer

#: Rows that one commit lets go of because they are too old.
EXPIRED_MAX = 10_000
#: Versions whose labels are counted one by one; the rest count as ``other``.
VERSIONS_MAX = 100
#: Event time between two looks for rows that are too old, at most.
SWEEP_S = 60.0


class Reader(Protocol):
    """What the join asks of the store."""

    def held(self, ids: Collection[str]) -> Mapping[str, Held]:
        """Rows of those ids that have one."""

    def oldest_held(
        self, *, joined: bool, limit: int, before: float | None = None
    ) -> Sequence[Held]:
        """Oldest rows, of pairs or of what waits."""


@dataclass(frozen=True, slots=True)
class JoinSpec:
    """How labels are joined.

    Parameters
    ----------
    ttl_s
        How long, in event time, a prediction waits for its label and a label for its prediction.
    pending_max
        Rows kept at most: pairs give way first, then the oldest.
    task
        What the model predicts; None to tell it from the first window with `min_pairs`.
    min_pairs
        Pairs of a window that decides on the task for good.
    confidence
        Of the bounds, in (0, 1).
    ahead_max_s
        A time further in the future is taken as now.
    idle_s
        After so long without a pair, windows close by the clock.
    """

    ttl_s: float
    pending_max: int
    task: Task | None
    min_pairs: int
    confidence: float
    ahead_max_s: float
    idle_s: float


class JoinState(msgspec.Struct):
    """What is kept in the store beside the rows."""

    windows: bytes = b""
    latest: float = -math.inf
    swept: float = -math.inf
    waiting_predictions: int = 0
    waiting_labels: int = 0
    pairs: int = 0
    task: Task | None = None
    classes: list[str] = []
    joined: dict[str, int] = {}
    labels: dict[str, int] = {}
    predictions: dict[str, int] = {}


@dataclass(frozen=True, slots=True)
class NewPrediction:
    """A prediction that may get a label; `ts` is its event time."""

    id: str
    version: str
    ts: float
    value: Scalar


@dataclass(slots=True)
class Arrived:
    """What has come since the last settling.

    Parameters
    ----------
    predictions
        Those that may get a label.
    labels
        ``(id, label, when it became known)``, in log order.
    pairs
        Events that carried their label: ``(version, pair, event time)``.
    shadowed
        What a shadow answered to one of the predictions, by id.
    """

    predictions: list[NewPrediction] = field(default_factory=list)
    labels: list[tuple[str, Scalar, float]] = field(default_factory=list)
    pairs: list[tuple[str, Pair, float]] = field(default_factory=list)
    shadowed: list[tuple[str, ShadowAnswer]] = field(default_factory=list)


class Settling:
    """One settling: making it reads the store, so that applying it cannot fail half-way.

    Attributes
    ----------
    change
        What is to be committed.
    pairs
        Pairs that were made, in order: version, pair, and when its label became known.
    compared
        Those of them whose prediction has an answer of a shadow beside it.
    """

    def __init__(
        self,
        spec: JoinSpec,
        state: JoinState,
        windows: PerformanceWindows,
        fates: Mapping[str, Counter[str]],
        *,
        arrived: Arrived,
        reader: Reader,
        forgetting: bool,
    ) -> None:
        self._spec = spec
        self._state = state
        self._windows = windows
        self._fates = fates
        self._arrived = arrived
        self._forgetting = forgetting
        self.change = LabelChange()
        self.pairs: list[tuple[str, Pair, float]] = []
        self.compared: list[ComparedAnswers] = []
        ids = {one.id for one in arrived.predictions} | {id_ for id_, _, _ in arrived.labels}
        ids |= {id_ for id_, _ in arrived.shadowed}
        found = reader.held(ids) if ids else {}
        self._rows = {
            id_: held for id_, held in found.items() if not (held.joined and self._forgetting)
        }
        self._changed: dict[str, Held] = {}
        self._expiring, self._swept = self._read_expiring(reader)
        self._oldest = self._read_oldest(reader, len(ids))

    def apply(self) -> None:
        """Join, expire, evict: fills `change`, and moves windows and counts on."""
        for version, pair, known in self._arrived.pairs:
            self._join_pair(version, pair, known)
        for prediction in self._arrived.predictions:
            self._take_prediction(prediction)
        for id_, shadow in self._arrived.shadowed:
            self._take_shadow(id_, shadow)
        for id_, label, known in self._arrived.labels:
            self._take_label(id_, label, known)
        for held in self._expiring:
            if held.id not in self._changed:
                self._let_go(held, "expired")
        self._state.swept = self._swept
        self._evict()
        self.change.held = list(self._changed.values())

    def _read_expiring(self, reader: Reader) -> tuple[list[Held], float]:
        """Rows past their time, asked for once in a while, and the time up to which it was done."""
        state, ttl_s = self._state, self._spec.ttl_s
        if state.latest - state.swept < min(SWEEP_S, ttl_s / 100) or math.isinf(state.latest):
            return [], state.swept
        before = state.latest - ttl_s
        found = [
            held
            for joined in self._kinds()
            for held in reader.oldest_held(joined=joined, limit=EXPIRED_MAX // 2, before=before)
        ]
        return found, state.latest if len(found) < EXPIRED_MAX // 2 else state.swept

    def _read_oldest(self, reader: Reader, ids: int) -> list[Held]:
        """Candidates for eviction: pairs first, since they have been counted, then the oldest."""
        excess = self._size() + ids - self._spec.pending_max
        if excess <= 0:
            return []
        # As many again as may turn out to be rows that have just changed or expired.
        limit = excess + ids + len(self._expiring)
        return [
            held
            for joined in self._kinds()
            for held in reader.oldest_held(joined=joined, limit=limit)
        ]

    def _kinds(self) -> tuple[bool, ...]:
        """Which rows to ask for: not for pairs that are about to be forgotten all together."""
        return (False,) if self._forgetting else (True, False)

    def _size(self) -> int:
        state = self._state
        return state.waiting_predictions + state.waiting_labels + state.pairs

    def _take_prediction(self, one: NewPrediction) -> None:
        held = self._rows.get(one.id)
        if held is None:
            self._put(Held(one.id, one.ts, one.version, one.value))
        elif held.prediction is None and held.label is not None and held.known is not None:
            pair = Pair(one.value, held.label)
            pane = self._join_pair(one.version, pair, max(held.known, one.ts))
            self._put(
                replace(held, ts=one.ts, version=one.version, prediction=one.value, pane=pane)
            )
        else:
            self._fates["prediction"]["repeated"] += 1

    def _take_shadow(self, id_: str, shadow: ShadowAnswer) -> None:
        """Let a shadow's answer stay beside the prediction, and count it if the label is known.

        Without the prediction there is nothing to compare: why it is gone was counted then. Of an
        id that is used again the first answer counts, as the first prediction does.
        """
        held = self._rows.get(id_)
        if held is None or held.prediction is None or held.shadow is not None:
            return
        self._put(replace(held, shadow=shadow))
        if held.joined:
            self._compare(held, shadow)

    def _compare(self, held: Held, shadow: ShadowAnswer) -> None:
        version, answer, label, known = held.version or "", held.prediction, held.label, held.known
        if answer is not None and label is not None and known is not None:
            moment = max(held.ts, known)
            self.compared.append(ComparedAnswers(version, answer, shadow, label, moment))

    def _take_label(self, id_: str, label: Scalar, known: float) -> None:
        held = self._rows.get(id_)
        if held is None:
            self._put(Held(id_, known, label=label, known=known))
        elif held.label is None and held.prediction is not None:
            pair = Pair(held.prediction, label)
            pane = self._join_pair(held.version or "", pair, max(held.ts, known))
            joined = replace(held, label=label, known=known, pane=pane)
            if held.shadow is not None:
                self._compare(joined, held.shadow)
            self._put(joined)
        elif held.label == label:
            self._fates["label"]["repeated"] += 1
        elif held.known is not None and known < held.known:
            self._fates["label"]["outdated"] += 1
        else:
            self._put(self._corrected(held, label, known))

    def _corrected(self, held: Held, label: Scalar, known: float) -> Held:
        """Put another label in the place of the one that a row has."""
        corrected = replace(held, label=label, known=known)
        if held.pane is None or held.prediction is None or held.label is None:
            self._fates["label"]["corrected"] += 1
            return corrected
        version = held.version or ""
        if not self._windows.remove(version, held.pane, Pair(held.prediction, held.label)):
            self._fates["label"]["corrected_late"] += 1
            return corrected
        self._fates["label"]["corrected"] += 1
        pair = Pair(held.prediction, label)
        return replace(corrected, pane=self._windows.add(version, pair, max(held.ts, known)))

    def _join_pair(self, version: str, pair: Pair, known: float) -> int:
        joined = self._state.joined
        name = version if version in joined or len(joined) < VERSIONS_MAX else "other"
        joined[name] = joined.get(name, 0) + 1
        self._fates["label"]["joined"] += 1
        self.pairs.append((version, pair, known))
        return self._windows.add(version, pair, known)

    def _put(self, held: Held) -> None:
        before = self._rows.get(held.id)
        if before is not None:
            self._count(before, -1)
        self._count(held, 1)
        self._rows[held.id] = self._changed[held.id] = held

    def _let_go(self, held: Held, fate: str) -> None:
        self._count(held, -1)
        self._changed.pop(held.id, None)
        self.change.let_go.append(held.id)
        if not held.joined:
            kind = "label" if held.prediction is None else "prediction"
            self._fates[kind][fate] += 1

    def _count(self, held: Held, by: int) -> None:
        if held.joined:
            self._state.pairs += by
        elif held.prediction is None:
            self._state.waiting_labels += by
        else:
            self._state.waiting_predictions += by

    def _evict(self) -> None:
        excess = self._size() - self._spec.pending_max
        if excess <= 0:
            return
        gone = set(self.change.let_go)
        stored = [
            held for held in self._oldest if held.id not in self._changed and held.id not in gone
        ]
        candidates = [*stored, *self._changed.values()]
        candidates.sort(key=lambda held: (not held.joined, held.ts))
        for held in candidates[:excess]:
            self._let_go(held, "evicted")
