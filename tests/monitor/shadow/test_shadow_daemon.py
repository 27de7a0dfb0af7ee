"""A real daemon with real versions of a model as shadows: good ones, bad ones, killed ones."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.collectors.registered import point
from tests.monitor.daemon import Kedge, eventually, running
from tests.monitor.shadowing import MODEL, configuration, live_events, write

pytestmark = pytest.mark.real

RULE = """
[[rules]]
name = "challenger-differs"
metric = "shadow_disagreement"
above = 0.2
for = "1 of 1"
"""


def shadow_of(kedge: Kedge) -> dict[str, Any]:
    return dict(kedge.get("/api/v1/status")["shadow"])


def scored(kedge: Kedge, requests: int) -> dict[str, Any]:
    def found() -> dict[str, Any] | None:
        shadow = shadow_of(kedge)
        return shadow if shadow["requests"]["scored"] >= requests else None

    shadow = eventually(found, what=f"{requests} requests scored by the shadow")
    assert shadow is not None
    return shadow


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_each_live_request_is_scored_and_compared_and_live_windows_hold_none_of_it(
    tmp_path: Path, registry_uri: str
) -> None:
    config = configuration(tmp_path, registry_uri, 'version = "2"', RULE)
    log = tmp_path / "predictions.jsonl"
    write(log, live_events(60))

    with running(config) as kedge:
        shadow = scored(kedge, 60)
        eventually(lambda: shadow_of(kedge)["disagreement"], what="a window of pairs")

        shadow = shadow_of(kedge)
        assert (shadow["live"], shadow["version"], shadow["state"]) == ("1", "2", "scoring")
        assert shadow["disagreement"]["value"] == 1.0
        assert shadow["requests"] | {"scored": 0} == dict.fromkeys(shadow["requests"], 0)
        measured = kedge.get("/api/v1/measurements?version=2")["measurements"]
        assert {row["metric"] for row in measured} >= {
            *("shadow_disagreement", "shadow_difference", "shadow_psi", "shadow_ks"),
            *("shadow_latency_p50", "shadow_live_latency_p50"),
        }
        assert {(row["live"], row["column"]) for row in measured} == {("1", None)}
        windows = kedge.get("/api/v1/windows")["windows"]
        assert {row["version"] for row in windows} == {"1"}
        assert sum(row["events"] for row in windows) <= 60
        rule = next(one for one in kedge.get("/api/v1/status")["rules"])
        assert (rule["name"], rule["state"], rule["value"]) == ("challenger-differs", "breach", 1.0)
        page = eventually(
            lambda: kedge.page("/metrics") if "shadow_disag" in kedge.page("/metrics") else "",
            what="the metrics",
        )
        one = f'model="{MODEL}"'
        assert f'kedge_shadow_requests_total{{{one},outcome="scored",version="2"}} 60.0' in page
        assert f'kedge_shadow_disagreement_ratio{{live="1",{one},shadow="2"}} 1.0' in page
        incidents = kedge.get("/api/v1/incidents")["incidents"]
        assert [(one["kind"], one["evidence"]["live"]) for one in incidents] == [("confirmed", "1")]
        assert kedge.stop() == 0


async def test_a_shadow_that_does_not_load_is_told_and_the_alias_is_followed_when_it_moves(
    tmp_path: Path, registry_uri: str
) -> None:
    config = configuration(tmp_path, registry_uri, 'alias = "challenger"')
    log = tmp_path / "predictions.jsonl"
    write(log, live_events(40))

    with running(config) as kedge:
        eventually(lambda: shadow_of(kedge)["state"] == "failed", what="the shadow failed")
        kedge.counted(40)
        assert "has no alias challenger: set it first" in shadow_of(kedge)["why"]
        assert kedge.get("/api/v1/windows")["windows"]

        await point(registry_uri, MODEL, "challenger", "2")
        shadow = scored(kedge, 40)
        assert (shadow["version"], shadow["why"]) == ("2", "")

        await point(registry_uri, MODEL, "challenger", "3")
        eventually(lambda: shadow_of(kedge)["version"] == "3", what="the alias is followed")
        write(log, live_events(20, first=40))
        eventually(
            lambda: (shadow_of(kedge)["disagreement"] or {}).get("value") == 0.0,
            what="the new version agrees",
        )
        assert kedge.stop() == 0


def test_a_shadow_that_is_killed_comes_back_and_a_killed_daemon_counts_each_request_once(
    tmp_path: Path, registry_uri: str
) -> None:
    config = configuration(tmp_path, registry_uri, 'version = "3"')
    log = tmp_path / "predictions.jsonl"
    write(log, live_events(30))

    with running(config) as kedge:
        scored(kedge, 30)
        (child,) = children_of(kedge.process.pid)
        os.kill(child, signal.SIGKILL)
        write(log, live_events(30, first=30))
        shadow = scored(kedge, 60)
        assert shadow["state"] == "scoring"
        write(log, live_events(40, first=60))
        kedge.counted(65)
        (child,) = children_of(kedge.process.pid)
        kedge.kill()

    eventually(lambda: not Path(f"/proc/{child}").exists(), what="the shadow ends with the daemon")
    with running(config) as kedge:
        kedge.counted(100)
        requests = eventually(
            lambda: requests_of(kedge) if sum(requests_of(kedge).values()) >= 100 else None,
            what="every request has come to its end",
        )
        assert requests is not None
        assert sum(requests.values()) == 100
        assert requests["scored"] + requests["lost"] == 100
        assert kedge.stop() == 0


def requests_of(kedge: Kedge) -> dict[str, int]:
    return dict(shadow_of(kedge)["requests"])


def test_columns_that_are_not_watched_make_requests_that_cannot_be_scored(
    tmp_path: Path, registry_uri: str
) -> None:
    config = configuration(tmp_path, registry_uri, 'version = "3"')
    events = live_events(20)
    for event in events:
        del event["features"]["d"]
    write(tmp_path / "predictions.jsonl", events)

    with running(config) as kedge:
        eventually(
            lambda: requests_of(kedge)["missing_inputs"] == 20, what="every request is refused"
        )
        kedge.counted(20)
        assert b"the model takes d, which is not logged" in kedge.log.read_bytes()
        assert kedge.stop() == 0
