"""Two versions over old logs: their answers from the logs, or scored again where they are missing.

The logs are read twice: first to see what they hold, then to compare.
"""

from __future__ import annotations

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Final

from collectors.batch import Decoded, PredictionBatch
from collectors.format import Format, Holding
from collectors.labels import JoinsLabels, Scalar
from detectors.measurement import Measurement
from detectors.paired.answers import PairedAnswer, PairedAnswers
from detectors.paired.comparison import PairedSummary, measure_paired, summarise
from detectors.rules.rule import Verdict
from detectors.windows.paired import PairedWindows
from detectors.windows.population import population
from monitor.composition import rule_specs, window_spec
from monitor.judging.judging import Judged
from monitor.replay.old_logs import OldLog, Reading, UnreadableLogError, lines_of
from monitor.settings.segments import segments_max_of
from monitor.settings.settings import Settings
from monitor.shadow.composition import process_of, version_uri
from monitor.shadow.judging import ShadowJudging
from monitor.shadow.queues import Answered, LiveRequest, sampled_rows
from monitor.shadow.scoring import Scorer
from monitor.traffic.segments import segments_of

#: Answers, and labels, that wait for their other half.
WAITING_MAX: Final = 1_000_000
#: Rows that a version is asked at once.
ROWS_AT_ONCE: Final = 200
#: Panes of a log: a year of minutes.
PANES_MAX: Final = 600_000
#: Least time for so many rows.
TIMEOUT_MIN_S: Final = 60.0
_FOREVER_S: Final = 1e9


class NothingToCompareError(Exception):
    """The logs do not hold what would be needed; the message says what."""


@dataclass(frozen=True, slots=True)
class ComparedWindow:
    """A window of pairs with what the rules made of it."""

    judged: Judged
    verdicts: Sequence[tuple[str, Verdict]]


@dataclass(frozen=True, slots=True)
class ComparedSegment:
    """A segment of the traffic, over the whole log."""

    segment: str
    measurements: Sequence[Measurement]
    summary: PairedSummary


@dataclass(slots=True)
class Compared:
    """What came of a comparison.

    Parameters
    ----------
    scored
        Versions that were scored again; empty where the log holds both answers.
    rows
        Rows by what became of them.
    segments
        Those of ``[segments] keys`` that have pairs, by name.
    """

    live: str
    shadow: str
    scored: Sequence[str]
    counts: PairedAnswers
    rows: Counter[str]
    measurements: Sequence[Measurement]
    summary: PairedSummary
    segments: Sequence[ComparedSegment]
    windows: Sequence[ComparedWindow]
    faults: Sequence[str]


@dataclass(slots=True)
class _Half:
    """An answer that waits for the other version's."""

    ts: float
    answer: Scalar
    label: Scalar | None
    latency_ms: float
    is_live: bool
    segments: Sequence[str]


@dataclass(slots=True)
class _Log:
    """The logs, and what the first reading saw in them."""

    logs: Sequence[OldLog]
    reading: Reading
    rows: Counter[str] = field(default_factory=Counter)
    labels: OrderedDict[str, Scalar] = field(default_factory=OrderedDict)
    faults: list[str] = field(default_factory=list)

    def look(self) -> None:
        """Count the rows of each version, and remember labels that came in lines of their own."""
        for decoded in self.decoded():
            for batch in decoded.batches:
                if batch.joins is not None and not batch.requests_only:
                    self.rows[batch.version] += batch.rows
            for rows in decoded.labels:
                for id_, label in zip(rows.ids, rows.labels, strict=True):
                    if label is not None:
                        self.labels[id_] = label
                while len(self.labels) > WAITING_MAX:
                    self.labels.popitem(last=False)

    def decoded(self) -> Iterator[Decoded]:
        """Read the logs from their beginnings to their ends."""
        self.faults.clear()
        formats: dict[str, Format] = {}
        for log in self.logs:
            format_ = formats.get(log.format)
            if format_ is None:
                format_ = formats[log.format] = self.reading.make(log.format)
                if isinstance(format_, JoinsLabels):
                    format_.join_labels()
            try:
                for piece in log.pieces():
                    yield format_.decode(lines_of(piece, self.reading.options))
            except UnreadableLogError as error:
                self.faults.append(str(error))
        for format_ in formats.values():
            if isinstance(format_, Holding):
                yield format_.expire(time.time(), _FOREVER_S)


class Comparing:
    """Compares two versions over logs.

    Parameters
    ----------
    settings
        The daemon's: windows, rules, tolerance, and the registry that versions are loaded from.
    live, shadow
        The versions.
    sampling
        Share of the requests that are scored, where any are.
    """

    def __init__(
        self,
        settings: Settings,
        logs: Sequence[OldLog],
        reading: Reading,
        *,
        live: str,
        shadow: str,
        sampling: float,
    ) -> None:
        self._settings = settings
        self._log = _Log(logs, reading)
        self._live, self._shadow = live, shadow
        self._sampling = sampling
        self._segments = segments_of(settings)
        self._whole = PairedAnswers()
        self._parts: dict[str, PairedAnswers] = {}  # by segment
        self._windows = PairedWindows(
            window_spec(settings),
            settings.model.name,
            tolerance=settings.shadow.tolerance,
            panes_max=PANES_MAX,
            segments_max=segments_max_of(settings.segments, settings.limits.segments_max),
        )
        self._fates: Counter[str] = Counter()

    async def run(self) -> Compared:
        """Compare.

        Raises
        ------
        NothingToCompareError
            There is nothing to compare.
        scoring.shadow.process.ShadowError
            A version does not load.
        """
        log = self._log
        log.look()
        if not log.rows:
            raise NothingToCompareError("the logs hold no predictions with their features and ids")
        scored = [one for one in (self._live, self._shadow) if not log.rows[one]]
        if scored and not self._settings.model.tracking_uri:
            raise NothingToCompareError(
                f"the logs hold no answers of version {', '.join(scored)}, and without "
                "[model] tracking_uri it cannot be loaded"
            )
        if scored:
            await self._score(scored)
        else:
            self._join()
        if not self._whole.n:
            fates = ", ".join(f"{rows:,} {fate}" for fate, rows in self._fates.items())
            raise NothingToCompareError(f"no row was answered by both versions: {fates or 'none'}")
        return self._compared(scored)

    async def _score(self, scored: Sequence[str]) -> None:
        timeout_s = max(TIMEOUT_MIN_S, self._settings.shadow.timeout_s)
        async with AsyncExitStack() as stack:
            scorers = []
            for version in scored:
                process = process_of(self._settings, version_uri(self._settings, version))
                scorer = Scorer(await stack.enter_async_context(process), timeout_s=timeout_s)
                await scorer.prepare()
                scorers.append(scorer)
            for batch in self._batches():
                for rows in sampled_rows(batch, sampling=self._sampling, rows_max=ROWS_AT_ONCE):
                    await self._score_rows(rows, scored, scorers)

    def _batches(self) -> Iterator[PredictionBatch]:
        """Return what the scored versions are asked: the other one's requests, or all live ones."""
        known = [one for one in (self._live, self._shadow) if self._log.rows[one]]
        for decoded in self._log.decoded():
            for batch in decoded.batches:
                if batch.version in known or (not known and batch.role == "live"):
                    yield batch

    async def _score_rows(
        self, rows: LiveRequest, scored: Sequence[str], scorers: Sequence[Scorer]
    ) -> None:
        answers = {rows.live: rows.answers}
        for version, scorer in zip(scored, scorers, strict=True):
            answered = await self._asked(scorer, rows)
            if answered.outcome != "scored":
                self._fates[answered.outcome] += len(rows.ts)
                return
            answers[version] = answered.answers
        segments = self._segments.of_rows(rows.batch, rows.place)
        both = (answers[self._live], answers[self._shadow])
        for ts, live, shadow, label, names in zip(
            rows.ts, *both, rows.labels, segments, strict=True
        ):
            if live is None or shadow is None:
                self._fates["incomparable"] += 1
            else:
                self._count(PairedAnswer(live, shadow, label), ts, names)

    async def _asked(self, scorer: Scorer, rows: LiveRequest) -> Answered:
        # The logged answer may be none, or a third version's: what is asked for is its own.
        return await scorer.score(replace(rows, live="", answers=[0.0] * len(rows.ts)))

    def _join(self) -> None:
        """Pair the rows of both versions that have one id."""
        waiting: OrderedDict[str, _Half] = OrderedDict()
        for decoded in self._log.decoded():
            for batch in decoded.batches:
                if batch.version in (self._live, self._shadow):
                    self._join_batch(batch, waiting)
                while len(waiting) > WAITING_MAX:
                    waiting.popitem(last=False)
                    self._fates["unpaired"] += 1
        self._fates["unpaired"] += len(waiting)

    def _join_batch(self, batch: PredictionBatch, waiting: OrderedDict[str, _Half]) -> None:
        joins = batch.joins
        if joins is None:
            return
        is_live = batch.version == self._live
        columns = (joins.ids, joins.predictions, joins.labels, batch.latency_ms, batch.ts)
        segments = self._segments.of_rows(batch, slice(None))
        for id_, answer, label, latency_ms, ts, names in zip(*columns, segments, strict=True):
            if id_ is None or answer is None:
                self._fates["without id or answer"] += 1
                continue
            half = _Half(float(ts), answer, label, float(latency_ms), is_live, names)
            other = waiting.pop(id_, None)
            if other is None or other.is_live == is_live:
                self._fates["repeated"] += other is not None
                waiting[id_] = half
                continue
            live, shadow = (half, other) if is_live else (other, half)
            self._count(
                PairedAnswer(live.answer, shadow.answer, self._label(id_, live, shadow)),
                live.ts,
                live.segments or shadow.segments,
                (live.latency_ms, shadow.latency_ms),
            )

    def _label(self, id_: str, live: _Half, shadow: _Half) -> Scalar | None:
        stated = live.label if live.label is not None else shadow.label
        return self._log.labels.get(id_) if stated is None else stated

    def _count(
        self,
        pair: PairedAnswer,
        ts: float,
        segments: Sequence[str],
        latencies_ms: tuple[float, float] | None = None,
    ) -> None:
        self._fates["compared"] += 1
        tolerance = self._windows.tolerance
        for name in ("", *segments):
            all_of = self._parts.setdefault(name, PairedAnswers()) if name else self._whole
            pane = self._windows.pane(self._live, population(self._shadow, name), ts)
            for counts in (all_of, pane):
                counts.add(pair, ts, tolerance=tolerance)
                if latencies_ms is not None:
                    counts.add_latency(*latencies_ms)

    def _compared(self, scored: Sequence[str]) -> Compared:
        detectors, spec = self._settings.detectors, self._windows.spec
        how = {"confidence": detectors.confidence, "psi_bins": detectors.psi_bins}
        if spec.kind == "time":
            ends = (math.floor(self._whole.last / spec.slide) + 1) * spec.slide
            self._windows.advance(ends)
        judging = ShadowJudging(rule_specs(self._settings), **how)  # type: ignore[arg-type] # as named
        windows = []
        for window in self._windows.close():
            judged = judging.conclude(window, measure_paired(window.counts, **how))  # type: ignore[arg-type] # as named
            judgements = judging.judgements(window.population)
            verdicts = [(rule, last.verdict) for rule, last in judgements.items()]
            windows.append(ComparedWindow(judged, verdicts))
        return Compared(
            self._live,
            self._shadow,
            scored,
            self._whole,
            self._fates,
            measure_paired(self._whole, **how),  # type: ignore[arg-type] # as named
            self._summary(self._whole),
            [
                ComparedSegment(name, measure_paired(counts, **how), self._summary(counts))  # type: ignore[arg-type] # as named
                for name, counts in sorted(self._parts.items())
            ],
            windows,
            self._log.faults,
        )

    def _summary(self, counts: PairedAnswers) -> PairedSummary:
        return summarise(
            counts,
            live=self._live,
            other=self._shadow,
            confidence=self._settings.detectors.confidence,
            tolerance=self._windows.tolerance,
        )


def measurement_json(one: Measurement) -> dict[str, Any]:
    """Return a measurement as programs read it."""
    return {
        "metric": one.metric,
        "value": one.value,
        "low": one.low,
        "high": one.high,
        "p_value": one.p_value,
        "n": one.n,
    }
