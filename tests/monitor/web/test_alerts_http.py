"""Alerts over HTTP: let in by token or signature, told apart, answered before they are decided."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from monitor.deciding.alerts import WAITING_MAX, Alerts
from monitor.metrics.catalogue import Metrics
from monitor.settings.alerts import AlertSettings
from monitor.settings.secret import Secret
from monitor.store.queries import Queries
from monitor.store.store import Change, Store
from monitor.web.web import Web
from rollback.observation import Alerted
from tests.monitor.alerts_heard import Heard, alerts_to
from tests.monitor.web.test_web import Daemon

TOKEN, OPERATOR, SECRET = "alerts-canary", "operator-canary", "s3cret"
GRAFANA = "X-Grafana-Alerting-Signature"
AT = "X-Grafana-Alerting-Timestamp"
STARTS = "2026-01-02T03:04:05.678Z"


def alert(name: str = "ErrorRate", status: str = "firing", **labels: str) -> dict[str, Any]:
    """One alert as Alertmanager writes it."""
    return {
        "status": status,
        "labels": {"alertname": name, **labels},
        "annotations": {"summary": "5xx above 5 %"},
        "startsAt": STARTS,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "...",
        "fingerprint": f"fp-{name}-{sorted(labels.items())}",
    }


def body(*alerts: Mapping[str, Any]) -> bytes:
    """The webhook of Alertmanager, with a key that only a later one has."""
    return json.dumps(
        {
            "version": "4",
            "groupKey": '{}:{alertname="ErrorRate"}',
            "truncatedAlerts": 0,
            "status": "firing",
            "receiver": "kedge",
            "notification_reason": "new",
            "alerts": alerts,
        }
    ).encode()


class Site:
    """The routes, and what the decision has heard."""

    def __init__(self, client: TestClient[Any, Any], heard: Heard, alerts: Alerts) -> None:
        self.client = client
        self.heard = heard
        self.alerts = alerts

    async def post(self, data: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
        sent = headers or {"Authorization": f"Bearer {TOKEN}"}
        answer = await self.client.post("/api/v1/alerts", data=data, headers=sent)
        return answer.status, await answer.json()

    async def told(self) -> list[Alerted]:
        """What the decision hears of all that was taken."""
        telling = asyncio.create_task(self.alerts.run())
        await asyncio.wait_for(self.alerts.heard(), 10)
        telling.cancel()
        return self.heard.alerts


SETTINGS = AlertSettings(
    token=Secret(TOKEN), secret=Secret(SECRET), timestamp_header="", confirm=("ErrorRate",)
)


@pytest.fixture
def settings() -> AlertSettings:
    return SETTINGS


@pytest.fixture
def operator() -> str | None:
    return OPERATOR


@pytest.fixture
async def site(
    tmp_path: Path, settings: AlertSettings, operator: str | None
) -> AsyncIterator[Site]:
    url = f"sqlite:///{tmp_path / 'kedge.db'}"
    store = Store.open(url)
    store.commit(Change())
    queries, metrics, heard = Queries(url), Metrics(columns_max=9, versions_max=9), Heard()
    alerts = alerts_to(heard, settings, metrics)
    web = Web(
        model="m",
        view=Daemon(),
        queries=queries,
        metrics=metrics,
        token=lambda: operator,
        max_body_bytes=1 << 20,
        alerts=alerts,
    )
    async with TestClient(TestServer(web.app)) as client:
        yield Site(client, heard, alerts)
    web.close()
    queries.close()
    store.close()


def signature(data: bytes, at: str | None = None) -> str:
    signed = data if at is None else at.encode() + b":" + data
    return hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()


@pytest.mark.parametrize("token", [TOKEN, OPERATOR])
async def test_a_token_lets_alerts_in_and_the_decision_hears_what_they_say(
    site: Site, token: str
) -> None:
    posted = body(alert(model="m", version="7"))

    status, answer = await site.post(posted, Authorization=f"Bearer {token}")

    assert (status, answer) == (202, {"alerts": {"evidence": 1}})
    (heard,) = await site.told()
    assert (heard.name, heard.version, heard.firing) == ("ErrorRate", "7", True)
    assert (heard.summary, heard.confirms) == ("5xx above 5 %", True)
    assert heard.starts_at == pytest.approx(1767323045.678)


async def test_a_signature_of_grafana_lets_alerts_in(site: Site) -> None:
    posted = body(alert(model="m"))

    status, _ = await site.post(posted, **{GRAFANA: signature(posted)})
    forged, problem = await site.post(posted + b" ", **{GRAFANA: signature(posted)})

    assert (status, forged) == (202, 401)
    assert "the signature is not that of the body" in problem["detail"]


@pytest.mark.parametrize(
    "settings", [AlertSettings(secret=Secret(SECRET), timestamp_header=AT)], ids=["signed time"]
)
async def test_a_signed_call_that_is_sent_again_later_is_refused(site: Site) -> None:
    posted, now, then = body(alert()), str(int(time.time())), str(int(time.time()) - 301)

    fresh, _ = await site.post(posted, **{GRAFANA: signature(posted, now), AT: now})
    old, problem = await site.post(posted, **{GRAFANA: signature(posted, then), AT: then})
    moved, _ = await site.post(posted, **{GRAFANA: signature(posted, then), AT: now})
    without, _ = await site.post(posted, **{GRAFANA: signature(posted)})

    assert (fresh, old, moved, without) == (202, 401, 401, 401)
    assert AT in problem["detail"]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {GRAFANA: "0" * 64}])
async def test_nobody_else_is_let_in(site: Site, headers: dict[str, str]) -> None:
    answer = await site.client.post("/api/v1/alerts", data=body(alert()), headers=headers)

    assert answer.status == 401
    assert await site.told() == []


@pytest.mark.parametrize(
    ("operator", "settings", "expected"),
    [(None, AlertSettings(), 403), (None, SETTINGS, 401)],
    ids=["no token at all", "one of [alerts] only"],
)
async def test_without_any_token_configured_nothing_is_taken(site: Site, expected: int) -> None:
    status, _ = await site.post(body(alert()), Authorization="Bearer anything")

    assert status == expected


async def test_the_token_of_alerts_opens_nothing_else(site: Site) -> None:
    answer = await site.client.post(
        "/api/v1/holds",
        json={"model": "m", "reason": "x"},
        headers={"Authorization": f"Bearer {TOKEN}"},
    )

    assert answer.status == 401


async def test_what_comes_twice_is_told_once_and_its_end_is_told(site: Site) -> None:
    first, again = alert(model="m", version="7"), alert(model="m", version="7")
    over = alert(status="resolved", model="m", version="7")

    _, one = await site.post(body(first, again))
    _, two = await site.post(body(first))
    _, three = await site.post(body(over, over))

    assert one == {"alerts": {"evidence": 1, "repeated": 1}}
    assert two == {"alerts": {"repeated": 1}}
    assert three == {"alerts": {"over": 1, "repeated": 1}}
    assert [heard.firing for heard in await site.told()] == [True, False]


async def test_only_what_is_named_and_says_model_and_version_is_evidence(site: Site) -> None:
    posted = {
        "evidence": alert(model="m", version="7"),
        "without a model": alert(version="7"),
        "without a version": alert(model="m"),
        "not named": alert("Slow", model="m", version="7"),
        "another model": alert(model="other", version="7"),
        "no data": alert("DatasourceNoData", model="m", version="7"),
        "an error": alert("DatasourceError", model="m", version="7"),
    }

    _, answer = await site.post(body(*posted.values()))
    heard = await site.told()

    assert answer["alerts"] == {"evidence": 1, "hint": 3, "other_model": 1, "no_data": 2}
    assert [one.confirms and one.version is not None for one in heard] == [
        True,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("starts", "age"), [("", "old"), ("soon", "old"), ("2999-01-01T00:00:00Z", "now")]
)
async def test_a_beginning_that_is_none_is_old_and_one_that_is_to_come_is_now(
    site: Site, starts: str, age: str
) -> None:
    await site.post(body({**alert(model="m", version="7"), "startsAt": starts}))

    (heard,) = await site.told()

    assert heard.starts_at == (0.0 if age == "old" else pytest.approx(time.time(), abs=10))


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[]",
        b'{"alerts": 1}',
        b'{"alerts": [{}]}',
        b'{"alerts": [{"labels": {"a": 1}}]}',
        b'{"alerts": ' + b"[" * 2_000,
        json.dumps({"alerts": [{"labels": {}}] * 1001}).encode(),
    ],
    ids=["not json", "no object", "no array", "no labels", "label 1", "deep", "too many"],
)
async def test_what_is_no_webhook_is_refused_with_a_reason(site: Site, data: bytes) -> None:
    status, problem = await site.post(data)

    assert status == 400
    assert problem["detail"]
    assert await site.told() == []


async def test_a_flood_is_answered_5xx_so_that_it_is_sent_again(site: Site) -> None:
    flood = [alert(model="m", n=str(n)) for n in range(WAITING_MAX)]

    first, _ = await site.post(body(*flood))
    second, problem = await site.post(body(alert("Another", model="m")))
    page = await (await site.client.get("/metrics")).text()
    told = await site.told()
    third, _ = await site.post(body(alert("Another", model="m")))

    assert (first, second, third) == (202, 503, 202)
    assert "send it again" in problem["detail"]
    assert 'kedge_alerts_total{model="m",outcome="shed"} 1.0' in page
    assert len(told) == WAITING_MAX


async def test_grafanas_own_keys_are_passed_over(site: Site) -> None:
    own = {"silenceURL": "...", "values": {"A": 0.12}, "ruleUID": "abc", "orgId": 1}
    posted = json.dumps(
        {"version": "1", "orgId": 1, "state": "alerting", "title": "[FIRING:1]", "message": "…"}
        | {"alerts": [{**alert(model="m", version="7"), **own}]}
    ).encode()

    status, answer = await site.post(posted)

    assert (status, answer) == (202, {"alerts": {"evidence": 1}})
