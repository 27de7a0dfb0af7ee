"""Hours of the season: which one a time is in, built from files, and compared in the daemon."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from collectors.batch import NumberColumn, PredictionBatch, Schema
from detectors.reference.reference import Reference
from detectors.reference.reference_file import dump, load
from detectors.windows.pane import Pane
from detectors.windows.window import ClosedWindow
from monitor.cli import cli
from monitor.references.seasonal import Seasonal
from monitor.references.trailing import TrailingReferences, TrailingSpec
from monitor.traffic.season_clock import SeasonClock
from tests.monitor.daemon import Kedge, eventually, running
from tests.monitor.events import append, lines
from tests.monitor.reference_tables import reference_of

Writer: TypeAlias = Callable[[Path, list[Mapping[str, Any]]], Path]

HOUR_S = 3600
#: Monday 2026-03-02, midnight UTC.
MONDAY = datetime(2026, 3, 2, tzinfo=UTC).timestamp()


def kedge(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(one) for one in arguments], standalone_mode=False)


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("kind", "zone", "moment", "slot", "name"),
    [
        ("hour-of-day", "UTC", "2026-03-04T10:59:59Z", 10, "10:00"),
        ("hour-of-week", "UTC", "2026-03-02T00:00:00Z", 0, "Monday 00:00"),
        ("hour-of-week", "UTC", "2026-03-08T23:30:00Z", 167, "Sunday 23:00"),
        ("hour-of-week", "Asia/Kolkata", "2026-03-01T18:45:00Z", 0, "Monday 00:00"),
        ("hour-of-day", "Europe/Berlin", "2026-03-29T00:30:00Z", 1, "01:00"),
        ("hour-of-day", "Europe/Berlin", "2026-03-29T01:30:00Z", 3, "03:00"),
    ],
)
def test_a_time_is_in_the_hour_that_clocks_there_show(
    kind: Any,  # noqa: ANN401 - a literal
    zone: str,
    moment: str,
    slot: int,
    name: str,
) -> None:
    clock = SeasonClock(kind, zone)

    assert clock.slot(at(moment)) == slot
    assert clock.slots(np.array([at(moment), at(moment)])).tolist() == [slot, slot]
    assert clock.name(slot) == name


def rows(per_hour: int = 520, hours: int = 3) -> list[Mapping[str, Any]]:
    """Rows of some hours of a Monday, whose feature is the hour and a little more."""
    chance = random.Random(1)
    return [
        {
            "ts": MONDAY + number * HOUR_S / per_hour,
            "hour": round(number // per_hour + chance.random() / 2, 2),
            "prediction": round(chance.gauss(0, 1), 2),
        }
        for number in range(per_hour * hours)
    ]


def events(path: Path, table: list[Mapping[str, Any]]) -> Path:
    with path.open("w") as file:
        for row in table:
            features = {"hour": row["hour"]}
            event = {"ts": row["ts"], "features": features, "prediction": row["prediction"]}
            file.write(json.dumps(event) + "\n")
    return path


def flat_lines(path: Path, table: list[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in table))
    return path


def csv(path: Path, table: list[Mapping[str, Any]]) -> Path:
    frame = pd.DataFrame(table)
    frame["ts"] = pd.to_datetime(frame["ts"], unit="s", utc=True).map(lambda one: one.isoformat())
    frame.to_csv(path, index=False)
    return path


def parquet(path: Path, table: list[Mapping[str, Any]]) -> Path:
    frame = pd.DataFrame(table)
    frame["ts"] = pd.to_datetime(frame["ts"], unit="s")
    pq.write_table(pa.Table.from_pandas(frame), path)
    return path


@pytest.mark.parametrize(
    ("name", "write", "more"),
    [
        ("events.jsonl", events, ()),
        ("flat.jsonl", flat_lines, ("--time-column", "ts")),
        ("table.csv", csv, ("--time-column", "ts")),
        ("table.parquet", parquet, ("--time-column", "ts")),
    ],
    ids=["events", "JSON lines", "CSV", "Parquet"],
)
def test_every_format_gives_the_same_hours(
    tmp_path: Path, name: str, write: Writer, more: tuple[str, ...]
) -> None:
    file, out = write(tmp_path / name, rows()), tmp_path / "r.kedge"

    result = kedge(
        *("reference", "build", "--from", file, "--out", out),
        *("--season", "hour-of-week", *more),
    )

    assert result.exception is None, result.exception
    assert "3 of 168 hours have a reference of their own; 165 have too few" in result.stderr
    reference = load(out.read_bytes())
    assert set(reference.columns) == {"hour", "prediction"}
    assert reference.season is not None
    assert set(reference.season.slots) == {0, 1, 2}
    for slot, one in reference.season.slots.items():
        points = one.columns["hour"].points  # type: ignore[union-attr]  # numbers
        assert one.rows == 520
        assert slot <= points[0]
        assert points[-1] < slot + 1


def test_show_tells_the_season(tmp_path: Path) -> None:
    out = tmp_path / "r.kedge"
    kedge(
        *("reference", "build", "--from", events(tmp_path / "e.jsonl", rows()), "--out", out),
        *("--season", "hour-of-day", "--timezone", "Asia/Kolkata"),
    )

    data = json.loads(kedge("reference", "show", out, "--json").stdout)

    assert data["season"] == {
        "kind": "hour-of-day",
        "timezone": "Asia/Kolkata",
        "slots": 2,
        "of": 24,
    }


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "name its column of times with --time-column"),
        (("--time-column", "predicted"), 'no column "predicted"; did you mean "prediction"?'),
        (("--time-column", "prediction", "--timezone", "Mars"), 'got "Mars"'),
    ],
)
def test_a_season_without_times_says_what_is_missing(
    tmp_path: Path, more: tuple[str, ...], said: str
) -> None:
    file = csv(tmp_path / "t.csv", rows())

    result = kedge(
        *("reference", "build", "--from", file, "--out", tmp_path / "r"),
        *("--season", "hour-of-day", *more),
    )

    assert said in str(result.exception)
    assert not (tmp_path / "r").exists()


def window(reference: Reference | None, begins: float, length_s: float) -> ClosedWindow:
    pane = Pane(reference, Schema({}))
    pane.add(
        PredictionBatch(
            model="m",
            version="7",
            role="live",
            latency_kind="server",
            ts=np.full(10, begins),
            latency_ms=np.full(10, np.nan),
            status=np.full(10, 200),
            weight=np.ones(10),
            columns={"hour": NumberColumn(np.full(10, 0.25))},
        )
    )
    return ClosedWindow("m", "7", begins, begins + length_s, pane, length_s)


def test_a_window_is_compared_with_the_hour_of_its_middle(tmp_path: Path) -> None:
    out = tmp_path / "r.kedge"
    kedge(
        *("reference", "build", "--from", events(tmp_path / "e.jsonl", rows())),
        *("--out", out, "--season", "hour-of-day"),
    )
    reference = load(out.read_bytes())
    assert reference.season is not None
    seasonal = Seasonal()

    def picked(begins: float, length_s: float) -> tuple[Reference | None, str]:
        return seasonal.pick(window(reference, MONDAY + begins, length_s))

    slots = reference.season.slots
    assert picked(60, 300) == (slots[0], "slot")
    assert picked(HOUR_S - 100, 300) == (slots[1], "slot")
    assert picked(5 * HOUR_S, 300) == (None, "few_rows")
    assert picked(0, 2 * HOUR_S) == (None, "too_long")
    plain = reference_of(10)
    assert seasonal.pick(window(plain, MONDAY, 300))[1] == "none"


def test_a_trailing_reference_has_a_season_too_and_keeps_it() -> None:
    spec = TrailingSpec(
        4.0 * 86_400, 3_600.0, 3_600.0, 40_960, season="hour-of-day", zone="Europe/Berlin"
    )
    references = TrailingReferences(spec, 100_000, chance=random.Random(1).random)
    for begins in np.arange(MONDAY, MONDAY + 5 * 86_400, 1_800.0).tolist():
        ts = begins + np.arange(0, 1_800, 4.0)
        hour = (ts % 86_400) // HOUR_S
        references.collect(
            PredictionBatch(
                *("m", "7", "live", "server", ts),
                *(np.full(ts.size, np.nan), np.full(ts.size, 200), np.ones(ts.size)),
                {"hour": NumberColumn(hour)},
            )
        )
        references.concluded("7", begins, begins + 1_800, healthy=True)

    reference = references.of("7")

    assert reference is not None
    assert reference.season is not None
    assert reference.season.zone == "Europe/Berlin"
    assert len(reference.season.slots) >= 20
    for slot, part in reference.season.slots.items():
        points = part.columns["hour"].points  # type: ignore[union-attr]  # numbers
        assert points.tolist() == [(slot - 1) % 24]
    again = load(dump(reference))
    assert again.digest == reference.digest


def seasonal_events(begins: float, count: int, step_s: float) -> Iterator[Mapping[str, Any]]:
    """Yield events whose prediction follows the hour of the day."""
    chance = random.Random(begins)
    for number in range(count):
        ts = begins + number * step_s
        level = 3 * math.sin((ts % 86_400) // HOUR_S / 24 * 2 * math.pi)
        yield {
            "id": f"{begins}-{number}",
            "ts": ts,
            "version": "7",
            "prediction": round(level + chance.gauss(0, 1), 3),
        }


def measured(daemon: Kedge) -> list[dict[str, Any]]:
    query = "/api/v1/measurements?metric=ks&column=prediction&limit=1000"
    return list(daemon.get(query)["measurements"])


@pytest.mark.real
def test_the_daemon_is_quiet_all_day_and_sees_the_night_at_noon(tmp_path: Path) -> None:
    today = time.time() // 86_400 * 86_400
    history, log = tmp_path / "history.jsonl", tmp_path / "predictions.jsonl"
    history.write_bytes(lines(seasonal_events(today - 3 * 86_400, 3 * 24 * 360, 10.0)))
    built = kedge(
        *("reference", "build", "--from", history, "--out", tmp_path / "r.kedge"),
        *("--season", "hour-of-day"),
    )
    config = tmp_path / "kedge.toml"
    config.write_text(
        """
[model]
name = "m"

[[collect]]
type = "tail"
path = "predictions.jsonl"

[reference]
path = "r.kedge"

[windows]
length = "30m"
min_events = 50
lateness = "1s"
idle = "1h"

[http]
listen = "127.0.0.1:0"

[[rules]]
name = "prediction"
metric = "ks"
column = "prediction"
above = 0.2
for = "1 of 1"

[[rules]]
name = "any"
metric = "drift"
false_alarms = "1 per 1000 windows"
"""
    )
    # A day of two windows an hour, and then an hour of what is usual six hours before.
    day = list(seasonal_events(today - 86_400, 24 * 720, 5.0))
    odd = [{**row, "ts": row["ts"] + 6 * HOUR_S} for row in seasonal_events(today, 1_500, 5.0)]
    with running(config) as daemon:
        append(log, lines(iter(day)))
        daemon.counted(len(day))
        append(log, lines(iter(odd)))
        daemon.counted(len(day) + len(odd))
        eventually(lambda: len(measured(daemon)) >= 49, what="windows of both days")
        found, page = measured(daemon), daemon.page("/metrics")
        drift = daemon.get("/api/v1/measurements?metric=drift&limit=1000")["measurements"]
        status = daemon.get("/api/v1/status")["versions"][0]["reference"]
        daemon.stop()

    assert built.exception is None
    by_time = sorted(found, key=lambda one: str(one["window_start"]))
    assert sum(one["verdict"] == "breach" for one in by_time[:48]) == 0
    assert by_time[-1]["verdict"] == "breach"
    drift.sort(key=lambda one: str(one["window_start"]))
    assert sum(one["verdict"] == "breach" for one in drift[:48]) == 0
    assert drift[-1]["verdict"] == "breach"
    assert status["season"] == {"kind": "hour-of-day", "timezone": "UTC", "slots": 24, "of": 24}
    assert 'kedge_seasonal_windows_total{basis="slot"}' in page
