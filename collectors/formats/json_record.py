"""A line of JSON as the structure that its format says it has."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from collectors.formats.event_line import Unusable

T = TypeVar("T")


def decoded(line: bytes | str, decoder: msgspec.json.Decoder[T]) -> T:
    """Return the record that a line holds.

    Raises
    ------
    Unusable
        Why it holds none.
    """
    try:
        return decoder.decode(line)
    except RecursionError as error:
        raise Unusable("too_deep") from error
    except UnicodeError as error:
        raise Unusable("not_utf8") from error
    except msgspec.ValidationError as error:
        raise Unusable(_reason(str(error))) from error
    except msgspec.DecodeError as error:
        raise Unusable("malformed" if _is_utf8(line) else "not_utf8") from error


def parsed(text: bytes | str) -> object:
    """Return what JSON of any shape holds; raises as `decoded`."""
    return decoded(text, _ANY)


_ANY: msgspec.json.Decoder[object] = msgspec.json.Decoder(object)


def _reason(message: str) -> str:
    if "missing required field" in message:
        return "missing_key"
    # Of the line itself, not of something in it: `Expected object, got array`.
    return "wrong_type" if " - at `$" in message else "malformed"


def _is_utf8(line: bytes | str) -> bool:
    if isinstance(line, str):
        return True
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
