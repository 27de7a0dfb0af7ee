"""An exchange as a format's code gives it, made fit to stand in rows."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import msgspec

from collectors.batch import LatencyKind, Role
from collectors.formats.event_line import Unusable
from collectors.formats.exchange import Exchange, Half, flat
from collectors.formats.times import seconds

_STATUS_MIN, _STATUS_END = 100, 1000
_INT_BITS, _FLOAT_BITS = 63, 1000  # what an int64 holds; what surely is no infinity
_TEXT_CHARS = 1_000
_SCALARS = frozenset({float, int, str, bool, type(None)})


def checked(exchange: Exchange, zone: str, now: float | None) -> Exchange:
    """Return an exchange of plain values: times in seconds, nested features flat.

    Parameters
    ----------
    zone
        Zone of times without one; empty to refuse them.
    now
        What a line without a time is dated by; None to refuse it.

    Raises
    ------
    Unusable
        A value is of a type that no event may have.
    """
    return Exchange(
        ts=seconds(now if exchange.ts is None else exchange.ts, zone),
        id=_text(exchange.id),
        features=_features(exchange.features),
        predictions=_values(exchange.predictions),
        labels=_values(exchange.labels),
        version=_text(exchange.version),
        latency_ms=_number(exchange.latency_ms),
        latency_kind=_one_of(exchange.latency_kind, get_args(LatencyKind)),
        status=_status(exchange.status),
        sampling=_share(exchange.sampling),
        role=_one_of(exchange.role, get_args(Role)),
        half=None if exchange.half is None else _one_of(exchange.half, get_args(Half)),
        joins_on=_text(exchange.joins_on),
        params=_params(exchange.params),
        timed=exchange.timed,
    )


def _features(rows: object) -> Sequence[Mapping[str, Any]] | None:
    if rows is None:
        return None
    return [_row(row) for row in _listed(rows)]


def _row(row: object) -> dict[str, Any]:
    if not isinstance(row, Mapping):
        raise Unusable("wrong_type")
    values = {name if type(name) is str else str(name): value for name, value in row.items()}
    if not set(map(type, values.values())) <= _SCALARS:
        values = flat(values)
    return {name: _scalar(value) for name, value in values.items()}


def _values(values: object) -> Sequence[Any] | None:
    return None if values is None else [_value(value) for value in _listed(values)]


def _value(value: object) -> object:
    if isinstance(value, Mapping):
        return _row(value)
    if isinstance(value, list | tuple):
        return [_scalar(part) for part in value]
    return _scalar(value)


def _scalar(value: object) -> object:
    """Return a value that JSON has, its number within what a float holds."""
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, numbers.Integral):
        whole = int(value)
        if whole.bit_length() <= _INT_BITS:
            return whole
        return float(whole) if whole.bit_length() < _FLOAT_BITS else "a number without end"
    if isinstance(value, numbers.Real):
        number = float(value)
        if math.isnan(number):
            return None
        return number if math.isfinite(number) else str(number)  # a text fits no column of numbers
    return value if isinstance(value, dict | list) else str(value)[:_TEXT_CHARS]


def _params(value: object) -> Mapping[str, Any] | None:
    """Return parameters of plain values; None of what no server takes for some."""
    if not isinstance(value, Mapping) or not value:
        return None
    try:
        plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value, enc_hook=str))
    except (TypeError, ValueError, RecursionError) as error:
        raise Unusable("wrong_type") from error
    return plain


def _listed(values: object) -> Sequence[object]:
    if isinstance(values, Sequence) and not isinstance(values, str | bytes):
        return values
    raise Unusable("wrong_type")


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(_scalar(value))
    raise Unusable("wrong_type")


def _number(value: object) -> float | None:
    if value is None:
        return None
    number = _scalar(value)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise Unusable("wrong_type")
    return float(number)


def _share(value: object) -> float | None:
    share = _number(value)
    if share is not None and not 0 < share <= 1:
        raise Unusable("wrong_type")
    return share


def _status(value: object) -> int | None:
    """Return a status; what is none of HTTP's, such as nginx' 000, says nothing."""
    status = _number(value)
    return int(status) if status is not None and _STATUS_MIN <= status < _STATUS_END else None


def _one_of(value: str, choices: Sequence[str]) -> Any:  # noqa: ANN401 - one of a Literal's choices
    if value not in choices:
        raise Unusable("wrong_type")
    return value
