"""A mail server that keeps what it gets, and answers as it is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass
class MailReceiver:
    """As much of SMTP (RFC 5321) as a client needs to hand over a mail in the clear.

    Parameters
    ----------
    answers
        To MAIL commands, first come first: ``451`` is for now, ``550`` for good; then 250.
    """

    port: int = 0
    answers: list[str] = field(default_factory=list)
    to: list[str] = field(default_factory=list)
    mails: list[EmailMessage] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(b"220 test\r\n")
            while line := await reader.readline():
                writer.write(await self._answer(line.decode().strip(), reader, writer))
                await writer.drain()
                if line.upper().startswith(b"QUIT"):
                    break
        writer.close()

    async def _answer(
        self, line: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bytes:
        command = line.upper()
        if command.startswith("MAIL"):
            said = self.answers.pop(0) if self.answers else "250"
            return f"{said} said\r\n".encode()
        if command.startswith("RCPT"):
            self.to.append(line.partition(":")[2].strip(" <>"))
        if command.startswith("DATA"):
            writer.write(b"354 go on\r\n")
            data = await reader.readuntil(b"\r\n.\r\n")
            mail = message_from_bytes(data[:-5], policy=policy.default)
            assert isinstance(mail, EmailMessage)
            self.mails.append(mail)
        return b"221 bye\r\n" if command.startswith("QUIT") else b"250 ok\r\n"


@contextlib.asynccontextmanager
async def mail_receiver() -> AsyncIterator[MailReceiver]:
    """Serve one on a free port."""
    receiver = MailReceiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    async with server:
        yield receiver
