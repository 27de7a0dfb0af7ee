"""Prediction events for tests, written as somebody else's process would."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def events(
    count: int,
    *,
    version: str,
    begins: float,
    shift: float = 0.0,
    regress: float = 0.0,
    seed: int = 7,
    step_s: float = 0.01,
) -> Iterator[Mapping[str, Any]]:
    """Yield events a fixed time apart; `shift` moves the prediction and one feature.

    `regress` moves the prediction alone.
    """
    chance = random.Random(seed)
    for number in range(count):
        age = chance.gauss(40, 10)
        yield {
            "id": f"{version}-{begins}-{number}",
            "ts": begins + number * step_s,
            "version": version,
            "latency_ms": chance.lognormvariate(2, 0.3),
            "features": {"age": age + 30 * shift, "plan": chance.choice(("gold", "basic"))},
            "prediction": chance.gauss(0, 1) + shift + regress,
        }


def lines(rows: Iterator[Mapping[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as log:
        log.write(data)
