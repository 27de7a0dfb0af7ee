"""What is wrong with a configuration, in words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

#: Characters of a wrong text that a message repeats.
_SHOWN_MAX: Final = 60


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with a configuration: where it stands, and what is wrong there."""

    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.key}: {self.message}" if self.key else self.message


def dotted(at: str, key: str) -> str:
    """Join a key to the one of its table."""
    return f"{at}.{key}" if at else key


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean "…"?`` for a name near a known one, nothing otherwise."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f'; did you mean "{close[0]}"?' if close else ""


def alternatives(names: Iterable[str]) -> str:
    """Write names as quoted alternatives."""
    quoted = [f'"{name}"' for name in names]
    return " or ".join(filter(None, [", ".join(quoted[:-1]), quoted[-1]])) if quoted else "nothing"


def shown(value: object) -> str:
    """Write a value as it stands in TOML, shortened."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= _SHOWN_MAX else f'"{value[:_SHOWN_MAX]}…"'
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list):
        return "an array"
    return str(value)
