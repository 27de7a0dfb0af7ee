"""Weights of backends in the rules of a route: where the traffic is, and what moves it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rollback.kubernetes.move import Reading


@dataclass(frozen=True, slots=True)
class Share:
    """One backend of one rule.

    Parameters
    ----------
    path
        JSON pointer of the entry.
    name_path
        JSON pointer of what names it, for a guard.
    weight
        What it comes to, with the API's default.
    written
        Whether the weight stands in the object.
    """

    path: str
    name_path: str
    name: str
    weight: int
    written: bool


def shift(rules: Sequence[Sequence[Share]], from_name: str, to_name: str) -> Reading:
    """Return where the traffic is, and the patch that gives all of one backend to the other.

    Weights of further backends stay, and so does the sum of each rule. A rule that sends to the
    first and does not name the second would be left without a backend, and is refused.
    """
    if from_name == to_name:
        return Reading("elsewhere", f"from_backend and to_backend are both {from_name}")
    sent = {
        name: sum(s.weight for rule in rules for s in rule if s.name == name)
        for name in (from_name, to_name)
    }
    words = f"weights: {from_name} {sent[from_name]}, {to_name} {sent[to_name]}"
    if sent[from_name] == 0:
        return Reading("to" if sent[to_name] else "elsewhere", words)
    operations: list[dict[str, Any]] = []
    refusals: list[str] = []
    for number, rule in enumerate(rules):
        leaving = [s for s in rule if s.name == from_name and s.weight]
        taking = next((s for s in rule if s.name == to_name), None)
        if leaving and taking is None:
            refusals.append(f"rule {number} sends to {from_name} and does not name {to_name}")
        elif leaving and taking is not None:
            for share in leaving:
                operations += _set(share, 0)
            operations += _set(taking, taking.weight + sum(s.weight for s in leaving))
    return Reading("from", words, tuple(operations), tuple(refusals))


def _set(share: Share, weight: int) -> list[dict[str, Any]]:
    op = "replace" if share.written else "add"
    return [
        {"op": "test", "path": share.name_path, "value": share.name.partition(":")[0]},
        {"op": op, "path": f"{share.path}/weight", "value": weight},
    ]
