"""Which labels a selector picks, as the API server reads it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

from tests.rollback.fake_answers import RefusedError

Picks: TypeAlias = Callable[[Mapping[str, str]], bool]


def picker(selector: str) -> Picks:
    """Return what tells whether a selector picks labels: ``k=v``, ``k!=v``, ``k`` and ``!k``."""
    terms = [_term(text) for text in selector.split(",") if text]
    return lambda labels: all(holds(labels) for holds in terms)


def _term(text: str) -> Picks:
    found = re.fullmatch(r"(?P<no>!?)(?P<key>[\w./-]+)((?P<op>!?==?)(?P<value>[\w.-]*))?", text)
    if found is None or (found["no"] and found["op"]):
        raise RefusedError(400, f"unable to parse requirement: {text}")
    key, operator, value = found["key"], found["op"], found["value"]
    if operator is None:
        return lambda labels: (key in labels) is not bool(found["no"])
    return lambda labels: (labels.get(key) == value) is not operator.startswith("!")
