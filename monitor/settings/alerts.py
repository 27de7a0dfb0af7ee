"""The table ``[alerts]`` of ``kedge.toml``."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.settings.secret import Secret
from monitor.settings.tables import Text


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """``[alerts]``: what is made of the alerts that others post to ``/api/v1/alerts``."""

    token: Secret | None = None
    """Bearer token that may post alerts, and nothing else. That of ``[http]`` may, too."""

    secret: Secret | None = None
    """Key of Grafana's HMAC-SHA256 signature, in place of a token."""

    timestamp_header: str = ""
    """Header with the time (seconds since the epoch) that Grafana signs along with the body; with
    it, a call that is older than five minutes is refused. Set the same in the contact point."""

    confirm: tuple[Text, ...] = ()
    """Names of alerts (`alertname`) that count as evidence of a breach of the version in their
    labels. All others are hints: they open SUSPECT, and act on nothing."""

    model_label: Text = "model"
    """Label that holds the model's name. One of another model is passed over; one without it can be
    a hint, and no evidence."""

    version_label: Text = "version"
    """Label that holds the version that the alert is about."""

    @property
    def open(self) -> bool:
        """Whether anything of its own lets alerts in."""
        return self.token is not None or self.secret is not None
