"""A service that a webhook calls, and that answers as it is told."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from collectors.secret import Secret
from rollback.actuators.webhook import Webhook, WebhookSettings


@dataclass
class Receiver:
    """Answers with the statuses it is told, and keeps what it got."""

    uri: str = ""
    statuses: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 0:
            await asyncio.sleep(60)
        headers = {"Location": "/elsewhere"} if status == 302 else {}
        return web.Response(status=status, text="told", headers=headers)

    def body(self, n: int = 0) -> dict[str, Any]:
        return dict(json.loads(self.got[n][1]))


def webhook(receiver: Receiver, *, rehearse: bool = False, secret: Secret | None = None) -> Webhook:
    secret = secret or Secret("hunter2")
    settings = WebhookSettings(receiver.uri, secret, timeout_s=2.0, rehearse=rehearse)
    return settings.build(model="flight-delay")
