"""The signed call: what is sent, and what each answer means."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import pytest

from collectors.secret import Secret
from rollback.actuator import CheckUnavailableError, Done, Failed
from rollback.actuators.webhook import WebhookSettings
from tests.rollback.webhook_receiver import Receiver, webhook


async def test_the_call_says_what_is_to_be_done_and_is_signed(receiver: Receiver) -> None:
    result = await webhook(receiver).act("2", "1", intent="id-1")

    assert isinstance(result, Done)
    headers, body = receiver.got[0]
    assert receiver.body() == {
        "id": "id-1",
        "model": "flight-delay",
        "from_version": "2",
        "to_version": "1",
        "dry_run": False,
    }
    text = headers["X-Kedge-Timestamp"].encode() + b"." + body
    digest = hmac.new(b"hunter2", text, hashlib.sha256).hexdigest()
    assert headers["X-Kedge-Signature"] == f"sha256={digest}"


async def test_every_attempt_of_a_rollback_has_the_same_key(receiver: Receiver) -> None:
    receiver.statuses = [503, 200]

    await webhook(receiver).act("2", "1", intent="id-1")
    await webhook(receiver).act("2", "1", intent="id-1")
    await webhook(receiver).act("2", "1", intent="id-2")

    keys = [headers["Idempotency-Key"] for headers, _ in receiver.got]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    ("status", "kind", "changed"),
    [
        (202, "waiting", True),
        (302, "permanent", False),
        (400, "permanent", False),
        (401, "permanent", False),
        (409, "contested", False),
        (429, "transient", False),
        (500, "transient", True),
        (0, "transient", True),
    ],
)
async def test_what_an_answer_means(
    receiver: Receiver, status: int, kind: str, *, changed: bool
) -> None:
    receiver.statuses = [status]

    result = await webhook(receiver).act("2", "1", intent="id-1")

    assert isinstance(result, Failed)
    assert (result.kind, result.changed) == (kind, changed)
    assert "hunter2" not in result.message
    assert "rivers" not in result.message


async def test_nobody_there_is_bad_weather_and_nothing_was_done() -> None:
    settings = WebhookSettings("http://127.0.0.1:1/x", Secret("s"))

    result = await settings.build(model="m").act("2", "1", intent="id-1")

    assert isinstance(result, Failed)
    assert (result.kind, result.changed) == ("transient", False)


async def test_a_rehearsal_calls_only_where_it_was_agreed(receiver: Receiver) -> None:
    assert await webhook(receiver).check("2", "1") == ()
    assert receiver.got == []

    assert await webhook(receiver, rehearse=True).check("2", "1") == ()
    assert receiver.body()["dry_run"] is True


async def test_a_rehearsal_tells_a_refusal_from_bad_weather(receiver: Receiver) -> None:
    receiver.statuses = [403, 503]

    assert "403" in (await webhook(receiver, rehearse=True).check("2", "1"))[0]
    with pytest.raises(CheckUnavailableError):
        await webhook(receiver, rehearse=True).check("2", "1")


async def test_a_secret_that_cannot_be_read_is_told_before(
    receiver: Receiver, tmp_path: Path
) -> None:
    secret = Secret(file=tmp_path / "none")

    problems = await webhook(receiver, secret=secret).check("2", "1")
    result = await webhook(receiver, secret=secret).act("2", "1", intent="id-1")

    assert "cannot read the secret" in problems[0]
    assert isinstance(result, Failed)
    assert receiver.got == []
