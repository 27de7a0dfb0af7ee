"""A shadow that cannot keep up costs its own answers, and the live path nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.monitor.daemon import Kedge, eventually, running
from tests.monitor.shadowing import configuration, live_events, write

pytestmark = pytest.mark.real

EVENTS, QUEUE_MAX = 2_000, 50
#: Of the slow model, which answers one request at a time.
ANSWER_S = 0.5


def shadow_of(kedge: Kedge) -> dict[str, Any]:
    return dict(kedge.get("/api/v1/status")["shadow"])


def fates(kedge: Kedge) -> dict[str, int]:
    return {name: count for name, count in shadow_of(kedge)["requests"].items() if count}


def accounted(shadow: dict[str, Any]) -> int:
    """Return the requests that have come to their end, or wait."""
    assert shadow["waiting"] <= QUEUE_MAX
    return int(sum(shadow["requests"].values()) + shadow["waiting"])


def live_windows(kedge: Kedge) -> int:
    rows = kedge.get("/api/v1/windows?limit=10000")["windows"]
    return sum(row["events"] for row in rows)


def counter(kedge: Kedge, outcome: str) -> int:
    page = kedge.page("/metrics")
    label = f'outcome="{outcome}"'
    lines = [one for one in page.splitlines() if one.startswith("kedge_shadow_requests_total")]
    return sum(int(float(one.rpartition(" ")[2])) for one in lines if label in one)


def test_what_a_slow_shadow_cannot_answer_is_shed_and_counted_while_live_windows_close(
    tmp_path: Path, registry_uri: str
) -> None:
    shadow = f'version = "1"\nconcurrency = 1\nqueue_max = {QUEUE_MAX}'
    config = configuration(tmp_path, registry_uri, shadow, model="scoring-slow")
    log = tmp_path / "predictions.jsonl"
    write(log, live_events(20, version="9"))

    with running(config) as kedge:
        eventually(lambda: fates(kedge).get("scored"), what="the shadow answers")
        begins = time.monotonic()
        before = fates(kedge)["scored"]
        write(log, live_events(EVENTS, version="9", first=20))
        kedge.counted(20 + EVENTS)
        # The first 20 events are the reference.
        eventually(lambda: live_windows(kedge) == EVENTS, what="every live window")
        shed = eventually(
            lambda: fates(kedge).get("shed", 0) >= EVENTS - 2 * QUEUE_MAX, what="requests are shed"
        )
        meanwhile = fates(kedge)
        took_s = time.monotonic() - begins
        # All but the one that is asked, and one that was answered and not counted yet.
        whole = range(20 + EVENTS - 2, 20 + EVENTS + 1)
        eventually(lambda: accounted(shadow_of(kedge)) in whole, what="each request's fate")
        counted = counter(kedge, "shed")
        assert kedge.stop() == 0

    assert shed
    assert meanwhile["scored"] - before <= took_s / ANSWER_S + 2
    assert meanwhile.keys() == {"scored", "shed"}
    assert counted >= EVENTS - 2 * QUEUE_MAX


def test_an_answer_that_takes_longer_than_allowed_is_none(
    tmp_path: Path, registry_uri: str
) -> None:
    shadow = 'version = "1"\nconcurrency = 4'
    config = configuration(tmp_path, registry_uri, shadow, model="scoring-slow")
    config.write_text(config.read_text().replace('timeout = "20s"', 'timeout = "100ms"'))
    write(tmp_path / "predictions.jsonl", live_events(60, version="9"))

    with running(config) as kedge:
        eventually(lambda: fates(kedge) == {"timeout": 60}, what="every request runs out of time")
        live = live_windows(kedge)
        state = shadow_of(kedge)
        assert kedge.stop() == 0

    assert live == 40
    assert (state["state"], state["disagreement"]) == ("scoring", None)


def test_a_budget_that_is_used_up_sheds_and_says_so(tmp_path: Path, registry_uri: str) -> None:
    shadow = f'version = "3"\nqueue_max = {QUEUE_MAX}'
    config = configuration(tmp_path, registry_uri, shadow)
    config.write_text(config.read_text().replace("cpu = 2.0", "cpu = 0.01"))
    log = tmp_path / "predictions.jsonl"
    write(log, live_events(20))

    with running(config) as kedge:
        eventually(lambda: fates(kedge).get("scored"), what="the shadow answers")
        write(log, live_events(EVENTS, first=20))
        kedge.counted(20 + EVENTS)
        eventually(lambda: live_windows(kedge) == EVENTS, what="every live window")
        meanwhile = eventually(
            lambda: fates(kedge) if fates(kedge).get("shed") else None, what="requests are shed"
        )
        assert kedge.stop() == 0

    assert meanwhile is not None
    assert meanwhile["shed"] > EVENTS / 2
