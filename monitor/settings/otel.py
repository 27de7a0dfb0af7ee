"""``[otel]``: metrics and traces for an OpenTelemetry collector."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.settings.tables import PositiveDuration


class NoTelemetryError(RuntimeError):
    """OpenTelemetry's SDK is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "[otel] endpoint is set, and needs OpenTelemetry's SDK: pip install 'kedge[otel]'"
        )


@dataclass(frozen=True, slots=True)
class OtelSettings:
    """``[otel]``: metrics and traces for an OpenTelemetry collector."""

    endpoint: str = ""
    """Base address of OTLP over HTTP, such as ``http://127.0.0.1:4318``; ``/v1/metrics`` and
    ``/v1/traces`` are added. Empty: nothing is sent. Needs ``kedge[otel]``. Headers, such as a
    key, are taken from the environment: ``OTEL_EXPORTER_OTLP_HEADERS``."""

    interval_s: PositiveDuration = 60.0
    """How often metrics are sent."""

    def __post_init__(self) -> None:
        """Refuse an address that is not one."""
        if self.endpoint and not self.endpoint.startswith(("http://", "https://")):
            raise ValueError("endpoint: expected an address that begins with http:// or https://")
