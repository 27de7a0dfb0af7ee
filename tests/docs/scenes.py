"""What a page's commands find: files and servers that its reader has already."""

from __future__ import annotations

import gzip
import json
import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path

#: 2026-03-02, a Monday, midnight.
_MONDAY = 1_772_409_600
_RATE_S = 6


def _events(begins: float, rows: int, *, older_by: float = 0.0, seed: int = 1) -> list[str]:
    chance = random.Random(seed)
    lines = []
    for i in range(rows):
        age = chance.gauss(41 + older_by, 9)
        event = {
            "id": f"{begins:.0f}-{i}",
            "ts": begins + i * _RATE_S,
            "model": "flight-delay",
            "version": "7",
            "latency_ms": chance.lognormvariate(2.4, 0.3),
            "status": 200,
            "features": {"age": age, "plan": chance.choice(["free", "gold"])},
            "prediction": 1 / (1 + math.exp(-(age - 41) / 9)),
        }
        lines.append(json.dumps(event) + "\n")
    return lines


def predictions(folder: Path) -> None:
    """A day of a healthy log, in logs/predictions.jsonl."""
    (folder / "logs").mkdir(exist_ok=True)
    path = folder / "logs" / "predictions.jsonl"
    path.write_text("".join(_events(_MONDAY, 14_400)), encoding="utf-8")


def week(folder: Path) -> None:
    """Days of March, rotated and compressed, the last of them drifted; and healthy ones."""
    (folder / "logs").mkdir(exist_ok=True)
    for day in range(3):
        lines = _events(_MONDAY + day * 86_400, 14_400, seed=day, older_by=8.0 * (day == 2))
        for name in (f"predictions-2026-03-{day + 2:02}", f"healthy-{day}"):
            if day < 2 or not name.startswith("healthy"):
                path = folder / "logs" / f"{name}.jsonl.gz"
                path.write_bytes(gzip.compress("".join(lines).encode(), compresslevel=1))


def training(folder: Path) -> None:
    """The table that the model was trained on, training.parquet."""
    import pandas as pd  # noqa: PLC0415 - only for this scene

    chance = random.Random(2)
    ages = [chance.gauss(41, 9) for _ in range(5_000)]
    frame = pd.DataFrame(
        {
            "age": ages,
            "plan": [chance.choice(["free", "gold"]) for _ in ages],
            "prediction": [1 / (1 + math.exp(-(age - 41) / 9)) for age in ages],
        }
    )
    frame.to_parquet(folder / "training.parquet")


def configured(folder: Path) -> None:
    """A kedge.toml of a model with a reference."""
    (folder / "kedge.toml").write_text(
        """\
[model]
name = "flight-delay"

[[collect]]
type = "tail"
path = "logs/predictions*.jsonl"

[reference]
path = "reference.kedge"

[[rules]]
name = "prediction"
metric = "psi"
column = "prediction"
above = 0.25
for = "3 of 4"
action = "alert"
""",
        encoding="utf-8",
    )


SCENES: Mapping[str, Callable[[Path], None]] = {
    "predictions": predictions,
    "week": week,
    "training": training,
    "configured": configured,
}
