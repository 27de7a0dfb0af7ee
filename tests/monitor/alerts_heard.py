"""Alerts whose decision is the test."""

from __future__ import annotations

from dataclasses import dataclass, field

from monitor.deciding.alerts import Alerts
from monitor.metrics.catalogue import Metrics
from monitor.settings.alerts import AlertSettings
from rollback.observation import Alerted


@dataclass
class Heard:
    """What was told, in order."""

    alerts: list[Alerted] = field(default_factory=list)

    async def tell(self, alert: Alerted) -> None:
        self.alerts.append(alert)


def alerts_to(
    heard: Heard, settings: AlertSettings | None = None, metrics: Metrics | None = None
) -> Alerts:
    """Return alerts of the model ``m``."""
    metrics = metrics or Metrics(columns_max=10, versions_max=10)
    return Alerts("m", settings or AlertSettings(), metrics, heard.tell)
