"""From replayed windows of healthy logs to proposed thresholds, as TOML to paste."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from detectors.calibration import CONFIDENCE, Proposal, Quorum, propose
from detectors.kinds import COLUMN_METRICS, COUNT_METRICS, SAMPLED_METRICS, WINDOW_METRICS
from detectors.measurement import Measurement
from detectors.performance.performance import PERFORMANCE_METRICS
from monitor.composition import rule_specs, window_spec
from monitor.settings.quantities import FalseAlarms, render_duration
from monitor.settings.settings import RuleSettings, Settings
from monitor.store.queries import rfc3339

if TYPE_CHECKING:
    from detectors.rules.rule import RuleSpec
    from monitor.replay.replay import Replayed

#: Digits of a proposed threshold; rounded to the quiet side.
DIGITS: Final = 3
#: The same blocks are drawn for the same logs.
_SEED: Final = 20_260_304


class CalibrationError(Exception):
    """No threshold can be proposed; the message says why."""


@dataclass(slots=True)
class Healthy:
    """The bounds that each rule compared, in the windows of healthy logs.

    Windows that end behind the last event are left out: their traffic was not seen to its end.
    """

    settings: Settings
    _bounds: dict[tuple[str, tuple[str, str]], list[tuple[float, float]]] = field(
        default_factory=dict
    )
    _ends: list[float] = field(default_factory=list)
    begins: float = math.inf
    fired: int = 0
    least_missing: float = math.nan
    """The least share of missing values of any column and window; NaN of none."""

    @property
    def unlike(self) -> str:
        """Say that the logs hold no column of the reference; empty if they hold one."""
        if self.least_missing != 1.0:
            return ""
        reference = self.settings.reference
        which = reference.path or f"of [reference] from = {json.dumps(reference.origin)}"
        return f"the logs hold no column of the reference {which}"

    def read(self, windows: Iterable[Replayed]) -> None:
        """Take in windows."""
        named = {rule.name for rule in self.settings.rules if _has_threshold(rule)}
        rules = [rule for rule in rule_specs(self.settings) if rule.name in named]
        for one in windows:
            of, ends = (one.window["version"], one.window["segment"]), float(one.window["ends"])
            self.begins = min(self.begins, one.window["begins"])
            self._ends.append(ends)
            self.fired += sum(incident["kind"] == "confirmed" for incident in one.incidents)
            shares = [row["value"] for row in one.measurements if _tells_missing(row)]
            known = [] if math.isnan(self.least_missing) else [self.least_missing]
            self.least_missing = min((*known, *shares), default=math.nan)
            for rule in rules:
                if rule.name in one.verdicts:
                    bound = bound_of(rule, one)
                    self._bounds.setdefault((rule.name, of), []).append((ends, bound))

    def series(self, rule: str, until: float) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
        """Return a rule's bounds in order, a series a version or segment."""
        return [
            np.array([bound for ends, bound in found if ends <= until])
            for (name, _), found in self._bounds.items()
            if name == rule
        ]

    def span(self, until: float) -> tuple[float, float]:
        """Return begin and end of what was measured, seconds since the epoch."""
        return self.begins, max((one for one in self._ends if one <= until), default=self.begins)


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A rule with what is proposed for it; None where it has no threshold that can be."""

    rule: RuleSettings
    proposal: Proposal | None
    step_s: float
    why: str = ""


def bound_of(rule: RuleSpec, window: Replayed) -> float:
    """Return the bound that decides on a breach, negated for `below`: the larger, the worse.

    ``-inf`` where there is nothing to judge, ``inf`` where that is a breach in itself.
    """
    counted = rule.metric in COUNT_METRICS or rule.metric in SAMPLED_METRICS
    missing = math.inf if rule.on_missing == "breach" else -math.inf
    if not counted and window.window["events"] < rule.min_events:
        return missing
    found = [row for row in window.measurements if _covers(rule, row)]
    side = "low" if rule.above is not None else "high"
    bounds = [
        missing
        if row["value"] is None
        else -math.inf
        if row[side] is None
        else rule.distance(row[side])
        for row in found
    ]
    return max(bounds, default=missing)


def calibrated(healthy: Healthy, until: float, asked: FalseAlarms) -> list[Calibrated]:
    """Propose a threshold for each rule that has one.

    Parameters
    ----------
    until
        Windows that end later are left out, seconds since the epoch.

    Raises
    ------
    CalibrationError
        There is no window.
    """
    spec = window_spec(healthy.settings)
    begins, ends = healthy.span(until)
    results = []
    for rule in healthy.settings.rules:
        series = healthy.series(rule.name, until)
        windows = sum(one.size for one in series)
        step_s = spec.slide if spec.kind == "time" else (ends - begins) / max(1, windows)
        proposal = None
        about_nothing = bool(healthy.unlike and rule.columns)
        if windows and _has_threshold(rule) and not about_nothing:
            proposal = propose(
                series,
                Quorum(rule.quorum.needed, rule.quorum.of),
                rate=asked.per_window(step_s),
                overlap=spec.panes,
                chance=np.random.default_rng(_SEED),
            )
        why = healthy.unlike if about_nothing else ""
        results.append(Calibrated(rule, proposal, step_s, why))
    if all(one.proposal is None for one in results):
        why = healthy.unlike or "no window closed in which a rule with a threshold was judged"
        raise CalibrationError(f"nothing to propose: {why}")
    return results


def toml(
    results: Sequence[Calibrated], healthy: Healthy, until: float, asked: FalseAlarms
) -> Iterator[str]:
    """Write the rules with their proposed thresholds, and what these rest on, line by line."""
    begins, ends = healthy.span(until)
    yield f"# Thresholds for at most {asked} of each rule while all is well,"
    yield f"# from logs that must have been healthy: {_day(begins)} to {_day(ends)}"
    yield f"# ({render_duration(round(ends - begins))})."
    if healthy.fired:
        yield "# With the present thresholds rules fired in these logs, breaches confirmed:"
        yield f"# {healthy.fired}. Were they healthy?"
    for one in results:
        yield ""
        yield from _rule_lines(one, asked)


def as_data(
    results: Sequence[Calibrated], healthy: Healthy, until: float, asked: FalseAlarms
) -> dict[str, Any]:
    """Return the same as JSON: a threshold that is null has no proposal, and `why` says why."""
    begins, ends = healthy.span(until)
    return {
        "false_alarms": str(asked),
        "begins": rfc3339(begins),
        "ends": rfc3339(ends),
        "fired": healthy.fired,
        "rules": [_rule_data(one) for one in results],
    }


def _rule_data(one: Calibrated) -> dict[str, Any]:
    rule, proposal = one.rule, one.proposal
    side = "above" if rule.above is not None else "below"
    told = {"rule": rule.name, "metric": rule.metric, "side": side, "threshold": None, "why": None}
    if proposal is None:
        return told | {"why": one.why or _why_not(rule)}
    if proposal.basis == "none":
        return told | {"why": _why_none(proposal)}
    threshold = _rounded(proposal.threshold)
    return told | {
        "threshold": threshold if side == "above" else -threshold,
        "basis": proposal.basis,
        "alarms": proposal.alarms,
        "windows": proposal.windows,
        "judged": proposal.judged,
        "rate_proven_per_window": proposal.rate_proven,
    }


def _rule_lines(one: Calibrated, asked: FalseAlarms) -> Iterator[str]:
    rule, proposal = one.rule, one.proposal
    if proposal is None:
        yield f'# rule "{rule.name}": {one.why or _why_not(rule)}; it stays as it is.'
        return
    if proposal.basis == "none":
        yield f'# rule "{rule.name}": no threshold keeps the rate: {_why_none(proposal)}.'
        return
    threshold = _rounded(proposal.threshold)
    side = "above" if rule.above is not None else "below"
    yield "[[rules]]"
    yield f"name = {json.dumps(rule.name)}"
    yield f"metric = {json.dumps(rule.metric)}"
    if rule.columns:
        single = len(rule.columns) == 1 and rule.column
        yield f"column = {json.dumps(rule.column)}" if single else _columns(rule)
    yield f"{side} = {threshold if side == 'above' else -threshold!r}"
    if rule.clear is not None:
        yield f"# clear = {rule.clear!r} was for the threshold before: choose it anew"
    yield f'for = "{rule.quorum}"'
    if rule.on_missing != "unknown":
        yield f'on_missing = "{rule.on_missing}"'
    if rule.min_events is not None:
        yield f"min_events = {rule.min_events}"
    yield f'action = "{rule.action}"'
    for line in _rests_on(rule, proposal, one.step_s, asked):
        yield f"# {line}"


def _rests_on(
    rule: RuleSettings, proposal: Proposal, step_s: float, asked: FalseAlarms
) -> Iterator[str]:
    proven = _rate(proposal.rate_proven, step_s, asked)
    sure = f"{CONFIDENCE:.0%}"
    yield (
        f"{proposal.basis}: {proposal.windows:,} windows, {proposal.judged:,} of them judged; "
        f"{proposal.alarms} alarms at this threshold."
    )
    if proposal.basis == "counted":
        yield f"With {sure} confidence there is at most {proven}."
    else:
        yield f"TOO SHORT to prove {asked}: these logs prove {proven} with {sure} confidence."
        needed = 3 * proposal.clustering / asked.per_window(step_s)
        yield f"It takes about {_length(needed, step_s, asked)} of healthy logs to prove it."
    if proposal.basis == "tail":
        yield "The threshold is EXTRAPOLATED by a generalised Pareto tail: a careful guess."
    if proposal.basis == "largest":
        yield "Too few peaks for a tail: the threshold is the largest level of these logs."
    if proposal.threshold == 0.0:
        yield "The bound that is compared never rose above 0 often enough to be confirmed."
    present = rule.above if rule.above is not None else -(rule.below or 0.0)
    if present >= proposal.threshold:
        yield f"The present threshold, {abs(present):g}, is on the quiet side of it."
    yield (
        f"Drawn in blocks of {proposal.block:.0f} windows on average (Politis & White): "
        f"alarms vary {proposal.clustering:.1f} times as much as independent ones."
    )


def _covers(rule: RuleSpec, row: Mapping[str, Any]) -> bool:
    return rule.covers(
        Measurement(row["metric"], row["column"], row["value"], row["low"], row["high"], None, 0)
    )


def _tells_missing(row: Mapping[str, Any]) -> bool:
    return row["metric"] == "missing_ratio" and row["value"] is not None


def _has_threshold(rule: RuleSettings) -> bool:
    # Detectors of changes have parameters of their own, and a threshold that only counts.
    measured = {*COLUMN_METRICS, *WINDOW_METRICS, *PERFORMANCE_METRICS, *SAMPLED_METRICS}
    return rule.metric in measured and (rule.above is not None or rule.below is not None)


def _why_not(rule: RuleSettings) -> str:
    if not _has_threshold(rule):
        return "it has no threshold that a rate follows from"
    if rule.metric in SAMPLED_METRICS:
        return f"{rule.metric} is not in the logs"
    return "no window was judged by it"


def _why_none(proposal: Proposal) -> str:
    if not proposal.judged:
        return "no window had a figure to judge, or enough events"
    return "windows without a figure are breaches to it"


def _columns(rule: RuleSettings) -> str:
    return f"columns = [{', '.join(map(json.dumps, rule.columns))}]"


def _rounded(threshold: float) -> float:
    """Round up to a few digits: to the quiet side, for both sides are turned the same way."""
    if threshold == 0.0:
        return 0.0
    places = DIGITS - 1 - math.floor(math.log10(abs(threshold)))
    return math.ceil(threshold * 10.0**places) / 10.0**places + 0.0


def _rate(per_window: float, step_s: float, asked: FalseAlarms) -> str:
    windows = 1.0 / per_window
    return f"1 per {_length(windows, step_s, asked)}"


def _length(windows: float, step_s: float, asked: FalseAlarms) -> str:
    if isinstance(asked.per, int):
        return f"{math.floor(windows):,} windows"
    seconds = windows * step_s
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("m", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.3g}{unit}"
    return f"{seconds:.3g}s"


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
