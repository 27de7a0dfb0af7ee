"""Quantities as they stand in a configuration: durations, sizes, spans, quorums and budgets.

Every parser takes the value as TOML gave it and raises ValueError, with no text, when it is
not such a quantity: the loader knows which key it stands at and says what was expected.
Every renderer gives back a text that its parser reads as the same quantity.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

#: Milliseconds in each unit, largest first: the order in which units may follow each other.
_UNITS_MS = {"y": 31_536_000_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_DURATION = re.compile(
    r"(?:(?P<y>\d+(?:\.\d+)?)y)?"
    r"(?:(?P<d>\d+(?:\.\d+)?)d)?(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?"
    r"(?:(?P<s>\d+(?:\.\d+)?)s)?(?:(?P<ms>\d+(?:\.\d+)?)ms)?"
)

_UNITS_BYTES = {
    "GiB": 2**30,
    "MiB": 2**20,
    "KiB": 2**10,
    "GB": 10**9,
    "MB": 10**6,
    "kB": 10**3,
    "B": 1,
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMG]iB|[kMG]?B)")

_EVENTS = re.compile(r"(\d+) events?")
_QUORUM = re.compile(r"(\d+) of (\d+)")
_FALSE_ALARMS = re.compile(r"(\d+(?:\.\d+)?) per (?:(\d+) windows?|(\S+))")

#: Windows that a quorum may look back on; the loop keeps that many verdicts a rule and version.
QUORUM_WINDOWS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """A stretch of event time, in seconds."""

    seconds: float

    def __str__(self) -> str:
        return render_duration(self.seconds)


@dataclass(frozen=True, slots=True)
class EventSpan:
    """A number of events."""

    events: int

    def __str__(self) -> str:
        return f"{self.events} events"


#: How long a window is: by event time, or by the number of events in it.
Span: TypeAlias = TimeSpan | EventSpan


@dataclass(frozen=True, slots=True)
class Quorum:
    """So many of the last so many windows.

    Parameters
    ----------
    needed
        Windows that must agree, at least 1.
    of
        Windows looked back on, at least `needed`.
    """

    needed: int
    of: int

    def __str__(self) -> str:
        return f"{self.needed} of {self.of}"


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """So many false alarms, at most and on average, per stretch of time or number of windows.

    Parameters
    ----------
    alarms
        Above 0; not whole, if need be.
    per
        Event time, or a number of closed windows.
    """

    alarms: float
    per: TimeSpan | int

    def __str__(self) -> str:
        per = f"{self.per} windows" if isinstance(self.per, int) else str(self.per)
        return f"{self.alarms:g} per {per}"

    def per_window(self, step_s: float) -> float:
        """Return the rate per window, of windows that follow each other by `step_s` seconds."""
        if isinstance(self.per, int):
            return self.alarms / self.per
        return self.alarms * step_s / self.per.seconds


def parse_duration(value: object) -> float:
    """Read a duration such as ``"500ms"``, ``"30s"`` or ``"1h30m"``.

    Returns
    -------
    float
        Seconds, exact to the millisecond, not negative.

    Raises
    ------
    ValueError
        It is not a duration; a bare number is none, because it does not say its unit.

    Examples
    --------
    >>> parse_duration("1h30m"), parse_duration("500ms")
    (5400.0, 0.5)
    """
    match = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if match is None:
        raise ValueError
    milliseconds = sum(float(match[unit] or 0) * _UNITS_MS[unit] for unit in _UNITS_MS)
    return round(milliseconds) / 1000


def render_duration(seconds: float) -> str:
    """Write a duration in the largest unit that keeps it a whole number.

    Examples
    --------
    >>> render_duration(300.0), render_duration(0.5), render_duration(0)
    ('5m', '500ms', '0s')
    """
    milliseconds = round(seconds * 1000)
    if not milliseconds:
        return "0s"
    unit = next(unit for unit, size in _UNITS_MS.items() if milliseconds % size == 0)
    return f"{milliseconds // _UNITS_MS[unit]}{unit}"


def parse_size(value: object) -> int:
    """Read a size such as ``"64MiB"``, or a whole number of bytes.

    Raises
    ------
    ValueError
        It is not a size.

    Examples
    --------
    >>> parse_size("64KiB"), parse_size("1.5MB"), parse_size(10)
    (65536, 1500000, 10)
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError
    return round(float(match[1]) * _UNITS_BYTES[match[2]])


def render_size(size_bytes: int) -> str:
    """Write a size in the largest binary unit that keeps it a whole number.

    Examples
    --------
    >>> render_size(64 * 2**20), render_size(1000)
    ('64MiB', '1000B')
    """
    for unit in ("GiB", "MiB", "KiB"):
        if size_bytes and size_bytes % _UNITS_BYTES[unit] == 0:
            return f"{size_bytes // _UNITS_BYTES[unit]}{unit}"
    return f"{size_bytes}B"


def parse_span(value: object) -> Span:
    """Read the length of a window: a duration, or a number of events.

    Raises
    ------
    ValueError
        It is neither, or nothing long.

    Examples
    --------
    >>> parse_span("5m"), parse_span("1000 events")
    (TimeSpan(seconds=300.0), EventSpan(events=1000))
    """
    events = _EVENTS.fullmatch(value) if isinstance(value, str) else None
    span: Span = EventSpan(int(events[1])) if events else TimeSpan(parse_duration(value))
    if span in (EventSpan(0), TimeSpan(0.0)):
        raise ValueError
    return span


def parse_quorum(value: object) -> Quorum:
    """Read how many of the last windows must agree, such as ``"3 of 4"``.

    Raises
    ------
    ValueError
        It is no quorum, asks for none or for more windows than it looks at, or looks back on
        more than :data:`QUORUM_WINDOWS_MAX`.

    Examples
    --------
    >>> parse_quorum("3 of 4")
    Quorum(needed=3, of=4)
    """
    match = _QUORUM.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError
    quorum = Quorum(int(match[1]), int(match[2]))
    if not 1 <= quorum.needed <= quorum.of <= QUORUM_WINDOWS_MAX:
        raise ValueError
    return quorum


def parse_false_alarms(value: object) -> FalseAlarms:
    """Read how often a rule may be wrong, such as ``"1 per 30d"`` or ``"1 per 1000 windows"``.

    Raises
    ------
    ValueError
        It is no such budget, or one of nothing.

    Examples
    --------
    >>> parse_false_alarms("1 per 30d"), parse_false_alarms("2 per 1000 windows")
    (FalseAlarms(alarms=1.0, per=TimeSpan(seconds=2592000.0)), FalseAlarms(alarms=2.0, per=1000))
    """
    match = _FALSE_ALARMS.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError
    per = int(match[2]) if match[2] else TimeSpan(parse_duration(match[3]))
    budget = FalseAlarms(float(match[1]), per)
    if budget.alarms <= 0 or per in (0, TimeSpan(0.0)):
        raise ValueError
    return budget
