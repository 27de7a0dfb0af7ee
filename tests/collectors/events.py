"""Prediction events for tests."""

from __future__ import annotations

import json
from typing import Any

TS = 1_772_618_400.0


def event(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """A usable event, with changes; a change to ... takes the key away."""
    whole = {
        "id": "loan-1",
        "ts": TS,
        "model": "credit-default",
        "version": "7",
        "latency_ms": 12.5,
        "status": 200,
        "features": {"age": 41, "plan": "gold"},
        "prediction": 0.83,
    }
    whole.update(changes)
    return {key: value for key, value in whole.items() if value is not ...}


def lines(*events: dict[str, Any] | str) -> bytes:
    """Lines of events, and of text that stands as it is."""
    texts = (one if isinstance(one, str) else json.dumps(one) for one in events)
    return "".join(text + "\n" for text in texts).encode()
