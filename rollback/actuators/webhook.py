"""The step ``webhook``: asks somebody else's service to move, in a signed call.

The call has an idempotency key that is the same for every attempt of one rollback, so the
receiver can do it once however often it is asked.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar, Final
from urllib.parse import urlsplit

import aiohttp

from collectors.secret import Secret, SecretUnreadableError
from rollback.actuator import CheckUnavailableError, Done, Failed, Result

#: Bytes of an answer that go into the record.
DETAIL_MAX: Final = 400
_AGAIN: Final = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """A step of type ``webhook``."""

    type: ClassVar[str] = "webhook"

    url: str
    """What is called, with POST; redirects are not followed."""

    secret: Secret
    """Signs the call: the receiver knows that it is ours, and that it is fresh."""

    timeout_s: float = 10.0
    """For one call."""

    rehearse: bool = False
    """Whether the service is also called, with ``"dry_run": true``, to rehearse."""

    def build(self, *, model: str, **_others: object) -> Webhook:
        """Return the actuator; `model` is the registered model."""
        return Webhook(self, model)


class Webhook:
    """Calls one address."""

    def __init__(
        self, settings: WebhookSettings, model: str, now: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._model = model
        self._now = now

    @property
    def name(self) -> str:
        """Names the address without query and user, as in ``webhook https://host/path``."""
        parts = urlsplit(self._settings.url)
        return f"{WebhookSettings.type} {parts.scheme}://{parts.hostname}{parts.path}"

    async def check(self, from_version: str, to_version: str) -> tuple[str, ...]:
        """Read the secret; call with ``dry_run`` if the settings say so."""
        try:
            self._settings.secret.reveal()
        except SecretUnreadableError as error:
            return (str(error),)
        if not self._settings.rehearse:
            return ()
        result = await self._call(from_version, to_version, "", dry_run=True)
        if isinstance(result, Done):
            return ()
        if result.kind == "transient":
            raise CheckUnavailableError(result.message)
        return (result.message,)

    async def act(self, from_version: str, to_version: str, *, intent: str = "") -> Result:
        """Call, and tell from the status what became of it.

        2xx is done, 202 is under way (asked again, with the same key), 409 is contested, 408,
        425, 429 and 5xx may succeed later, and everything else is refused.
        """
        return await self._call(from_version, to_version, intent, dry_run=False)

    async def undone(self, from_version: str, to_version: str) -> None:
        """Nothing is known of what the service has done since."""

    async def _call(
        self, from_version: str, to_version: str, intent: str, *, dry_run: bool
    ) -> Result:
        body = json.dumps(
            {
                "id": intent,
                "model": self._model,
                "from_version": from_version,
                "to_version": to_version,
                "dry_run": dry_run,
            }
        ).encode()
        try:
            headers = signed(body, self._settings.secret.reveal(), self._now())
        except SecretUnreadableError as error:
            return Failed("permanent", str(error), changed=False)
        headers |= {"Idempotency-Key": f"{intent}/{self.name}", "Content-Type": "application/json"}
        timeout = aiohttp.ClientTimeout(total=self._settings.timeout_s)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(
                    self._settings.url, data=body, headers=headers, allow_redirects=False
                ) as response,
            ):
                said = (await response.content.read(DETAIL_MAX)).decode(errors="replace").strip()
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
            return Failed("transient", f"POST {self.name}: {error}", changed=False)
        except (aiohttp.ClientError, TimeoutError) as error:
            told = str(error) or type(error).__name__
            return Failed("transient", f"POST {self.name}: {told}", changed=not dry_run)
        return _judged(response.status, f"{self.name} answered {response.status}: {said}")


def signed(body: bytes, secret: str, now: float) -> dict[str, str]:
    """Return the headers that prove who sent a body, and when.

    The signature is the hex HMAC-SHA256 of ``TIMESTAMP.BODY``; a receiver refuses old ones.
    """
    stamp = str(int(now))
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Kedge-Timestamp": stamp, "X-Kedge-Signature": f"sha256={digest}"}


def _judged(status: int, words: str) -> Result:
    if status == HTTPStatus.ACCEPTED:
        return Failed("waiting", words, changed=True)
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return Done(words)
    if status == HTTPStatus.CONFLICT:
        return Failed("contested", words, changed=False)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Failed("transient", words, changed=True)
    return Failed("transient" if status in _AGAIN else "permanent", words, changed=False)
