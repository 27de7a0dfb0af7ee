"""What a page's commands find: files and servers that its reader has already."""

from __future__ import annotations

import gzip
import json
import math
import random
import shutil
import tomllib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from collectors.formats.kedge import KedgeFormat
from detectors.reference.reference import ReferenceBuilder
from detectors.reference.reference_file import dump

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

[windows]
length = "10m"
min_events = 100

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


def profiled(folder: Path) -> None:
    """A reference of a healthy day, reference.kedge."""
    builder = ReferenceBuilder()
    for batch in KedgeFormat("flight-delay").decode("".join(_events(0.0, 14_400)).encode()).batches:
        builder.add(batch.columns)
    made = builder.build(0.0, "a healthy day")
    (folder / "reference.kedge").write_bytes(dump(made))


def two_versions(folder: Path) -> None:
    """A log in which a shadow, version 8, answers what version 7 answers."""
    (folder / "logs").mkdir(exist_ok=True)
    live = _events(_MONDAY, 500)
    shadow = [json.dumps(json.loads(line) | {"version": "8", "role": "shadow"}) for line in live]
    path = folder / "logs" / "predictions.jsonl"
    path.write_text("".join(live) + "\n".join(shadow) + "\n", encoding="utf-8")
    (folder / "kedge.toml").write_text(
        """\
[model]
name = "flight-delay"
tracking_uri = "http://127.0.0.1:1"

[[collect]]
type = "tail"
path = "logs/*.jsonl"

[shadow]
version = "8"
""",
        encoding="utf-8",
    )


def captures(folder: Path) -> None:
    """Three hours of SageMaker's Data Capture, fetched into captures/."""
    lines = []
    for line in _events(_MONDAY, 1_800):
        event = json.loads(line)
        sides = {
            "endpointInput": ("INPUT", f"{event['features']['age']},{event['features']['plan']}"),
            "endpointOutput": ("OUTPUT", str(event["prediction"])),
        }
        captured = {
            side: {"observedContentType": "text/csv", "mode": mode, "data": data, "encoding": "CSV"}
            for side, (mode, data) in sides.items()
        }
        time = datetime.fromtimestamp(event["ts"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        about = {"eventId": event["id"], "inferenceTime": time}
        lines.append(
            json.dumps({"captureData": captured, "eventMetadata": about, "eventVersion": "0"})
        )
    path = folder / "captures" / "flight-delay" / "AllTraffic" / "2026" / "03" / "02.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def installed(folder: Path) -> None:
    """What `pip install .` does with the page's own pyproject.toml, without an index."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = folder / "site" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n",
        encoding="utf-8",
    )
    groups = [
        "\n".join([f"[{group}]", *(f"{name} = {where}" for name, where in points.items())])
        for group, points in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups) + "\n", encoding="utf-8")
    for module in folder.glob("*.py"):
        shutil.copy(module, folder / "site")


SCENES: Mapping[str, Callable[[Path], None]] = {
    "predictions": predictions,
    "week": week,
    "training": training,
    "configured": configured,
    "profiled": profiled,
    "two versions": two_versions,
    "captures": captures,
    "installed": installed,
}
