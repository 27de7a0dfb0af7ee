"""People are told over real channels, with limits, and the decision does not wait for it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from dataclasses import replace as changed
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from monitor.metrics.catalogue import Metrics
from monitor.notifications.notices import Notice, notice_of, notice_of_word
from monitor.notifications.queues import ATTEMPTS_MAX, WAITING_MAX, Notifier
from monitor.settings.notify import (
    EmailNotice,
    NoticeSettings,
    SlackNotice,
    WebhookNotice,
)
from monitor.settings.secret import Secret
from rollback.observation import HoldCleared, HoldSet
from rollback.record import RollbackRecord, Transition
from tests.monitor.mail_receiver import mail_receiver
from tests.rollback.scenes import ACTING, START, World

CANARY = "s3cret-canary"


@dataclass
class Receiver:
    """A service that keeps what it gets, and answers with the statuses it is told."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.Response:
        await self.open.wait()
        self.got.append((dict(request.headers), await request.read()))
        status = self.statuses.pop(0) if self.statuses else 200
        headers = {"Retry-After": "0"} if status == 429 else {}
        return web.Response(status=status, text=CANARY, headers=headers)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.got]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    receiver.open.set()
    app = web.Application()
    app.router.add_post("/{path:.*}", receiver.handle)
    async with TestServer(app) as server:
        receiver.url = str(server.make_url(f"/services/{CANARY}"))
        yield receiver


def notice(n: int = 0, event: str = "resolved") -> Notice:
    rollback = {"id": f"id-{n}", "from": "2", "to": "1"}
    return Notice(event, "flight<b>", START, "rollback done", f"because {n}", rollback)  # type: ignore[arg-type]  # one of the events


def outcomes(metrics: Metrics, channel: str) -> dict[str, float]:
    return {
        sample.labels["outcome"]: sample.value
        for metric in metrics.registry.collect()
        for sample in metric.samples
        if sample.name == "kedge_notifications_total" and sample.labels["channel"] == channel
    }


@contextlib.asynccontextmanager
async def notifying(*channels: NoticeSettings) -> AsyncIterator[tuple[Notifier, Metrics]]:
    metrics = Metrics(columns_max=9, versions_max=9)
    notifier = Notifier(channels, metrics, pause_s=0.01)
    running = asyncio.create_task(notifier.run())
    await asyncio.sleep(0)
    try:
        yield notifier, metrics
    finally:
        running.cancel()
        await asyncio.wait([running])


async def until(probe: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not probe():  # noqa: ASYNC110 - what is waited for is a counter
            await asyncio.sleep(0.01)


async def test_a_webhook_gets_it_as_json_signed(receiver: Receiver) -> None:
    channel = WebhookNotice(Secret(receiver.url), secret=Secret("hunter2"))

    async with notifying(channel) as (notifier, metrics):
        notifier.tell(notice())
        await until(lambda: outcomes(metrics, "webhook").get("sent"))

    headers, body = receiver.got[0]
    stamp = headers["X-Kedge-Timestamp"]
    signed = hmac.new(b"hunter2", f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    assert headers["X-Kedge-Signature"] == f"sha256={signed}"
    assert receiver.bodies[0]["event"] == "resolved"
    assert receiver.bodies[0]["rollback"]["to"] == "1"
    assert receiver.bodies[0]["at"] == "2027-01-15T08:00:00.000Z"


async def test_slack_gets_a_text_in_which_data_is_no_markup(receiver: Receiver) -> None:
    async with notifying(SlackNotice(Secret(receiver.url))) as (notifier, metrics):
        notifier.tell(notice())
        await until(lambda: outcomes(metrics, "slack").get("sent"))

    assert receiver.bodies[0]["text"] == ("*flight&lt;b&gt;: rollback done*\nbecause 0\nid-0")


async def test_a_mail_reaches_every_address() -> None:
    async with mail_receiver() as server:
        channel = EmailNotice(
            "127.0.0.1",
            "kedge@example.com",
            ("a@example.com", "b@example.com"),
            server.port,
            "none",
        )
        async with notifying(channel) as (notifier, metrics):
            notifier.tell(changed(notice(), title="done\r\nBcc: evil@example.com"))
            await until(lambda: outcomes(metrics, "email").get("sent"))

    (mail,) = server.mails
    assert server.to == ["a@example.com", "b@example.com"]
    assert mail["Subject"] == "[kedge] flight<b>: done Bcc: evil@example.com"
    assert mail["Bcc"] is None
    assert "because 0" in mail.get_content()


async def test_a_mail_server_that_says_later_is_asked_again_and_one_that_says_no_is_not() -> None:
    async with mail_receiver() as server:
        server.answers = ["451", "250", "550"]
        channel = EmailNotice("127.0.0.1", "k@example.com", ("a@example.com",), server.port, "none")
        async with notifying(channel) as (notifier, metrics):
            notifier.tell(notice(1))
            notifier.tell(notice(2))
            await until(lambda: outcomes(metrics, "email").get("failed"))
            counted = outcomes(metrics, "email")

    assert counted == {"retried": 1, "sent": 1, "failed": 1}
    assert len(server.mails) == 1


async def test_bad_weather_is_outlived_and_a_refusal_is_not_repeated(receiver: Receiver) -> None:
    receiver.statuses = [503, 429, 200, 404]

    async with notifying(WebhookNotice(Secret(receiver.url))) as (notifier, metrics):
        notifier.tell(notice(1))
        notifier.tell(notice(2))
        await until(lambda: outcomes(metrics, "webhook").get("failed"))
        counted = outcomes(metrics, "webhook")

    assert counted == {"retried": 2, "sent": 1, "failed": 1}
    assert [body["why"] for body in receiver.bodies] == ["because 1"] * 3 + ["because 2"]


async def test_tries_have_a_limit_and_nothing_secret_is_in_the_log(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.statuses = [500] * ATTEMPTS_MAX
    nowhere = Secret(f"http://127.0.0.1:1/{CANARY}")
    channels = (
        WebhookNotice(Secret(receiver.url), secret=Secret(CANARY)),
        SlackNotice(nowhere),
        WebhookNotice(Secret(f"no address {CANARY}")),
        EmailNotice("127.0.0.1", "k@x", ("a@x",), 1, "starttls", "user", Secret(CANARY)),
    )

    with caplog.at_level(logging.DEBUG):
        async with notifying(*channels) as (notifier, metrics):
            notifier.tell(notice())
            names = ("webhook", "slack", "webhook-2", "email")
            await until(lambda: all(outcomes(metrics, name).get("failed") for name in names))

    assert len(receiver.got) == ATTEMPTS_MAX
    # The receiver, which runs here too, writes a log of its own.
    ours = [one.getMessage() for one in caplog.records if one.name != "aiohttp.access"]
    assert "slack was not told of resolved: no answer: ClientConnectorError" in ours
    assert CANARY not in "\n".join(ours)


async def test_a_channel_that_hangs_holds_up_nobody_and_its_queue_is_bounded(
    receiver: Receiver,
) -> None:
    receiver.open.clear()
    slow = WebhookNotice(Secret(receiver.url))
    async with mail_receiver() as server:
        mail = EmailNotice("127.0.0.1", "k@example.com", ("a@example.com",), server.port, "none")
        async with notifying(slow, mail) as (notifier, metrics):
            notifier.tell(notice(-1))
            await until(lambda: outcomes(metrics, "email").get("sent"))
            began = time.monotonic()
            for n in range(WAITING_MAX + 5):
                notifier.tell(notice(n))
            took_s = time.monotonic() - began
            dropped = outcomes(metrics, "webhook")["dropped"]
            receiver.open.set()
            await until(lambda: outcomes(metrics, "webhook").get("sent") == WAITING_MAX + 1)

    assert took_s < 1
    assert dropped == 5
    told = [body["why"] for body in receiver.bodies]
    assert told == ["because -1", *(f"because {n}" for n in range(5, WAITING_MAX + 5))]


async def test_what_waits_when_the_daemon_ends_is_sent_first(receiver: Receiver) -> None:
    async with notifying(WebhookNotice(Secret(receiver.url))) as (notifier, _):
        for n in range(3):
            notifier.tell(notice(n))

    assert len(receiver.got) == 3


async def test_a_channel_is_told_only_what_it_asks_for(receiver: Receiver) -> None:
    channel = WebhookNotice(Secret(receiver.url), events=("escalated",))

    async with notifying(channel) as (notifier, metrics):
        notifier.tell(notice(1))
        notifier.tell(notice(2, "escalated"))
        await until(lambda: outcomes(metrics, "webhook").get("sent"))

    assert [body["event"] for body in receiver.bodies] == ["escalated"]


def events(world: World) -> list[str]:
    """What would be told of all that the decision has said."""
    records = {}
    told: list[str] = []
    for command in world.commands:
        record: RollbackRecord | None = getattr(command, "record", None)
        transition: Transition | None = getattr(command, "transition", None)
        if record is not None:
            records[record.id] = record
        if transition is not None and (found := notice_of(transition, record)) is not None:
            told.append(found.event)
    return told


def test_a_rollback_that_goes_well_is_told_three_times() -> None:
    world = World()
    world.closes("2", "breach")
    world.now += 61
    world.closes("1", "ok")

    assert events(world) == ["confirmed", "intended", "resolved"]


def test_a_rehearsal_a_refusal_and_blindness_are_told_once() -> None:
    rehearsing = World(policy=changed(ACTING, mode="dry-run"))
    refused = World(alias="3")
    blind = World()
    for _ in range(3):
        rehearsing.closes("2", "breach")
        refused.closes("2", "breach")
    blind.closes("2", "unknown")
    blind.later(ACTING.blind_after_s + 1)
    blind.later(1)

    assert events(rehearsing) == ["confirmed", "rehearsed"]
    assert events(refused) == ["confirmed", "refused"]
    assert events(blind) == ["blind"]


def test_the_end_of_a_hold_is_told_whether_a_person_ended_it_or_time() -> None:
    ended, ran_out = World(), World()
    for world in (ended, ran_out):
        world.tell(HoldSet(START + 60, "release day"))
    ended.tell(HoldCleared())
    ran_out.later(61)
    word = notice_of_word("m", HoldSet(START + 60, "release day", "ann"), START)

    assert (events(ended), events(ran_out)) == (["resume"], ["resume"])
    assert word is not None
    assert (word.event, word.why) == ("hold", "release day (ann)")
    assert notice_of_word("m", HoldCleared(), START) is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"to": ()}, "to: expected one address"),
        ({"username": "u"}, "username: give username and password"),
        ({"username": "u", "password": Secret("p"), "security": "none"}, "security: a password"),
    ],
)
def test_half_a_mail_server_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        EmailNotice(**({"host": "h", "sender": "s", "to": ("a",)} | given))
