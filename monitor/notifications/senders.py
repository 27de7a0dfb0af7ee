"""One notification over one channel: a webhook, Slack, or a mail.

What goes wrong is told by kind and status only: an address or an answer may hold a key.
"""

from __future__ import annotations

import asyncio
import json
import smtplib
import ssl
import time
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from http import HTTPStatus
from typing import Final, Protocol

import aiohttp

from monitor.notifications.notices import Notice
from monitor.settings.notify import EmailNotice, NoticeSettings, SlackNotice, WebhookNotice
from rollback.actuators.webhook import signed

#: Answers after which the same call may succeed.
_AGAIN: Final = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)
_SUCCESS, _SERVER_ERROR = 2, 5
#: Of mail servers: from here on a refusal is for good.
_SMTP_PERMANENT: Final = 500


class NotSentError(RuntimeError):
    """It was not sent, as far as is known.

    Parameters
    ----------
    again
        Whether another try may succeed.
    after_s
        How long the receiver asks us to wait; None if it does not say.
    """

    def __init__(self, message: str, *, again: bool, after_s: float | None = None) -> None:
        super().__init__(message)
        self.again = again
        self.after_s = after_s


class Sender(Protocol):
    """Sends one notice."""

    async def send(self, notice: Notice) -> None:
        """Send it.

        Raises
        ------
        NotSentError, collectors.secret.SecretUnreadableError
            It was not sent.
        """
        ...


def sender_of(settings: NoticeSettings) -> Sender:
    """Return what sends over a channel."""
    match settings:
        case WebhookNotice():
            return WebhookSender(settings)
        case SlackNotice():
            return SlackSender(settings)
        case EmailNotice():
            return EmailSender(settings)


class WebhookSender:
    """POSTs a notice as JSON, signed where there is a secret."""

    def __init__(self, settings: WebhookNotice) -> None:
        self._settings = settings

    async def send(self, notice: Notice) -> None:
        """Send it; 2xx is done."""
        body = json.dumps(notice.to_json()).encode()
        secret = self._settings.secret
        headers = {} if secret is None else signed(body, secret.reveal(), time.time())
        await post(self._settings.url.reveal(), body, headers, self._settings.timeout_s)


class SlackSender:
    """POSTs a notice as Slack's incoming webhooks take it."""

    def __init__(self, settings: SlackNotice) -> None:
        self._settings = settings

    async def send(self, notice: Notice) -> None:
        """Send it; 2xx is done."""
        text = f"*{_escaped(notice.headline)}*\n{_escaped(notice.why)}"
        if notice.rollback is not None:
            text += f"\n{_escaped(str(notice.rollback['id']))}"
        body = json.dumps({"text": text}).encode()
        await post(self._settings.url.reveal(), body, {}, self._settings.timeout_s)


class EmailSender:
    """Sends a notice as a mail; the blocking library works on a thread."""

    def __init__(self, settings: EmailNotice) -> None:
        self._settings = settings

    async def send(self, notice: Notice) -> None:
        """Send it; done when the server has taken it for every address."""
        password = self._settings.password
        secret = None if password is None else password.reveal()
        try:
            await asyncio.to_thread(self._send, self._message(notice), secret)
        except smtplib.SMTPResponseException as error:
            again = error.smtp_code < _SMTP_PERMANENT
            raise NotSentError(f"the mail server answered {error.smtp_code}", again=again) from None
        except smtplib.SMTPRecipientsRefused as error:
            codes = sorted({code for code, _ in error.recipients.values()})
            again = any(code < _SMTP_PERMANENT for code in codes)
            raise NotSentError(f"every address was refused: {codes}", again=again) from None
        except smtplib.SMTPNotSupportedError as error:
            # The library's words, not the server's.
            raise NotSentError(f"the mail server: {error}", again=False) from None
        except ssl.SSLCertVerificationError as error:
            why = f"the mail server's certificate is not accepted: {error.verify_message}"
            raise NotSentError(why, again=False) from None
        except (smtplib.SMTPException, OSError) as error:
            again = not isinstance(error, ssl.SSLError)
            raise NotSentError(f"the mail server: {type(error).__name__}", again=again) from None

    def _message(self, notice: Notice) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = f"[kedge] {notice.headline}"
        message["From"] = self._settings.sender
        message["To"] = ", ".join(self._settings.to)
        message["Date"] = format_datetime(datetime.fromtimestamp(notice.at, UTC))
        message["Message-ID"] = make_msgid(domain="kedge.invalid")
        message["Auto-Submitted"] = "auto-generated"
        lines = [notice.headline, "", notice.why]
        if notice.rollback is not None:
            lines += ["", *(f"{key}: {value}" for key, value in notice.rollback.items())]
        message.set_content("\n".join(lines) + "\n")
        return message

    def _send(self, message: EmailMessage, password: str | None) -> None:
        settings = self._settings
        with self._connected() as server:
            if settings.security == "starttls":
                server.starttls(context=ssl.create_default_context())
            if password is not None:
                server.login(settings.username, password)
            server.send_message(message, settings.sender, list(settings.to))

    def _connected(self) -> smtplib.SMTP:
        host, port, timeout = self._settings.host, self._settings.port, self._settings.timeout_s
        if self._settings.security == "tls":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(host, port, timeout=timeout, context=context)
        return smtplib.SMTP(host, port, timeout=timeout)


async def post(url: str, body: bytes, headers: dict[str, str], timeout_s: float) -> None:
    """POST a body; redirects are not followed, for the address is a key.

    Raises
    ------
    NotSentError
        Nobody answered, or not with 2xx.
    """
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(
                url,
                data=body,
                headers=headers | {"Content-Type": "application/json"},
                allow_redirects=False,
            ) as answer,
        ):
            status, after = answer.status, answer.headers.get("Retry-After", "")
    except aiohttp.InvalidURL:
        raise NotSentError("the address is none", again=False) from None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise NotSentError(f"no answer: {type(error).__name__}", again=True) from None
    if status // 100 != _SUCCESS:
        again = status in _AGAIN or status // 100 == _SERVER_ERROR
        after_s = float(after) if after.isascii() and after.isdigit() else None
        raise NotSentError(f"the answer was {status}", again=again, after_s=after_s)


def _escaped(text: str) -> str:
    """Keep what stands in data from being read as Slack's markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
