"""Alerts of Alertmanager and Grafana: read, told apart, and handed to the decision in order."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from monitor.metrics.catalogue import Metrics
from monitor.settings.alerts import AlertSettings
from monitor.store.errors import StoreUnavailable
from rollback.observation import Alerted

log = logging.getLogger("kedge.alerts")

#: Alerts of one call that are looked at.
ALERTS_MAX: Final = 1_000
#: Alerts that may wait for the decision; beyond it a sender is told to come again.
WAITING_MAX: Final = 1_000
#: The same alert (what it is and since when) within so long is a repetition. Both of a pair of
#: Alertmanagers send it; what comes later is heard again, and the decision makes nothing of it.
SAME_WITHIN_S: Final = 300.0
REMEMBERED_MAX: Final = 10_000
#: Names that Grafana gives to a rule without data: they say that nothing is known.
NO_DATA: Final = ("DatasourceNoData", "DatasourceError")
#: Characters of a text that is kept.
TEXT_MAX: Final = 300
LABELS_MAX: Final = 50
#: Pause before the decision is told again, after a store that took nothing.
RETRY_S: Final = 1.0

Outcome: TypeAlias = Literal["hint", "evidence", "over", "repeated", "other_model", "no_data"]

Label: TypeAlias = Annotated[str, msgspec.Meta(max_length=4_096)]


class PostedAlert(msgspec.Struct):
    """One alert as both senders write it; other keys are passed over."""

    labels: dict[str, Label]
    status: str = "firing"
    annotations: dict[str, str] = {}
    startsAt: str = ""  # noqa: N815 - the wire's
    fingerprint: str = ""


class PostedAlerts(msgspec.Struct):
    """Body of ``POST /api/v1/alerts``: Alertmanager's version 4, or Grafana's version 1."""

    alerts: list[PostedAlert]


class UnreadableAlertsError(ValueError):
    """The body holds no alerts; the message says what is wrong."""


class AlertQueueFullError(RuntimeError):
    """Too many alerts wait."""


def read_alerts(body: bytes) -> list[PostedAlert]:
    """Read the alerts of a body.

    Raises
    ------
    UnreadableAlertsError
        There are none in it, or too many.
    """
    try:
        alerts = msgspec.json.decode(body, type=PostedAlerts).alerts
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise UnreadableAlertsError(
            f"the body is not that of an Alertmanager or Grafana webhook: {error}"
        ) from error
    if len(alerts) > ALERTS_MAX:
        raise UnreadableAlertsError(f"{len(alerts)} alerts in one call; at most {ALERTS_MAX}")
    return alerts


class Alerts:
    """Sorts alerts, and hands those that say something to the decision, one after the other.

    Parameters
    ----------
    tell
        Tells the decision.
    now
        Seconds since the epoch.
    monotonic
        Seconds, for how long ago something was.
    """

    def __init__(
        self,
        model: str,
        settings: AlertSettings,
        metrics: Metrics,
        tell: Callable[[Alerted], Awaitable[None]],
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._settings = settings
        self._metrics = metrics
        self._tell = tell
        self._now = now
        self._monotonic = monotonic
        self._waiting: asyncio.Queue[Alerted] = asyncio.Queue(WAITING_MAX)
        self._heard: OrderedDict[tuple[str, str], float] = OrderedDict()

    @property
    def settings(self) -> AlertSettings:
        """What is made of them."""
        return self._settings

    def take(self, posted: list[PostedAlert]) -> Mapping[Outcome, int]:
        """Take the alerts of a call; return how many were what. Never waits.

        Raises
        ------
        AlertQueueFullError
            They do not all fit; none of them was taken.
        """
        if self._waiting.qsize() + len(posted) > WAITING_MAX:
            self._metrics.alerts.labels(self._model, "shed").inc(len(posted))
            raise AlertQueueFullError
        counts: dict[Outcome, int] = {}
        for one in posted:
            outcome = self._take(one)
            counts[outcome] = counts.get(outcome, 0) + 1
            self._metrics.alerts.labels(self._model, outcome).inc()
        return counts

    async def run(self) -> None:
        """Tell the decision of what was taken, in order, until cancelled."""
        while True:
            alert = await self._waiting.get()
            log.info("alert %s %s", alert.name, "fires" if alert.firing else "is over")
            await self._told(alert)
            self._waiting.task_done()

    async def heard(self) -> None:
        """Wait until the decision has heard of all that was taken."""
        await self._waiting.join()

    async def _told(self, alert: Alerted) -> None:
        while True:
            try:
                await self._tell(alert)
            except StoreUnavailable as error:
                log.error("an alert waits, for the store takes no commits: %s", error)
                await asyncio.sleep(RETRY_S)
            else:
                return

    def _take(self, posted: PostedAlert) -> Outcome:
        settings, labels = self._settings, posted.labels
        model = labels.get(settings.model_label)
        if model is not None and model != self._model:
            return "other_model"
        name = labels.get("alertname", "")
        if name in NO_DATA:
            return "no_data"
        key = posted.fingerprint or _fingerprint(labels)
        if self._repeated(f"{key} {posted.startsAt}", posted.status):
            return "repeated"
        firing = posted.status != "resolved"
        confirms = name in settings.confirm and model == self._model
        version = labels.get(settings.version_label)
        self._waiting.put_nowait(
            Alerted(
                name=(name or "without a name")[:TEXT_MAX],
                key=key[:TEXT_MAX],
                firing=firing,
                starts_at=self._moment(posted.startsAt),
                version=version[:TEXT_MAX] if version else None,
                summary=posted.annotations.get("summary", "")[:TEXT_MAX],
                confirms=confirms,
                labels={k: v[:TEXT_MAX] for k, v in list(labels.items())[:LABELS_MAX]},
            )
        )
        if not firing:
            return "over"
        return "evidence" if confirms and version else "hint"

    def _repeated(self, key: str, status: str) -> bool:
        now = self._monotonic()
        while self._heard:
            oldest, at = next(iter(self._heard.items()))
            if now - at < SAME_WITHIN_S and len(self._heard) < REMEMBERED_MAX:
                break
            del self._heard[oldest]
        if (key, status) in self._heard:
            return True
        self._heard[key, status] = now
        return False

    def _moment(self, text: str) -> float:
        """Return when it began, at most now: a sender's clock may be ahead.

        One that does not say has begun at the epoch, and is too old to be evidence.
        """
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return 0.0
        return min(
            (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp(), self._now()
        )


def _fingerprint(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels))
