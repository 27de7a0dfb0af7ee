"""A model of the fixture `registry_uri`, whose versions agree and disagree, and logs of it.

Version 1 says 1 where ``a + b`` is positive and 0 elsewhere, as do 3 and 4; 2 says the
opposite.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MODEL = "scoring-plain"


def live_events(
    count: int, *, version: str = "1", begins: float = 1_772_618_400.0, first: int = 0
) -> list[dict[str, Any]]:
    """Return what version 1 answered, a second apart, half of it 1 and half 0, a tenth French."""
    return [
        {
            "id": f"r{number}",
            "ts": begins + number,
            "version": version,
            "latency_ms": 4.0,
            "features": {"a": sign * 5.0, "b": sign * 5.0, "c": 0.0, "d": 0.0},
            "prediction": int(sign > 0),
            "segment": {"country": "DE" if number % 10 else "FR"},
        }
        for number in range(first, first + count)
        for sign in ((-1) ** number,)
    ]


def write(path: Path, events: list[dict[str, Any]]) -> None:
    with path.open("a") as log:
        log.writelines(json.dumps(event) + "\n" for event in events)


def configuration(
    folder: Path,
    uri: str,
    shadow: str,
    more: str = "",
    *,
    model: str = MODEL,
    store: str = "sqlite:///kedge.db",
) -> Path:
    path = folder / "kedge.toml"
    path.write_text(
        f"""
[model]
name = "{model}"
tracking_uri = "{uri}"

[[collect]]
type = "tail"
path = "predictions.jsonl"

[reference]
from = "first"
events = 20

[windows]
length = "20 events"
min_events = 20

[store]
url = "{store}"
commit_interval = "20ms"

[http]
listen = "127.0.0.1:0"

[shadow]
{shadow}
cpu = 2.0
timeout = "20s"
{more}
"""
    )
    return path
