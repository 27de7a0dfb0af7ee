"""A shadow is compared in each segment of the traffic, too: what the whole hides is seen there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collectors.batch import CategoryColumn, PredictionBatch
from collectors.labels import JoinColumns
from detectors.windows.paired import PairedWindows
from detectors.windows.window_spec import WindowSpec
from monitor.cli.status_view import tables
from monitor.judging.turn import Pending
from monitor.metrics.catalogue import Metrics
from monitor.publishing.shadow import ShadowPublisher
from monitor.shadow.judging import ShadowJudging
from monitor.shadow.queues import Answered, ShadowQueue
from monitor.shadow.watch import ShadowStanding, ShadowWatch
from monitor.traffic.segments import Segments
from tests.monitor.daemon import Kedge, eventually, running
from tests.monitor.shadow.test_shadow_status import SHADOW, STATUS
from tests.monitor.shadowing import MODEL, configuration, live_events, write

MINUTE = WindowSpec("time", 60.0, 60.0)
SMALL = "country=FR"

SEGMENTS = """
[segments]
keys = ["country"]

[[rules]]
name = "whole"
metric = "shadow_disagreement"
above = 0.4
min_events = 20
for = "1 of 1"

[[rules]]
name = "each"
metric = "shadow_disagreement"
above = 0.4
min_events = 20
for = "1 of 1"
segments = "each"
"""


def segmented(count: int) -> list[dict[str, Any]]:
    """Return events of which one in ten is French, and in those versions 3 and 4 are wrong."""
    events = live_events(count)
    for event in events:
        is_small = event["segment"]["country"] == "FR"
        event["prediction"] = event["label"] = event["prediction"] ^ is_small
    return events


def shadow_of(kedge: Kedge) -> dict[str, Any]:
    return dict(kedge.get("/api/v1/status")["shadow"])


@pytest.mark.real
def test_a_shadow_that_is_wrong_in_a_tenth_of_the_traffic_is_seen_there_and_not_in_the_whole(
    tmp_path: Path, registry_uri: str
) -> None:
    # One after the other: windows of so many pairs hold them in the order of the answers.
    shadow_settings = 'version = "3"\nconcurrency = 1'
    config = configuration(tmp_path, registry_uri, shadow_settings, SEGMENTS)
    write(tmp_path / "predictions.jsonl", segmented(400))

    with running(config) as kedge:
        eventually(lambda: shadow_of(kedge)["requests"]["scored"] == 400, what="all are scored")
        # Both: the last window of the whole, and the second one of the small segment.
        rules = eventually(
            lambda: rules_of(kedge) if rules_of(kedge)["each"][0] == "breach" else None,
            what="the breach of a segment",
        )
        shadow = shadow_of(kedge)
        rows = kedge.get(f"/api/v1/measurements?version=3&segment={SMALL}")["measurements"]
        whole = kedge.get("/api/v1/measurements?version=3&segment=")["measurements"]
        incidents = kedge.get("/api/v1/incidents")["incidents"]
        page, html = kedge.page("/metrics"), kedge.page("/")
        said = status(kedge)
        assert kedge.stop() == 0

    assert rules == {"whole": ("ok", None), "each": ("breach", SMALL)}
    assert shadow["disagreement"]["value"] == pytest.approx(0.1)
    found = {one["segment"]: one for one in shadow["segments"]}
    assert found[SMALL]["disagreement"]["value"] == 1.0
    assert found[SMALL]["measurements"]["accuracy_difference"]["value"] == -1.0
    assert found["country=DE"]["disagreement"]["value"] == 0.0
    small = {one["metric"]: one for one in rows}
    assert (small["shadow_disagreement"]["live"], small["shadow_disagreement"]["n"]) == ("1", 20)
    assert small.keys() >= {"shadow_psi", "shadow_ks", "shadow_latency_p50", "shadow_signed_rank"}
    assert {one["value"] for one in whole if one["metric"] == "shadow_disagreement"} == {0.1}
    assert {(one["rule"], one["segment"], one["version"]) for one in incidents} == {
        ("each", SMALL, "3")
    }
    labels = f'live="1",metric="disagreement",model="{MODEL}",segment="{SMALL}",shadow="3"'
    assert f"kedge_shadow_segment_statistic{{{labels}}} 1.0" in page
    assert re.search(rf"kedge_shadow_segment_low{{{labels}}} 0\.[67]", page)
    assert f'kedge_shadow_disagreement_ratio{{live="1",model="{MODEL}",shadow="3"}} 0.1' in page
    assert "In segments of the traffic" in html
    assert html.index(SMALL) < html.index("country=DE")
    assert re.search(rf"{SMALL} +100\.0% \[7", said)


def rules_of(kedge: Kedge) -> dict[str, tuple[str, str | None]]:
    return {
        one["name"]: (one["state"], one["segment"]) for one in kedge.get("/api/v1/status")["rules"]
    }


def status(kedge: Kedge) -> str:
    return subprocess.run(
        [sys.executable, "-m", "monitor.cli", "status", "--url", kedge.url],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={"COLUMNS": "200", "PATH": ""},
        cwd=Path.cwd(),
    ).stdout


@pytest.mark.real
def test_a_log_is_compared_by_segment_as_the_daemon_would(tmp_path: Path) -> None:
    config = configuration(tmp_path, "http://127.0.0.1:1", 'version = "3"', SEGMENTS)
    events = segmented(400)
    write(tmp_path / "old.jsonl", events)
    write(tmp_path / "old.jsonl", [shadows_answer(event) for event in events])
    command = [sys.executable, "-m", "monitor.cli", "shadow", "compare", "-c", str(config)]
    command += [str(tmp_path / "old.jsonl"), "--live", "1", "--shadow", "3"]

    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    told = subprocess.run(
        [*command, "--json"], check=True, capture_output=True, text=True, timeout=120
    )

    found = json.loads(told.stdout)
    assert found["summary"]["disagreement"] == pytest.approx(0.1)
    assert found["pairs"] == 400
    segments = {one["segment"]: one for one in found["segments"]}
    assert {name: one["pairs"] for name, one in segments.items()} == {SMALL: 40, "country=DE": 360}
    assert segments[SMALL]["summary"]["verdict"] == "apart"
    assert segments["country=DE"]["summary"]["verdict"] == "alike"
    assert {(one["rule"], one["segment"]) for one in found["fired"]} == {("each", SMALL)}
    windows = [one["segment"] for one in found["windows"]]
    assert (windows.count(None), windows.count(SMALL), windows.count("country=DE")) == (20, 2, 18)
    assert f"fired: each in {SMALL}" in printed.stdout
    assert re.search(rf"{SMALL} +1 \[.*apart", printed.stdout)


def shadows_answer(event: dict[str, Any]) -> dict[str, Any]:
    """Return what version 3 says: it knows nothing of countries."""
    answer = int(event["features"]["a"] > 0)
    return event | {"version": "3", "role": "shadow", "prediction": answer, "segment": {}}


def batch_of(countries: list[str | None], *, live: str = "7") -> PredictionBatch:
    rows = len(countries)
    return PredictionBatch(
        "m",
        live,
        "live",
        "server",
        np.arange(float(rows)),
        np.full(rows, 5.0),
        np.full(rows, 200),
        np.ones(rows),
        {"land": CategoryColumn(countries)},
        joins=JoinColumns([f"r#{row}" for row in range(rows)], [1.0] * rows, [None] * rows),
        segments={"country": countries},
    )


def watch_of(segments: Segments, queue: ShadowQueue, version: str = "8") -> ShadowWatch:
    return ShadowWatch(
        PairedWindows(MINUTE, "m", segments_max=3),
        queue,
        ShadowStanding("scoring", version),
        ShadowJudging((), confidence=0.99, psi_bins=10),
        sampling=1.0,
        queue_max=100,
        confidence=0.99,
        psi_bins=10,
        segments=segments,
    )


def answer(watch: ShadowWatch, queue: ShadowQueue, batch: PredictionBatch) -> None:
    watch.take(batch)
    # Whoever counts the rows of the whole names the segments.
    list(watch.segments.parts(batch))
    request = queue.take()
    assert request is not None
    queue.answer(Answered(request, "scored", "8", [0.0] * batch.rows, 3.0))


@pytest.mark.parametrize("key", ["country", "features.land"])
def test_rows_of_one_request_are_compared_each_in_its_segment(key: str) -> None:
    queue, pending = ShadowQueue(100), Pending()
    watch = watch_of(Segments((key,), 2), queue)
    answer(watch, queue, batch_of(["DE", "FR", "DE", None, "IT", "ES"]))

    watch.settle(60.0, pending)

    windows = [one.row.window for one in pending.judged]
    assert [(one["version"], one["segment"], one["events"]) for one in windows] == [
        ("8", "", 6),
        *(("8", f"{key}=DE", 2), ("8", f"{key}=FR", 1), ("8", f"{key}=other", 2)),
    ]
    latencies = {
        judged.row.window["segment"]: row["n"]
        for judged in pending.judged
        for row in judged.row.measurements
        if row["metric"] == "shadow_latency_p50"
    }
    assert latencies == dict.fromkeys(("", f"{key}=DE", f"{key}=FR", f"{key}=other"), 1)


def test_what_folds_into_other_is_counted_once_and_not_for_its_shadow() -> None:
    queue = ShadowQueue(100)
    segments = Segments(("country",), 1)
    watch = watch_of(segments, queue)
    answer(watch, queue, batch_of(["DE", "FR", "IT"]))

    watch.settle(60.0, Pending())

    assert segments.folded == 2


def test_a_restart_goes_on_in_segments_and_lets_go_of_those_that_are_not_watched_any_more() -> None:
    queue = ShadowQueue(100)
    before = watch_of(Segments(("country",), 2), queue)
    answer(before, queue, batch_of(["DE", "FR"]))
    before.settle(0.0, Pending())
    state = before.complete(())

    kept, dropped = Pending(), Pending()
    for pending, keys in ((kept, ("country",)), (dropped, ())):
        after = watch_of(Segments(keys, 2), ShadowQueue(100))
        after.restore(state, {})
        after.settle(60.0, pending)

    assert [one.row.window["segment"] for one in kept.judged] == ["", "country=DE", "country=FR"]
    assert [one.row.window["segment"] for one in dropped.judged] == [""]


def test_series_of_segments_go_when_other_versions_are_compared() -> None:
    metrics = Metrics(columns_max=10, versions_max=10)
    publisher = ShadowPublisher("m", metrics)
    found = [{"metric": "shadow_disagreement", "value": 1.0, "low": 0.5, "high": 1.0}]
    found = [one | {"threshold": None} for one in found]

    def segments() -> set[tuple[str, str]]:
        (family,) = metrics.shadow_segment.collect()
        return {(one.labels["live"], one.labels["segment"]) for one in family.samples}

    publisher.show({"version": "8", "segment": "", "kind": "shadow"}, "7", found)
    publisher.show({"version": "8", "segment": "country=DE", "kind": "shadow"}, "7", found)
    publisher.show({"version": "8", "segment": SMALL, "kind": "shadow"}, "7", found)
    first = segments()
    publisher.show({"version": "9", "segment": "", "kind": "shadow"}, "7", found)
    between = segments()
    publisher.show({"version": "9", "segment": SMALL, "kind": "shadow"}, "7", found)

    assert first == {("7", "country=DE"), ("7", SMALL)}
    assert between == set()
    assert segments() == {("7", SMALL)}
    (family,) = metrics.shadow_disagreement.collect()
    assert [one.labels["shadow"] for one in family.samples] == ["9"]


def test_a_terminal_shows_the_segments_that_differ_most_for_sure() -> None:
    segments = [
        {
            "segment": f"country={number}",
            "window_end": "2026-03-04T10:00:00.000Z",
            "disagreement": {"value": 0.5, "low": number / 100, "high": 1.0, "n": 40},
        }
        for number in range(30)
    ]
    shown = {"versions": [], **STATUS, "shadow": SHADOW | {"segments": segments}}

    (table,) = tables(shown)

    first = [str(cell) for cell in table.columns[0].cells]
    assert first == [f"country={number}" for number in range(29, 19, -1)]
