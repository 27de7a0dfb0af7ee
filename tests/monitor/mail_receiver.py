"""A mail server that keeps what it gets, and answers as it is told."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass
class MailReceiver:
    """As much of SMTP (RFC 5321, 3207, 4954) as a client needs to hand over a mail.

    Parameters
    ----------
    starttls
        Offers to encrypt the connection with it; None for no such offer.
    password
        Whoever logs in has to know it. A refusal repeats what was said, as bad servers do.
    answers
        To MAIL commands, first come first: ``451`` is for now, ``550`` for good; then 250.
    in_clear
        Commands that came before the connection was encrypted.
    """

    starttls: ssl.SSLContext | None = None
    password: str = ""
    port: int = 0
    answers: list[str] = field(default_factory=list)
    to: list[str] = field(default_factory=list)
    mails: list[EmailMessage] = field(default_factory=list)
    in_clear: list[str] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            writer.write(b"220 test\r\n")
            while line := await reader.readline():
                command = line.decode().strip()
                if writer.get_extra_info("sslcontext") is None:
                    self.in_clear.append(command.partition(" ")[0].upper())
                writer.write(await self._answer(command, reader, writer))
                await writer.drain()
                if command.upper() == "STARTTLS" and self.starttls is not None:
                    await writer.start_tls(self.starttls)
                if command.upper() == "QUIT":
                    break
        writer.close()

    async def _answer(
        self, line: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bytes:
        verb, _, rest = line.partition(" ")
        match verb.upper():
            case "EHLO":
                encrypted = writer.get_extra_info("sslcontext") is not None
                offers = ["STARTTLS"] if self.starttls and not encrypted else []
                offers += ["AUTH PLAIN"] if self.password else []
                return (
                    "".join(f"250-{one}\r\n" for one in ("test", *offers)).encode() + b"250 ok\r\n"
                )
            case "STARTTLS":
                return b"220 go on\r\n" if self.starttls else b"502 no\r\n"
            case "AUTH":
                return self._login(rest)
            case "MAIL":
                said = self.answers.pop(0) if self.answers else "250"
                return f"{said} said\r\n".encode()
            case "RCPT":
                self.to.append(rest.partition(":")[2].strip(" <>"))
            case "DATA":
                writer.write(b"354 go on\r\n")
                data = await reader.readuntil(b"\r\n.\r\n")
                mail = message_from_bytes(data[:-5], policy=policy.default)
                assert isinstance(mail, EmailMessage)
                self.mails.append(mail)
            case "QUIT":
                return b"221 bye\r\n"
        return b"250 ok\r\n"

    def _login(self, said: str) -> bytes:
        _, name, password = base64.b64decode(said.partition(" ")[2]).decode().split("\0")
        self.logins.append((name, password))
        if password == self.password:
            return b"235 come in\r\n"
        return f"535 {password} is wrong\r\n".encode()


@contextlib.asynccontextmanager
async def mail_receiver(
    *,
    starttls: ssl.SSLContext | None = None,
    tls: ssl.SSLContext | None = None,
    password: str = "",
) -> AsyncIterator[MailReceiver]:
    """Serve one on a free port; encrypted from the beginning with `tls`."""
    receiver = MailReceiver(starttls, password)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    async with server:
        yield receiver
