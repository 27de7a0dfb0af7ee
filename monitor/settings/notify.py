"""The tables ``[[notify]]`` of ``kedge.toml``: who is told, and of what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias, get_args

from monitor.settings.keys import Kinds, between
from monitor.settings.secret import Secret
from monitor.settings.tables import PositiveDuration, Text

#: What a person would want to know of: a closed set, because it becomes a metric's label.
Event: TypeAlias = Literal[
    "confirmed",  # a breach is confirmed, or a person asked; the gates are being asked
    "refused",  # a gate said no
    "rehearsed",  # every gate passed, and the mode lets nothing be done
    "intended",  # it will be done now
    "resolved",  # it was done, and has helped
    "escalated",  # it did not work, or could not be verified: a person has to look
    "contested",  # somebody else moved what we were moving
    "blind",  # no rule could decide for too long
    "hold",  # a person stopped automatic action
    "resume",  # it may go on: a person said so, or the hold has run out
]
EVENTS: Final[tuple[Event, ...]] = get_args(Event)


@dataclass(frozen=True, slots=True)
class WebhookNotice:
    """``type = "webhook"``: a POST of JSON to an address of yours."""

    type: ClassVar[str] = "webhook"

    url: Secret
    """Where to. It may hold a key, so it is never written to the log."""

    secret: Secret | None = None
    """Signs the call, as that of a step of type ``webhook``."""

    events: tuple[Event, ...] = EVENTS
    """What is told."""

    timeout_s: PositiveDuration = 10.0
    """For one call."""


@dataclass(frozen=True, slots=True)
class SlackNotice:
    """``type = "slack"``: an incoming webhook of Slack, or of what understands the same."""

    type: ClassVar[str] = "slack"

    url: Secret
    """Where to. It holds a key, so it is never written to the log."""

    events: tuple[Event, ...] = EVENTS
    """What is told."""

    timeout_s: PositiveDuration = 10.0
    """For one call."""


@dataclass(frozen=True, slots=True)
class EmailNotice:
    """``type = "email"``: a mail, by a server that takes it from us."""

    type: ClassVar[str] = "email"

    host: Text
    """The mail server."""

    sender: Text
    """Address that it comes from."""

    to: tuple[Text, ...]
    """Addresses that it goes to."""

    port: Annotated[int, between(1, 65_535)] = 587
    """Its port: 587 with ``starttls``, 465 with ``tls``."""

    security: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is encrypted; the server's certificate must be good. ``none`` sends in the
    clear, and no password."""

    username: str = ""
    """User name, where the server wants one."""

    password: Secret | None = None
    """Its password."""

    events: tuple[Event, ...] = EVENTS
    """What is told."""

    timeout_s: PositiveDuration = 10.0
    """For each answer of the server."""

    def __post_init__(self) -> None:
        """Refuse a mail to nobody, half a login, and a password in the clear."""
        if not self.to:
            raise ValueError("to: expected one address or more")
        if (self.password is None) != (not self.username):
            raise ValueError("username: give username and password, or neither")
        if self.password is not None and self.security == "none":
            raise ValueError('security: a password is not sent in the clear; use "starttls"')


NoticeSettings: TypeAlias = WebhookNotice | SlackNotice | EmailNotice


def _kinds() -> Mapping[str, type]:
    return {kind.type: kind for kind in (WebhookNotice, SlackNotice, EmailNotice)}


def _wrapped(_kind: str, settings: Any, _own: Mapping[str, str]) -> NoticeSettings:  # noqa: ANN401 - one of the kinds
    found: NoticeSettings = settings
    return found


NOTICES: Final = Kinds("notification", _kinds, (), _wrapped)
