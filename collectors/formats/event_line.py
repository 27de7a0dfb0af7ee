"""One line of a prediction log, looked at alone because the quick way refused it."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from collectors.formats.event_types import KEYS, AwareTime, EventTypes, Vocabulary
from collectors.formats.event_vectors import is_vector
from collectors.text import clean_text

if TYPE_CHECKING:
    from collectors.batch import ColumnKind

#: Stands in a row for a value of a wrong type.
INVALID = object()
#: Times before 1970 or after the year 9999 are no event times: mostly milliseconds or worse.
TS_END = 253_402_300_800.0
#: First bytes of a rejected line that are kept for the quarantine.
REJECTED_BYTES_MAX = 4096
#: Names of unknown keys that one `Decoded` reports; the rest count under ``"other"``.
UNKNOWN_KEYS_MAX = 200

_INT_DIGITS_MAX = 18  # what surely fits 64 bits; longer ones are read as floats
_BRACKET_OR_STRING = re.compile(rb'[\[\]{}]|"(?:[^"\\]|\\.)*"')


class Unusable(Exception):  # noqa: N818 - an answer about data, not an error of the program
    """A line cannot be used; `reason` is one of :data:`collectors.batch.REASONS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def split_lines(block: bytes) -> list[bytes]:
    """Cut whole lines; blank ones are nothing."""
    # A writer that was not told of a truncation leaves a hole of NULs before its next line.
    lines = (line.lstrip(b"\0") for line in block.split(b"\n"))
    return [line for line in lines if line and not line.isspace()]


def bounded(unknown: Counter[str]) -> Mapping[str, int]:
    """Return the counts of names, of no more names than one `Decoded` reports."""
    if len(unknown) <= UNKNOWN_KEYS_MAX:
        return dict(unknown)
    named = dict(unknown.most_common(UNKNOWN_KEYS_MAX))
    return {**named, "other": unknown.total() - sum(named.values())}


def parse_line(line: bytes, *, depth_max: int) -> dict[str, Any]:
    """Return the object that a line holds, as the JSON standard has it.

    More lenient than msgspec where a value, not the line, is at fault: ``1e999`` becomes
    infinity and an escaped lone surrogate stays in its string, for the caller to deal with.

    Raises
    ------
    Unusable
        Not UTF-8, too deep, not JSON (a byte order mark, NaN and Infinity are not), no object.
    """
    if _depth(line, depth_max) > depth_max:
        raise Unusable("too_deep")
    try:
        event = _PARSER.decode(line.decode())
    except UnicodeDecodeError as error:
        raise Unusable("not_utf8") from error
    except RecursionError as error:
        raise Unusable("too_deep") from error
    except ValueError as error:
        raise Unusable("malformed") from error
    if not isinstance(event, dict):
        raise Unusable("malformed")
    return event


def build_row(
    event: Mapping[str, Any], vocabulary: Vocabulary, types: EventTypes, model: str
) -> tuple[msgspec.Struct, Mapping[str, int]]:
    """Make the row that typed decoding would have made, with `INVALID` where a value is wrong.

    Returns
    -------
    tuple
        The row, and the unknown names that the types do not hold, each with a count of 1.

    Raises
    ------
    Unusable
        A known key has a value that no event may have.
    """
    fields: dict[str, Any] = {}
    unknown: dict[str, int] = {}
    for key, value in event.items():
        if key not in types.key_fields:
            unknown[clean_text(key)] = 1
        elif key == "features":
            if value is not None:
                fields[types.key_fields[key]] = _features(value, vocabulary, types, unknown)
        elif key == "prediction":
            fields[types.key_fields[key]] = _prediction(value)
        elif value is not None:
            fields[types.key_fields[key]] = _known(key, value, model)
    if event.get("ts") is None:
        raise Unusable("missing_key")
    return types.event(**fields), unknown


def _features(
    features: object, vocabulary: Vocabulary, types: EventTypes, unknown: dict[str, int]
) -> msgspec.Struct:
    if not isinstance(features, dict):
        raise Unusable("wrong_type")
    fields = {}
    for name, value in features.items():
        field = types.feature_fields.get(name)
        if field is None:
            unknown[f"features.{clean_text(name)}"] = 1
        elif name in vocabulary.ignored_features:
            fields[field] = INVALID
        elif value is not None:
            kind = vocabulary.features[name]
            if not fits_kind(value, kind):
                fields[field] = INVALID
            else:
                fields[field] = float(value) if kind == "number" else value
    return types.features(**fields)


def fits_kind(value: object, kind: ColumnKind | None) -> bool:
    """Whether a value that is not null can stand in a column of a kind.

    A number can stand among categories, where it is its text; a string among numbers, a
    boolean among numbers, and what is not finite cannot. An array of numbers fits vectors.
    """
    if kind == "vector" or isinstance(value, list):
        return kind == "vector" and is_vector(value)
    if isinstance(value, str | bool):
        return kind == "category"
    if isinstance(value, float):
        return kind is not None and math.isfinite(value)
    return isinstance(value, int) and kind is not None


def _prediction(value: object) -> object:
    if isinstance(value, dict):
        return {name: _scalar(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_scalar(part) for part in value]
    return _scalar(value)


def _scalar(value: object) -> object:
    if isinstance(value, dict | list):
        raise Unusable("wrong_type")
    return INVALID if isinstance(value, float) and not math.isfinite(value) else value


def _known(key: str, value: object, model: str) -> object:
    if key == "ts":
        return _time(value)
    if key == "model" and isinstance(value, str) and value != model:
        raise Unusable("wrong_model")
    if key not in KEYS or KEYS[key] is msgspec.Raw:
        # Of others than these nobody asks more than that they are there.
        return value if key in ("label", "segment", "params") else INVALID
    try:
        converted = msgspec.convert(value, KEYS[key])
    except msgspec.ValidationError as error:
        raise Unusable("wrong_type") from error
    if isinstance(converted, float) and not math.isfinite(converted):
        raise Unusable("wrong_type")
    return converted


def _time(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Unusable("wrong_type")
    if not isinstance(value, str):
        return float(value)
    try:
        return msgspec.convert(value, AwareTime)
    except (msgspec.ValidationError, ValueError) as error:
        raise Unusable("bad_time") from error


def _depth(line: bytes, depth_max: int) -> int:
    """Depth of nesting, counted without recursion; exact only where it may exceed the limit."""
    if line.count(b"[") + line.count(b"{") <= depth_max:
        return 0
    depth = deepest = 0
    for match in _BRACKET_OR_STRING.finditer(line):
        token = match.group()
        if token in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token in b"]}":
            depth -= 1
    return deepest


def _int(digits: str) -> int | float:
    return int(digits) if len(digits) <= _INT_DIGITS_MAX else float(digits)


def _refuse(token: str) -> float:
    raise ValueError(f"{token} is not JSON")


_PARSER = json.JSONDecoder(parse_int=_int, parse_constant=_refuse)
