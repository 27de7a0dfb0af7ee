"""Labels meet their predictions: the join by event id, and what becomes of either side.

What has arrived since the last commit waits in memory; the rest stands in the store, whatever
its size, and is looked up by id. `LabelJoin.settle` does the looking up, and what it concludes is
committed in the transaction that moves the read positions on: a crash repeats no pair and loses
none.

The latest label wins: by its time, and of two of one time the one that came later. A label that
changes is put right in every window that is still open. A closed window is final: the
correction is then counted, and nothing else.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from collectors.batch import PredictionBatch
from collectors.labels import LabelRows
from detectors.measurement import Measurement
from detectors.performance.classes import CLASSES_MAX
from detectors.performance.performance import Pair, PerformanceError, Task, measure_performance
from detectors.windows.labelled import ClosedPerformance, PerformanceWindows
from detectors.windows.window_state import WindowStateError
from monitor.labels.settling import Arrived, JoinSpec, JoinState, NewPrediction, Reader, Settling
from monitor.store.pending import ComparedAnswers, LabelChange, ShadowAnswer
from monitor.traffic.forward_clock import ForwardClock

log = logging.getLogger("kedge.labels")

#: Predictions and labels that wait in memory for the next commit; more of them make it come.
BUFFER_MAX = 20_000
#: What became of a label, and of a prediction that never met its own: closed sets, for metrics.
LABEL_FATES = (
    "joined",  # met its prediction
    "corrected",  # replaced an earlier label in windows that were open
    "corrected_late",  # differs from an earlier label, whose window was closed
    "repeated",  # says what an earlier one said
    "outdated",  # is older than the one that was known
    "expired",  # never met its prediction
    "evicted",  # gave way to newer rows: pending_max
    "unusable",  # an array, an object, null, or a number that is not finite
)
PREDICTION_FATES = (
    "expired",  # never met its label
    "evicted",  # gave way to newer rows: pending_max
    "repeated",  # its id was used before: the first one counts
    "unjoinable",  # without an id, or neither a number nor a text
)


class LabelJoin:
    """Joins labels and predictions, and keeps the windows of the pairs.

    Parameters
    ----------
    wall, monotonic
        Clocks, seconds: of event time, and of intervals.

    Attributes
    ----------
    pairs
        What the last settling paired, in order: version, pair, and when its label became known.
    compared
        Those of it whose prediction has an answer of a shadow beside it.
    """

    def __init__(
        self,
        spec: JoinSpec,
        windows: PerformanceWindows,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spec = spec
        self._windows = windows
        self._wall = ForwardClock(wall, monotonic)
        self._monotonic = monotonic
        self._state = JoinState()
        self._arrived = Arrived()
        self._fates: dict[str, Counter[str]] = {"label": Counter(), "prediction": Counter()}
        self._last_pair, self._watermark = monotonic(), windows.watermark
        self._forget_pairs = False
        self.pairs: Sequence[tuple[str, Pair, float]] = ()
        self.compared: Sequence[ComparedAnswers] = ()

    @property
    def task(self) -> Task | None:
        """What the model predicts; None while that is not known."""
        return self._spec.task or self._state.task

    @property
    def full(self) -> bool:
        """Whether so much waits in memory that it should be committed."""
        arrived = self._arrived
        waiting = len(arrived.predictions) + len(arrived.labels) + len(arrived.shadowed)
        return waiting >= BUFFER_MAX

    @property
    def watermark(self) -> float:
        """Time up to which pairs of predictions and labels are complete."""
        return self._windows.watermark

    @property
    def evicted_panes(self) -> int:
        """Panes that the limits on windows cost."""
        return self._windows.evicted

    def restore(self, state: bytes | None, panes: Mapping[tuple[str, int], bytes]) -> None:
        """Take up where the last commit left off."""
        if state is None:
            return
        self._state = msgspec.msgpack.decode(state, type=JoinState)
        try:
            self._windows.restore(self._state.windows, panes)
        except (WindowStateError, PerformanceError) as error:
            log.warning("open windows of labels are dropped, closed ones stay: %s", error)
            self._windows.forget(panes)
            # What pairs know of their panes no longer holds, and must not be taken out of others.
            self._forget_pairs, self._state.pairs = True, 0
        self._watermark = self._windows.watermark

    def take(self, batch: PredictionBatch) -> None:
        """Take up the live predictions of a batch, with the labels that came with them."""
        joins = batch.joins
        if joins is None:
            return
        arrived, unjoinable = self._arrived, 0
        latest = self._wall() + self._spec.ahead_max_s
        for id_, prediction, label, ts in zip(
            joins.ids, joins.predictions, joins.labels, batch.ts.tolist(), strict=True
        ):
            moment = ts if ts <= latest else self._wall()
            if prediction is not None and label is not None:
                arrived.pairs.append((batch.version, Pair(prediction, label), moment))
            elif prediction is None or id_ is None:
                unjoinable += 1
            else:
                arrived.predictions.append(NewPrediction(id_, batch.version, moment, prediction))
        self._fates["prediction"]["unjoinable"] += unjoinable
        self._state.latest = max(self._state.latest, min(float(batch.ts.max()), latest))

    def take_labels(self, rows: LabelRows) -> None:
        """Take up labels that came in lines of their own."""
        latest = self._wall() + self._spec.ahead_max_s
        for id_, label, ts in zip(rows.ids, rows.labels, rows.ts.tolist(), strict=True):
            if label is None:
                self._fates["label"]["unusable"] += 1
                continue
            moment = ts if ts <= latest else self._wall()
            self._arrived.labels.append((id_, label, moment))
            self._state.latest = max(self._state.latest, moment)

    def take_shadowed(self, answers: Sequence[tuple[str, ShadowAnswer]]) -> None:
        """Take up what a shadow answered to predictions that were taken before, by id."""
        self._arrived.shadowed.extend(answers)

    def let_time_pass(self) -> bool:
        """Let windows close although no pair comes; True if some can.

        Time goes on from the last pair at the pace of our clock, as it does for traffic.
        """
        silent_s = self._monotonic() - self._last_pair
        if silent_s >= self._spec.idle_s and math.isfinite(self._watermark):
            self._windows.advance(self._watermark + silent_s)
        return self._windows.closable()

    def settle(self, reader: Reader) -> LabelChange:
        """Join what has come, and return what is to be committed.

        Raises
        ------
        StoreUnavailable
            If the store cannot be read; then nothing has changed, and it may be called again.
        """
        settling = Settling(
            self._spec,
            self._state,
            self._windows,
            self._fates,
            arrived=self._arrived,
            reader=reader,
            forgetting=self._forget_pairs,
        )
        settling.apply()
        self.pairs, self.compared = settling.pairs, settling.compared
        if settling.pairs:
            self._last_pair, self._watermark = self._monotonic(), self._windows.watermark
        self._arrived = Arrived()
        return settling.change

    def close(self) -> list[tuple[ClosedPerformance, list[Measurement]]]:
        """Close the windows that are complete, and measure them."""
        closed = self._windows.close()
        return [(window, self._measured(window)) for window in closed]

    def complete(self, change: LabelChange) -> bytes:
        """Add the panes to a change, and return the state to be kept with it."""
        change.panes.update(self._windows.dirty_panes())
        change.dropped_panes |= self._windows.dropped_panes()
        self._state.windows = self._windows.encode()
        for kept, fates in (
            (self._state.labels, self._fates["label"]),
            (self._state.predictions, self._fates["prediction"]),
        ):
            for fate, count in fates.items():
                kept[fate] = kept.get(fate, 0) + count
            fates.clear()
        change.forget_pairs, self._forget_pairs = self._forget_pairs, False
        return msgspec.msgpack.encode(self._state)

    def standing(self) -> dict[str, Any]:
        """Return counts since the store was made, and what waits: for the API and for metrics."""
        state = self._state
        return {
            "task": self._spec.task or state.task,
            "joined": dict(state.joined),
            "labels": {fate: state.labels.get(fate, 0) for fate in LABEL_FATES},
            "predictions": {fate: state.predictions.get(fate, 0) for fate in PREDICTION_FATES},
            "waiting": {
                "predictions": state.waiting_predictions,
                "labels": state.waiting_labels,
                "pairs": state.pairs,
            },
        }

    def _measured(self, window: ClosedPerformance) -> list[Measurement]:
        state, counts = self._state, window.counts
        state.classes = sorted({*state.classes, *counts.classes.names})[: CLASSES_MAX + 1]
        task = self._spec.task or state.task or counts.task()
        if self._spec.task is None and state.task is None and counts.n >= self._spec.min_pairs:
            state.task = task
            log.info("taken from %d labels: the model predicts %s", counts.n, task)
        return measure_performance(
            counts,
            task,
            known=state.classes,
            reading=self._windows.reading,
            confidence=self._spec.confidence,
        )
