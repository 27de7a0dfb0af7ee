"""The shadow as the counting sees it: live requests go out, pairs of answers come back in windows.

It belongs to the thread of the engine, and never waits. What it knows is committed with the
read positions: a request is scored once, or is counted as what else became of it, also when the
daemon is killed; of what waited then nobody knows more than its number (``lost``).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from collectors.batch import PredictionBatch
from detectors.paired.answers import PairedAnswer, PairedStateError
from detectors.paired.comparison import (
    LABELLED_METRICS,
    PairedSummary,
    measure_paired,
    summarise,
)
from detectors.rules.rule import RuleSpec
from detectors.windows.paired import PairedWindows
from detectors.windows.population import population
from monitor.judging.judging import Judged
from monitor.judging.rule_standings import RuleStanding
from monitor.judging.turn import Pending
from monitor.labels.labels import LabelJoin
from monitor.shadow.judging import ShadowJudging
from monitor.shadow.labelled import LabelledShadow
from monitor.shadow.queues import OUTCOMES, Answered, ShadowQueue, sampled_requests
from monitor.shadow.windows import LastPairs
from monitor.store.pending import ShadowAnswer
from monitor.traffic.segments import Segments

log = logging.getLogger("kedge.shadow")


class _State(msgspec.Struct, array_like=True, frozen=True):
    outcomes: dict[str, dict[str, int]]
    unsettled: int
    version: str
    windows: bytes
    labelled: bytes = b""


@dataclass(slots=True)
class ShadowStanding:
    """How the shadow stands, as its process tells and as the status shows.

    Parameters
    ----------
    state
        ``starting``, ``scoring``, ``failed`` (it does not load, or ended; it is tried again) or
        ``stopped``.
    version
        The version that answers, or answered last; empty before any.
    why
        What is wrong; empty where nothing is.
    """

    state: str = "starting"
    version: str = ""
    why: str = ""


class ShadowWatch:
    """Takes live batches, gives them to the shadow, and counts the pairs that come back.

    Parameters
    ----------
    windows
        Of the pairs.
    queue
        To the shadow and back.
    standing
        How the shadow's process stands; it is told there.
    judging
        The rules about the shadow.
    sampling
        Share of the requests that are scored.
    segments
        Parts of the traffic that are compared by themselves, beside the whole; by default none.
        The counting takes the same object, so that both know the same ones.
    labelled
        Where labels are joined, what they say of both versions; None where they are not.

    Attributes
    ----------
    segments
        As given.
    """

    def __init__(
        self,
        windows: PairedWindows,
        queue: ShadowQueue,
        standing: ShadowStanding,
        judging: ShadowJudging,
        *,
        sampling: float,
        queue_max: int,
        confidence: float,
        psi_bins: int,
        segments: Segments | None = None,
        labelled: LabelledShadow | None = None,
    ) -> None:
        self._windows = windows
        self._queue = queue
        self._process = standing
        self._judging = judging
        self._sampling = sampling
        self._queue_max = queue_max
        self._confidence = confidence
        self._psi_bins = psi_bins
        self._outcomes: dict[str, Counter[str]] = {}
        self._version = ""
        self.segments = segments or Segments((), 0)
        self._last = LastPairs()
        self._labelled = labelled
        self._answers: list[tuple[str, ShadowAnswer]] = []
        self._lost = 0
        self._dirty = False

    @property
    def evicted_panes(self) -> int:
        """Panes that the limits on windows cost."""
        return self._windows.evicted

    def restore(
        self, data: bytes | None, rules: Mapping[tuple[str, str], Mapping[str, Any]]
    ) -> None:
        """Take up where the last commit left off."""
        for judging in self._every_judging():
            judging.restore(rules)
        if data is None:
            return
        try:
            state = msgspec.msgpack.decode(data, type=_State)
        except msgspec.DecodeError as error:
            log.warning("what was known of the shadow is dropped: %s", error)
            return
        self._outcomes = {name: Counter(counts) for name, counts in state.outcomes.items()}
        self._version = state.version
        self._lost = state.unsettled
        self._restore(self._windows, state.windows)
        if self._labelled is not None and state.labelled:
            self._restore(self._labelled.windows, state.labelled)

    def _restore(self, windows: PairedWindows, state: bytes) -> None:
        try:
            windows.restore(state, self.segments.watches)
        except PairedStateError as error:
            log.warning("open windows of the shadow are dropped, closed ones stay: %s", error)

    def take(self, batch: PredictionBatch) -> None:
        """Give the requests of a live batch to the shadow, as far as they are sampled."""
        if not batch.rows:
            return
        requests, more = sampled_requests(
            batch, sampling=self._sampling, requests_max=self._queue_max
        )
        comparable = [one for one in requests if any(a is not None for a in one.answers)]
        if more:
            self._count(self._process.version, "shed", more)
        if len(comparable) < len(requests):
            self._count(self._process.version, "incomparable", len(requests) - len(comparable))
        self._queue.put(comparable)

    def settle(self, watermark: float, pending: Pending) -> bool:
        """Count what has come back, and conclude from the windows that are complete with it.

        Those are complete whose events were counted, up to `watermark`, and settled.

        Returns
        -------
        bool
            Whether windows were closed.
        """
        self._count_answers(self._queue)
        pending.dirty |= self._dirty
        self._dirty = False
        judged = self._close(watermark)
        for one in judged:
            pending.conclude(one)
        return bool(judged)

    def _count_answers(self, queue: ShadowQueue) -> None:
        answered, shed = queue.settle()
        if self._lost:
            self._count(self._version, "lost", self._lost)
            self._lost = 0
        if shed:
            self._count(self._process.version, "shed", shed)
        for one in answered:
            self._count(one.version, one.outcome)
            if one.outcome == "scored":
                self._pair(one)

    def _close(self, watermark: float) -> list[Judged]:
        self._windows.advance(min(watermark, self._queue.oldest()))
        if not self._windows.closable():
            return []
        judged = []
        for window in self._windows.close():
            found = measure_paired(
                window.counts, confidence=self._confidence, psi_bins=self._psi_bins
            )
            if self._labelled is not None:
                # Windows of labels tell of those, whether they came with the event or later.
                found = [one for one in found if one.metric not in LABELLED_METRICS]
            self._last.keep(window, found)
            judged.append(self._judging.conclude(window, found))
        return judged

    def hand_over(self, labels: LabelJoin) -> None:
        """Let the answers since the last call wait with their predictions for the labels."""
        if self._labelled is not None:
            labels.take_shadowed(self._answers)
        self._answers.clear()

    def settle_labels(self, labels: LabelJoin, pending: Pending) -> None:
        """Conclude from what labels have met, and from the windows that are complete with it."""
        if self._labelled is not None:
            for one in self._labelled.conclude(labels.compared, labels.watermark):
                pending.conclude(one)

    def compared(self, live: str, version: str, since: float) -> PairedSummary | None:
        """Sum up the last window of pairs, if it is of these versions and of no time before.

        Anybody may ask: a closed window changes no more.
        """
        last = self._last.whole
        if last is None or (last.live, last.version) != (live, version) or last.begins < since:
            return None
        return summarise(
            last.counts,
            live=live,
            other=version,
            confidence=self._confidence,
            tolerance=self._windows.tolerance,
        )

    def replace_rules(self, rules: Sequence[RuleSpec]) -> None:
        """Judge by other rules from the next window on."""
        for judging in self._every_judging():
            judging.replace_rules(rules)

    def standings(self) -> Sequence[RuleStanding]:
        """Say where each rule about the shadow stands with the version of the last pairs."""
        every = (one.standings(self._version) for one in self._every_judging())
        return [standing for standings in every for standing in standings]

    def _every_judging(self) -> Iterator[ShadowJudging]:
        yield self._judging
        if self._labelled is not None:
            yield self._labelled.judging

    def complete(self, forgotten: Collection[str]) -> bytes:
        """Let go of versions that are not remembered any more; return all else, for the store."""
        for judging in self._every_judging():
            judging.forget(forgotten)
        for version in forgotten:
            self._outcomes.pop(version, None)
        outcomes = {name: dict(counts) for name, counts in sorted(self._outcomes.items())}
        return msgspec.msgpack.encode(
            _State(
                outcomes,
                self._queue.unsettled,
                self._version,
                self._windows.encode(),
                b"" if self._labelled is None else self._labelled.windows.encode(),
            )
        )

    def standing(self) -> dict[str, Any]:
        """Return how the shadow stands, for the API and for metrics.

        ``process`` goes on changing: a shadow that fails is no reason to commit anything.
        """
        total = sum(self._outcomes.values(), Counter[str]())
        return {
            "version": self._version or None,
            "process": self._process,
            "waiting": self._queue.waiting,
            "requests": {outcome: total[outcome] for outcome in OUTCOMES},
            "by_version": {name: dict(counts) for name, counts in self._outcomes.items()},
            **self._last.standing(),
            "labelled": None if self._labelled is None else self._labelled.standing(),
        }

    def _count(self, version: str, outcome: str, requests: int = 1) -> None:
        self._outcomes.setdefault(version or "unknown", Counter())[outcome] += requests
        self._dirty = True

    def _pair(self, one: Answered) -> None:
        request, asked = one.request, {}
        self._version = one.version
        segments = self.segments.of_rows(request.batch, request.place)
        rows = zip(
            *(request.ts, request.answers, one.answers, request.labels, segments, request.ids),
            strict=True,
        )
        for ts, live, shadow, label, names, id_ in rows:
            if live is None or shadow is None:
                continue
            pair = PairedAnswer(live, shadow, label)
            if self._labelled is not None and label is not None:
                self._labelled.take(request.live, one.version, pair, ts, names)
            elif self._labelled is not None and id_ is not None:
                self._answers.append((id_, ShadowAnswer(one.version, shadow, tuple(names))))
            for name in ("", *names):
                pane = self._windows.pane(request.live, population(one.version, name), ts)
                pane.add(pair, ts, tolerance=self._windows.tolerance)
                asked[name] = pane
        # Of each segment that it has rows of, it was one request.
        for pane in asked.values():
            pane.add_latency(request.latency_ms, one.latency_ms)
