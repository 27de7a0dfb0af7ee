"""How right two versions are, by labels that came later: windows of pairs whose label is known.

The other answer waits with the prediction for the label (:mod:`monitor.labels.settling`). Then the
three are counted by the time at which the label became known, as labelled predictions are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from detectors.paired.answers import PairedAnswer
from detectors.paired.comparison import LABELLED_METRICS, measure_paired
from detectors.windows.paired import PairedWindows
from detectors.windows.population import population
from monitor.judging.judging import Judged
from monitor.shadow.judging import ShadowJudging
from monitor.shadow.windows import LastPairs
from monitor.store.pending import ComparedAnswers


class LabelledShadow:
    """Windows of pairs and their labels, and the rules about them.

    Parameters
    ----------
    judging
        The rules about figures that need labels.

    Attributes
    ----------
    windows, judging
        As given.
    """

    def __init__(
        self, windows: PairedWindows, judging: ShadowJudging, *, confidence: float, psi_bins: int
    ) -> None:
        self.windows = windows
        self.judging = judging
        self._confidence = confidence
        self._psi_bins = psi_bins
        self._last = LastPairs()

    def take(
        self, live: str, version: str, pair: PairedAnswer, ts: float, segments: Iterable[str]
    ) -> None:
        """Count a pair whose label became known then, for the whole and for its segments."""
        for name in ("", *segments):
            pane = self.windows.pane(live, population(version, name), ts)
            pane.add(pair, ts, tolerance=self.windows.tolerance)

    def conclude(self, compared: Iterable[ComparedAnswers], watermark: float) -> list[Judged]:
        """Count what labels have met, and conclude from the windows that are complete with it."""
        for one in compared:
            shadow, pair = one.shadow, PairedAnswer(one.prediction, one.shadow.answer, one.label)
            self.take(one.version, shadow.version, pair, one.known, shadow.segments)
        self.windows.advance(watermark)
        judged = []
        for window in self.windows.close():
            measured = measure_paired(
                window.counts, confidence=self._confidence, psi_bins=self._psi_bins
            )
            found = [one for one in measured if one.metric in LABELLED_METRICS]
            self._last.keep(window, found)
            judged.append(self.judging.conclude(window, found, kind="shadow-labels"))
        return judged

    def standing(self) -> dict[str, Any]:
        """Return the last windows, for the API."""
        return self._last.standing()
