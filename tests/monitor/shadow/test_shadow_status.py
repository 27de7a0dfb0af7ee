"""How a shadow stands, in the lines of `kedge status`."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.cli.status_view import headlines

STATUS: dict[str, Any] = {
    "model": {"name": "m", "alias": "champion", "live_version": "7"},
    "totals": {"all": {"events": 10, "rejected": 0, "late": 0, "shed": 0}},
    "rollback": {"state": "WATCHING", "mode": "observe"},
    "rules": [],
}
SHADOW: dict[str, Any] = {
    "live": "7",
    "version": "8",
    "state": "scoring",
    "why": "",
    "requests": {"scored": 1_200, "shed": 3, "lost": 0},
    "disagreement": {"value": 0.015, "low": 0.01, "high": 0.02, "p_value": None, "n": 1_200},
}


@pytest.mark.parametrize(
    ("shadow", "line"),
    [
        (
            SHADOW,
            "shadow: version 8, scoring; 1,200 scored, 3 shed; differs from 7 on 1.5% [1.0%, 2.0%]",
        ),
        (
            SHADOW
            | {"state": "failed", "why": "it does not load", "version": None}
            | {"requests": {}, "disagreement": None},
            "shadow: version unknown, failed; nothing asked yet (it does not load)",
        ),
    ],
)
def test_the_shadow_has_a_line(shadow: dict[str, Any], line: str) -> None:
    assert line in list(headlines(STATUS | {"shadow": shadow}))


def test_without_a_shadow_there_is_none() -> None:
    assert not any("shadow" in line for line in headlines(STATUS))
