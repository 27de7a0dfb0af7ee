"""The daemon watches segments of the traffic by themselves, beside the whole."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.monitor.daemon import Kedge, eventually, running
from tests.monitor.events import append, lines

BEGIN = 1_772_618_400.0

pytestmark = pytest.mark.real

RULES = """
[[rules]]
name = "whole"
metric = "ks"
column = "prediction"
above = 0.45
for = "1 of 2"

[[rules]]
name = "each"
metric = "ks"
column = "prediction"
above = 0.45
for = "1 of 2"
segments = "each"

[[rules]]
name = "germany"
metric = "ks"
column = "prediction"
above = 0.45
for = "1 of 2"
segment = "country=DE"
"""


def configuration(
    folder: Path, *, keys: str = '["country"]', rules: str = RULES, more: str = ""
) -> Path:
    path = folder / "kedge.toml"
    path.write_text(
        f"""
[model]
name = "m"

[[collect]]
type = "tail"
path = "predictions*.jsonl"

[reference]
from = "first"
events = 1000

[segments]
keys = {keys}
events = 200

[windows]
length = "100 events"
min_events = 50
idle = "1s"

[store]
commit_interval = "20ms"

[http]
listen = "127.0.0.1:0"

{more}
{rules}
"""
    )
    return path


def traffic(
    count: int, begins: float, *, shifted: str = "", seed: int = 3, countries: int = 0
) -> Iterator[Mapping[str, Any]]:
    """Yield events, one in five from France and the others from Germany; or from many."""
    chance = random.Random(seed)
    for number in range(count):
        country = "FR" if number % 5 == 0 else "DE"
        if countries:
            country = f"C{number % countries}"
        yield {
            "id": f"{begins}-{number}",
            "ts": begins + number * 0.01,
            "version": "7",
            "segment": {"country": country},
            "features": {"land": country},
            "prediction": chance.gauss(0, 1) + (3.0 if country == shifted else 0),
        }


def windows(kedge: Kedge, segment: str) -> list[dict[str, Any]]:
    found = kedge.get(f"/api/v1/windows?segment={segment}&limit=10000")["windows"]
    return list(found)


def rules(kedge: Kedge) -> dict[str, tuple[str, str | None]]:
    found = kedge.get("/api/v1/status")["rules"]
    return {row["name"]: (row["state"], row["segment"]) for row in found}


@pytest.mark.parametrize("key", ["country", "features.land"])
def test_one_segment_drifts_and_the_whole_does_not(tmp_path: Path, key: str) -> None:
    log = tmp_path / "predictions.jsonl"
    keyed = RULES.replace("country=DE", f"{key}=DE")
    append(log, lines(traffic(3000, BEGIN)))
    append(log, lines(traffic(1000, BEGIN + 40, shifted="FR", seed=4)))

    with running(configuration(tmp_path, keys=f'["{key}"]', rules=keyed)) as kedge:
        kedge.counted(4000)
        eventually(lambda: rules(kedge)["each"][0] == "breach", what="the breach of a segment")
        states = rules(kedge)
        incidents = kedge.get("/api/v1/incidents")["incidents"]
        french = kedge.get(
            f"/api/v1/measurements?segment={key}=FR&metric=ks&column=prediction&limit=1"
        )["measurements"]
        whole = kedge.get("/api/v1/measurements?metric=ks&column=prediction")["measurements"]
        page = kedge.page("/metrics")
        pictured = kedge.get(f"/api/v1/columns?segment={key}=FR")
        shown = kedge.page("/")
    with running(configuration(tmp_path, keys=f'["{key}"]', rules=keyed)) as kedge:
        restarted = kedge.get(f"/api/v1/columns?segment={key}=FR")

    assert states == {
        "whole": ("ok", None),
        "each": ("breach", f"{key}=FR"),
        "germany": ("ok", f"{key}=DE"),
    }
    assert {(one["rule"], one["segment"]) for one in incidents} == {("each", f"{key}=FR")}
    assert (french[0]["segment"], french[0]["verdict"]) == (f"{key}=FR", "breach")
    assert {one["segment"] for one in whole} == {None}
    assert (
        f'kedge_segment_drift_statistic{{column="prediction",metric="ks",model="m",segment="{key}=FR"'
        in page
    )
    assert 'kedge_rule_state{model="m",rule="each"} 2.0' in page
    assert [one["column"] for one in pictured["columns"]] == ["prediction"]
    assert restarted == pictured
    assert f"segment {key}=FR, window until" in shown


def test_windows_of_segments_add_up_to_the_whole_and_stand_apart_from_it(tmp_path: Path) -> None:
    log = tmp_path / "predictions.jsonl"
    append(log, lines(traffic(3000, BEGIN)))

    with running(configuration(tmp_path)) as kedge:
        kedge.counted(3000)
        eventually(lambda: len(windows(kedge, "country=DE")) == 16, what="windows of Germany")
        whole, german, french = (windows(kedge, one) for one in ("", "country=DE", "country=FR"))
        every = windows(kedge, "*")
        versions = kedge.get("/api/v1/status")["versions"]

    # The first 1,000 events are the reference of the whole, and enter no window of anything.
    assert [row["events"] for row in whole] == [100] * 20
    assert [row["events"] for row in french] == [100] * 4
    assert len(every) == len(whole) + len(german) + len(french)
    assert {row["segment"] for row in whole} == {None}
    [version] = versions
    assert version["events"] == 3000
    references = {one["segment"]: one for one in version["reference"]["segments"]}
    assert references["country=DE"]["origin"] == "first 200 events of version 7"
    assert (version["reference"]["rows"], references["country=FR"]["rows"]) == (1000, 200)
    assert {one["version"] for one in references.values()} == {"7"}
    assert all(one["created"].endswith("Z") for one in references.values())


def test_killed_and_started_again_segments_lose_and_repeat_nothing(tmp_path: Path) -> None:
    log = tmp_path / "predictions.jsonl"
    config = configuration(tmp_path)
    rows = list(traffic(3000, BEGIN))

    for until, since in ((1130, 0), (1777, 1130), (3000, 1777)):
        append(log, lines(iter(rows[since:until])))
        with running(config) as kedge:
            kedge.counted(until)
            if until == 3000:
                eventually(lambda: len(windows(kedge, "country=DE")) == 16, what="all windows")
                german, french = windows(kedge, "country=DE"), windows(kedge, "country=FR")
            kedge.kill()

    assert [row["events"] for row in german] == [100] * 16
    assert [row["events"] for row in french] == [100] * 4


def reference_digests(kedge: Kedge) -> dict[str, str]:
    [version] = kedge.get("/api/v1/status")["versions"]
    return {
        one["segment"]: one["digest"]
        for one in version["reference"].get("segments", ())
        if one["state"] == "ready"
    }


def test_references_of_segments_stay_the_same_over_a_restart(tmp_path: Path) -> None:
    log = tmp_path / "predictions.jsonl"
    config = configuration(tmp_path)
    append(log, lines(traffic(2600, BEGIN)))

    with running(config) as kedge:
        kedge.counted(2600)
        before = reference_digests(kedge)
        kedge.stop()
    with running(config) as kedge:
        kedge.counted(2600)
        after = reference_digests(kedge)

    assert before.keys() == {"country=DE", "country=FR"}
    assert after == before


def test_too_many_segments_fold_into_one_and_are_counted(tmp_path: Path) -> None:
    log = tmp_path / "predictions.jsonl"
    append(log, lines(traffic(4000, BEGIN, countries=10)))

    with running(configuration(tmp_path, more="[limits]\nmax_segments = 3")) as kedge:
        kedge.counted(4000)
        eventually(lambda: len(windows(kedge, "country=other")) == 21, what="windows of others")
        segments = {row["segment"] for row in windows(kedge, "*")}
        page = kedge.page("/metrics")

    assert segments == {None, "country=C0", "country=C1", "country=C2", "country=other"}
    assert re.search(r"kedge_limit_reached_total\{limit=.folded_segments.\} 2800\.0", page)


def test_segments_that_are_not_watched_any_more_leave_nothing_open(tmp_path: Path) -> None:
    log = tmp_path / "predictions.jsonl"
    append(log, lines(traffic(1550, BEGIN)))
    with running(configuration(tmp_path)) as kedge:
        kedge.counted(1550)
        kedge.stop()
    append(log, lines(traffic(1000, BEGIN + 30)))

    with running(configuration(tmp_path, keys="[]", rules="")) as kedge:
        kedge.counted(2550)
        eventually(lambda: len(windows(kedge, "")) == 15, what="windows of the whole")
        since = BEGIN + 30
        seen = kedge.get(f"/api/v1/windows?segment=*&since={since}&limit=10000")["windows"]

    assert {row["segment"] for row in seen} == {None}
