"""Times as logs write them, to seconds since the epoch."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from collectors.formats.event_line import TS_END, Unusable

_TIME_CHARS_MAX = 64


def seconds(value: object, zone: str) -> float:
    """Read a time: seconds since the epoch, a text of ISO 8601, or a datetime.

    Parameters
    ----------
    zone
        Zone of a time that carries none; empty to refuse such times.

    Raises
    ------
    Unusable
        It is missing (``missing_key``), of another type, or no time.

    Examples
    --------
    >>> seconds("2026-03-04T10:00:00.25Z", "")
    1772618400.25
    >>> seconds("2026-03-04 11:00:00,5", "Europe/Berlin")
    1772618400.5
    """
    if value is None:
        raise Unusable("missing_key")
    if isinstance(value, str):
        value = _moment(value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            if not zone:
                raise Unusable("bad_time")
            value = value.replace(tzinfo=_zone(zone))
        try:
            value = (value - _EPOCH).total_seconds()
        except OverflowError as error:  # the year 1, in another zone
            raise Unusable("bad_time") from error
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unusable("wrong_type")
    if not 0 <= value < TS_END:
        raise Unusable("bad_time")
    return float(value)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _moment(text: str) -> datetime:
    if len(text) > _TIME_CHARS_MAX:
        raise Unusable("bad_time")
    try:
        # Databases end their times in the name of the one zone they use.
        return datetime.fromisoformat(
            text.strip().replace(",", ".").removesuffix(" UTC") + _z(text)
        )
    except ValueError as error:
        raise Unusable("bad_time") from error


def _z(text: str) -> str:
    return "+00:00" if text.endswith(" UTC") else ""


@functools.cache
def _zone(name: str) -> tzinfo:
    return ZoneInfo(name)
