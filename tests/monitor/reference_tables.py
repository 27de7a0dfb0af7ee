"""References for tests: made of rows as the daemon would see them."""

from __future__ import annotations

import json
import random
from pathlib import Path

from collectors.formats.kedge import KedgeFormat
from detectors.reference.reference import Reference, ReferenceBuilder
from tests.monitor.events import events


def reference_of(rows: int, *, shift: float = 0.0, seed: int = 1) -> Reference:
    """Build a reference of rows like those of :func:`tests.monitor.events.events`."""
    builder = ReferenceBuilder()
    log_format = KedgeFormat("")
    lines = b"".join(
        json.dumps(row).encode() + b"\n"
        for row in events(rows, version="7", begins=0.0, shift=shift, seed=seed)
    )
    for batch in log_format.decode(lines).batches:
        builder.add(batch.columns)
    return builder.build(0.0, f"{rows} rows")


def table(path: Path, rows: int, *, shift: float = 0.0, seed: int = 1) -> Path:
    """Write rows like those of the events as flat JSON lines."""
    chance = random.Random(seed)
    with path.open("w") as file:
        for _ in range(rows):
            row = {
                "age": chance.gauss(40, 10) + 30 * shift,
                "plan": chance.choice(("gold", "basic")),
                "prediction": chance.gauss(0, 1) + shift,
            }
            file.write(json.dumps(row) + "\n")
    return path
