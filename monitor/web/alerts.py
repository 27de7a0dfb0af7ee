"""The route that takes alerts: ``POST /api/v1/alerts``. It answers before anything is decided."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web

from monitor.deciding.alerts import AlertQueueFullError, Alerts, UnreadableAlertsError, read_alerts
from monitor.settings.alerts import AlertSettings
from monitor.settings.secret import Secret, SecretUnreadableError
from monitor.web.request_body import RETRY_AFTER_S, Bodies

log = logging.getLogger("kedge.alerts")

SIGNATURE_HEADER: Final = "X-Grafana-Alerting-Signature"
#: How far the time that was signed may be from ours.
SIGNED_WITHIN_S: Final = 300.0


class AlertRoute:
    """The route, and who may use it.

    Parameters
    ----------
    authorize
        Raises the HTTP error of a request that has not the token of ``[http]``.
    now
        Seconds since the epoch.
    """

    def __init__(
        self,
        alerts: Alerts,
        settings: AlertSettings,
        *,
        bodies: Bodies,
        authorize: Callable[[web.Request], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._alerts = alerts
        self._settings = settings
        self._bodies = bodies
        self._authorize = authorize
        self._now = now

    def routes(self) -> Sequence[web.RouteDef]:
        """Return what the application serves."""
        return [web.post("/api/v1/alerts", self._take)]

    async def _take(self, request: web.Request) -> web.Response:
        signed = SIGNATURE_HEADER in request.headers and self._settings.secret is not None
        if not signed and not self._has_own_token(request):
            self._authorize_otherwise(request)
        async with self._bodies.read(request) as body:
            if signed:
                self._check_signature(request, body)
            try:
                posted = read_alerts(body)
                counts = self._alerts.take(posted)
            except UnreadableAlertsError as error:
                raise web.HTTPBadRequest(text=str(error)) from error
            except AlertQueueFullError as error:
                # A 5xx: Alertmanager drops what is answered 4xx, and sends this again.
                raise web.HTTPServiceUnavailable(
                    text="too many alerts wait; send it again",
                    headers={"Retry-After": str(RETRY_AFTER_S)},
                ) from error
        return web.Response(
            body=msgspec.json.encode({"alerts": counts}),
            status=HTTPStatus.ACCEPTED,
            content_type="application/json",
        )

    def _has_own_token(self, request: web.Request) -> bool:
        if self._settings.token is None:
            return False
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        expected = _revealed(self._settings.token)
        return scheme.lower() == "bearer" and hmac.compare_digest(
            given.strip().encode(), expected.encode()
        )

    def _authorize_otherwise(self, request: web.Request) -> None:
        try:
            self._authorize(request)
        except web.HTTPForbidden as error:
            # No token of [http] is configured; that is not the end of it where [alerts] has one.
            if self._settings.open:
                raise web.HTTPUnauthorized(
                    text="this needs the token of [alerts], or its signature",
                    headers={"WWW-Authenticate": "Bearer"},
                ) from error
            raise

    def _check_signature(self, request: web.Request, body: bytes) -> None:
        secret, header = self._settings.secret, self._settings.timestamp_header
        assert secret is not None  # noqa: S101 - the caller looked
        signed = body
        if header:
            at = request.headers.get(header, "")
            if not at.isascii() or not at.isdigit() or abs(self._now() - int(at)) > SIGNED_WITHIN_S:
                raise _unsigned(f"{header} is not a time within {SIGNED_WITHIN_S:.0f} s of ours")
            signed = at.encode() + b":" + body
        expected = hmac.new(_revealed(secret).encode(), signed, hashlib.sha256).hexdigest()
        given = request.headers[SIGNATURE_HEADER].strip().lower()
        if not hmac.compare_digest(given.encode(), expected.encode()):
            raise _unsigned("the signature is not that of the body")


def _unsigned(why: str) -> web.HTTPUnauthorized:
    return web.HTTPUnauthorized(
        text=f"{SIGNATURE_HEADER}: {why}", headers={"WWW-Authenticate": "Bearer"}
    )


def _revealed(secret: Secret) -> str:
    try:
        return secret.reveal()
    except SecretUnreadableError as error:
        log.error("an alert was refused: %s", error)
        raise web.HTTPServiceUnavailable(
            text="the secret that this needs cannot be read just now; the log says why"
        ) from error
