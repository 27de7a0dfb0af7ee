"""Routes by which a person steers the rollback: ask for one, hold, resume, bless, quarantine.

All need the token. What is answered with success is written down, and outlives a restart.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, Protocol, TypeVar

import msgspec
from aiohttp import web

from monitor.deciding.deciding import NotSteerableError
from monitor.settings.quantities import parse_duration
from monitor.store.queries import rfc3339
from monitor.web.request_body import Bodies
from rollback.observation import HoldCleared, HoldSet, VersionBlessed, VersionQuarantined, Word

#: A hold and a quarantine run out; what is to last longer is to be said again, or configured.
HOLD_S_MAX: Final = 90 * 86_400.0
HOLD_DEFAULT: Final = "4h"
QUARANTINE_DEFAULT: Final = "7d"
REASON_CHARACTERS_MAX: Final = 1_000
NAME_CHARACTERS_MAX: Final = 200

T = TypeVar("T", bound=msgspec.Struct)


class Operator(Protocol):
    """What a person may ask of the decision."""

    async def request_rollback(
        self, to_version: str | None, reason: str, *, dry_run: bool, by: str
    ) -> str:
        """Ask for a rollback by hand; return its id."""

    async def say(self, word: Word) -> None:
        """Take what a person says into account; returns when it is written down."""


class RollbackRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``POST /api/v1/rollbacks``."""

    model: str
    reason: str
    to_version: str | None = None
    dry_run: bool = False
    by: str = ""


class HoldRequest(msgspec.Struct, forbid_unknown_fields=True, rename={"duration": "for"}):
    """Body of ``POST /api/v1/holds``: ``for`` a duration, or ``until`` a time."""

    model: str
    reason: str
    duration: str | float | None = None
    until: str | float | None = None
    by: str = ""


class BlessRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``POST /api/v1/blessings``."""

    model: str
    version: str
    reason: str = ""
    by: str = ""


class QuarantineRequest(msgspec.Struct, forbid_unknown_fields=True, rename={"duration": "for"}):
    """Body of ``POST /api/v1/quarantines``."""

    model: str
    version: str
    reason: str
    duration: str | float | None = None
    until: str | float | None = None
    by: str = ""


class Operating:
    """The routes.

    Parameters
    ----------
    model
        The one model that this Kedge watches; another one is 404.
    authorize
        Raises the HTTP error of a request that may not change anything.
    now
        Seconds since the epoch.
    """

    def __init__(
        self,
        model: str,
        operator: Operator,
        *,
        bodies: Bodies,
        authorize: Callable[[web.Request], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._model = model
        self._operator = operator
        self._bodies = bodies
        self._authorize = authorize
        self._now = now

    def routes(self) -> Sequence[web.RouteDef]:
        """Return what the application serves."""
        return [
            web.post("/api/v1/rollbacks", self._rollback),
            web.post("/api/v1/holds", self._hold),
            web.delete("/api/v1/holds/{model}", self._resume),
            web.post("/api/v1/blessings", self._bless),
            web.post("/api/v1/quarantines", self._quarantine),
        ]

    async def _rollback(self, request: web.Request) -> web.Response:
        wanted = await self._body(request, RollbackRequest, "a rollback request")
        self._check(wanted.model, wanted.reason)
        try:
            identity = await self._operator.request_rollback(
                wanted.to_version,
                wanted.reason,
                dry_run=wanted.dry_run,
                by=_who(request, wanted.by),
            )
        except NotSteerableError as error:
            raise web.HTTPConflict(text=str(error)) from error
        return _json({"id": identity}, HTTPStatus.ACCEPTED)

    async def _hold(self, request: web.Request) -> web.Response:
        wanted = await self._body(request, HoldRequest, "a hold")
        self._check(wanted.model, wanted.reason)
        until = self._until(wanted.duration, wanted.until, HOLD_DEFAULT)
        by = _who(request, wanted.by)
        await self._say(HoldSet(until, wanted.reason, by))
        held = {"model": self._model, "until": rfc3339(until), "reason": wanted.reason, "by": by}
        return _json(held, HTTPStatus.CREATED)

    async def _resume(self, request: web.Request) -> web.Response:
        self._authorize(request)
        given = request.query
        if unknown := sorted(set(given) - {"by", "reason"}):
            raise web.HTTPBadRequest(
                text=f"unknown parameter {unknown[0][:64]!r}; known: by, reason"
            )
        reason = given.get("reason", "")
        self._check(request.match_info["model"], reason or "-")
        await self._say(HoldCleared(reason, _who(request, given.get("by", ""))))
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _bless(self, request: web.Request) -> web.Response:
        wanted = await self._body(request, BlessRequest, "a blessing")
        self._check(wanted.model, wanted.reason or "-", wanted.version)
        by = _who(request, wanted.by)
        await self._say(VersionBlessed(wanted.version, wanted.reason, by))
        said = {"model": self._model, "version": wanted.version, "reason": wanted.reason, "by": by}
        return _json(said, HTTPStatus.CREATED)

    async def _quarantine(self, request: web.Request) -> web.Response:
        wanted = await self._body(request, QuarantineRequest, "a quarantine")
        self._check(wanted.model, wanted.reason, wanted.version)
        until = self._until(wanted.duration, wanted.until, QUARANTINE_DEFAULT)
        by = _who(request, wanted.by)
        await self._say(VersionQuarantined(wanted.version, until, wanted.reason, by))
        said = {"model": self._model, "version": wanted.version, "until": rfc3339(until)}
        return _json({**said, "reason": wanted.reason, "by": by}, HTTPStatus.CREATED)

    async def _say(self, word: Word) -> None:
        try:
            await self._operator.say(word)
        except NotSteerableError as error:
            raise web.HTTPConflict(text=str(error)) from error

    async def _body(self, request: web.Request, kind: type[T], noun: str) -> T:
        self._authorize(request)
        async with self._bodies.read(request) as body:
            try:
                return msgspec.json.decode(body, type=kind)
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
                raise web.HTTPBadRequest(text=f"the body is not {noun}: {error}") from error

    def _check(self, model: str, reason: str, version: str = "-") -> None:
        if model != self._model:
            raise web.HTTPNotFound(text=f"this Kedge watches {self._model!r}, no other model")
        if not reason.strip() or len(reason) > REASON_CHARACTERS_MAX:
            raise web.HTTPBadRequest(
                text=f"reason: expected a text of 1 to {REASON_CHARACTERS_MAX} characters"
            )
        if not version.strip() or len(version) > NAME_CHARACTERS_MAX:
            raise web.HTTPBadRequest(
                text=f"version: expected a text of 1 to {NAME_CHARACTERS_MAX} characters"
            )

    def _until(
        self, duration: str | float | None, until: str | float | None, default: str
    ) -> float:
        if duration is not None and until is not None:
            raise web.HTTPBadRequest(text="give for or until, not both")
        now = self._now()
        ends = _moment(until) if until is not None else now + _seconds(duration or default)
        # Not a comparison that NaN passes.
        if not now < ends <= now + HOLD_S_MAX:
            raise web.HTTPBadRequest(
                text=f"it would end {ends - now:.0f} s from now; expected more than 0 s and at "
                f"most {HOLD_S_MAX:.0f} s"
            )
        return ends


def _seconds(duration: str | float) -> float:
    if isinstance(duration, int | float):
        return float(duration)
    try:
        return parse_duration(duration)
    except ValueError as error:
        raise web.HTTPBadRequest(
            text=f'for: expected a duration such as "4h", got {duration[:64]!r}'
        ) from error


def _moment(until: str | float) -> float:
    if isinstance(until, int | float):
        return float(until)
    try:
        moment = datetime.fromisoformat(until)
    except ValueError:
        moment = None
    if moment is None or not math.isfinite(moment.timestamp()):
        raise web.HTTPBadRequest(
            text=f"until: expected seconds since the epoch or RFC 3339, got {until[:64]!r}"
        )
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _who(request: web.Request, claimed: str) -> str:
    """Return who asks: the name is a claim, for the token is the same for all."""
    address = request.remote or "an unknown address"
    name = claimed.strip()[:NAME_CHARACTERS_MAX]
    return f"{name} from {address}" if name else address


def _json(body: Any, status: HTTPStatus) -> web.Response:  # noqa: ANN401 - JSON
    return web.Response(
        body=msgspec.json.encode(body), status=status, content_type="application/json"
    )
