"""The listening side: plain scoring requests answered at once, all others passed to aiohttp.

aiohttp costs about as much for a request as everything else here together. A connection whose
requests are of the plain kind (`scoring.web.http1`) never meets it. With the first request that is
not, the connection changes hands for good: aiohttp gets the bytes as they came.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from typing import Any, Final, cast

from scoring.answering.live import Served
from scoring.answering.score import Answer
from scoring.log.ledger import Arrival
from scoring.web.clients import ClientLimits, Fallback, Turnstile
from scoring.web.handover import Successor
from scoring.web.http1 import HEAD_BYTES_MAX, Head, HeadCache
from scoring.web.server import SERVER_NAME, ScoringServer

logger = logging.getLogger("kedge.scoring.front")

#: A longer body is read by aiohttp, which reads in pieces and stops at the limit.
BODY_BYTES_MAX: Final = 32 * 1024
#: What a client may send ahead of answers, before it is not read any more; more than any request
#: that is answered here.
AHEAD_BYTES_MAX: Final = 64 * 1024
#: How often in a row no connection is left before the last is believed to have gone.
LEFT_ROUNDS: Final = 5
_PHRASES: Final = {int(status): f"{int(status)} {status.phrase}" for status in HTTPStatus}


class Front:
    """Makes a protocol for each connection, and knows all of them.

    Parameters
    ----------
    fallback
        Takes a connection over.
    """

    def __init__(self, server: ScoringServer, fallback: Fallback, limits: ClientLimits) -> None:
        self.server = server
        self.fallback = fallback
        self.limits = limits
        self._turnstile = Turnstile(limits)
        self.heads = HeadCache()
        self.connections: set[Connection] = set()
        self.draining = False
        self.successor: Successor | None = None
        self._adopting: set[asyncio.Task[Any]] = set()
        self._date = (0, "")
        self._signature: tuple[Served | None, str] = (None, "")

    def connect(self) -> asyncio.Protocol:
        """Return the protocol of a new connection."""
        if len(self.connections) + self.fallback.connections >= self.limits.connections_max:
            return self._turnstile.turn_away()
        return Connection(self)

    async def drain(self, timeout_s: float) -> None:
        """Close idle connections, let the others have their answer, close them too."""
        self.draining = True
        ends = time.monotonic() + timeout_s
        while self.connections and time.monotonic() < ends:
            for connection in list(self.connections):
                connection.close_if_idle()
            await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.abort()

    def adopt(self, passed: socket.socket, unread: bytes) -> None:
        """Go on with a connection that another process had; `unread` is what it had read of it.

        However many there are already: it was let in once.
        """
        loop = asyncio.get_running_loop()
        task = loop.create_task(
            loop.connect_accepted_socket(lambda: Connection(self, unread), passed)
        )
        self._adopting.add(task)
        task.add_done_callback(self._adopted)

    def _adopted(self, task: asyncio.Task[Any]) -> None:
        self._adopting.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("a connection that was handed over is lost: %s", error)

    async def leave_to(self, successor: Successor, timeout_s: float) -> None:
        """Pass every connection on, each between an answer and the next request."""
        self.successor = successor
        ends = time.monotonic() + timeout_s
        # Twice around: what was being accepted is a connection only the next time.
        empty = 0
        while empty < LEFT_ROUNDS and time.monotonic() < ends:
            for connection in list(self.connections):
                connection.move_if_idle()
            empty = 0 if self.connections else empty + 1
            await asyncio.sleep(0.01)
        self.successor = None

    def signed(self, served: Served) -> str:
        """Return the headers that all answers of a version share."""
        known, headers = self._signature
        if known is not served:
            lines = [f"{name}: {value}\r\n" for name, value in served.headers().items()]
            headers = f"Server: {SERVER_NAME}\r\n{''.join(lines)}"
            self._signature = (served, headers)
        return headers

    def date(self) -> str:
        """Return the time as HTTP writes it, made once a second."""
        now = int(time.time())
        if self._date[0] != now:
            self._date = (now, formatdate(now, usegmt=True))
        return self._date[1]


class Connection(asyncio.Protocol):
    """A client's connection, one request at a time.

    Parameters
    ----------
    unread
        What another process has read of it.
    """

    __slots__ = (
        *("_asking", "_began", "_buffer", "_front", "_paused", "_timer"),
        *("_transport", "_writable"),
    )

    def __init__(self, front: Front, unread: bytes = b"") -> None:
        self._front = front
        self._transport: asyncio.Transport | None = None
        self._buffer = unread
        self._asking = False
        self._paused = False
        self._writable = True
        self._began = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the connection, and close it if it stays silent."""
        # Of a stream it always is one, though other event loops' do not say so.
        self._transport = cast("asyncio.Transport", transport)
        self._front.connections.add(self)
        self._began = time.monotonic()
        self._look_again()
        self._proceed()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - of the interface
        """Forget the connection; an answer that is on its way is still counted and logged."""
        self._leave()

    def pause_writing(self) -> None:
        """Stop answering a client that does not read."""
        self._writable = False

    def resume_writing(self) -> None:
        """Go on when it does."""
        self._writable = True
        self._proceed()

    def data_received(self, data: bytes) -> None:
        """Take what came in."""
        if not self._buffer:
            self._began = time.monotonic()
        self._buffer = self._buffer + data if self._buffer else data
        if len(self._buffer) > AHEAD_BYTES_MAX and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._proceed()

    def eof_received(self) -> bool:
        """Keep the way open for the answer, if one is due."""
        return self._asking

    def close_if_idle(self) -> None:
        """Close the connection unless a request is being received or answered."""
        if not self._asking and not self._buffer and self._transport is not None:
            self._transport.close()

    def move_if_idle(self) -> None:
        """Pass the connection to the successor, unless an answer is due or on its way."""
        transport, successor = self._transport, self._front.successor
        if successor is None or transport is None or transport.is_closing():
            return
        if self._asking or not self._writable or transport.get_write_buffer_size():
            return
        transport.pause_reading()
        if successor.give(transport.get_extra_info("socket").fileno(), self._buffer):
            # Closes our descriptor alone: the caller's connection goes on at the other.
            self._leave()
            transport.abort()
        elif not self._paused:
            transport.resume_reading()

    def abort(self) -> None:
        """Close the connection, whatever is going on."""
        if self._transport is not None:
            self._transport.abort()

    def _proceed(self) -> None:
        """Ask for what has been received, if it is a whole request and its turn."""
        if self._asking or not self._writable or not self._buffer or self._transport is None:
            return
        data = self._buffer
        ends = data.find(b"\r\n\r\n", 0, HEAD_BYTES_MAX)
        if ends < 0:
            # Half a head stays here, where it is not waited for without end.
            if len(data) >= HEAD_BYTES_MAX:
                self._hand_over()
            return
        head = self._front.heads.parse(data[:ends])
        if head is None or head.length > BODY_BYTES_MAX:
            self._hand_over()
            return
        begins = ends + 4
        whole = begins + head.length
        if len(data) < whole:
            return
        self._buffer = data[whole:]
        self._asking = True
        server = self._front.server
        arrival = server.ledger.arrival(head.request_id, head.trace_parent)
        refused = server.refuses(head)
        if refused is not None:
            self._write(head, arrival, server.current, refused)
            return
        server.submit(head, data[begins:whole], partial(self._reply, head, arrival))

    def _reply(self, head: Head, arrival: Arrival, served: Served, answer: Answer) -> None:
        self._front.server.ledger.note(served, arrival, answer)
        self._write(head, arrival, served, answer)

    def _write(self, head: Head, arrival: Arrival, served: Served, answer: Answer) -> None:
        server, front = self._front.server, self._front
        self._asking = False
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        closes = not head.keeps_alive or front.draining
        status = int(answer.status)
        extra = "".join(f"{name}: {value}\r\n" for name, value in server.hints(answer).items()) + (
            "Connection: close\r\n" if closes else ""
        )
        text = (
            f"HTTP/1.1 {_PHRASES[status]}\r\nContent-Type: {answer.content_type}\r\n"
            f"Content-Length: {len(answer.body)}\r\n{front.signed(served)}"
            f"X-Request-Id: {arrival.request_id}\r\nDate: {front.date()}\r\n{extra}\r\n"
        )
        transport.write(text.encode() + answer.body)
        self._began = time.monotonic()
        if closes:
            transport.close()
            return
        if front.successor is not None:
            self.move_if_idle()
            if self._transport is None:
                return
        self._read_on()
        if self._buffer:
            # Not here: a client that sends many requests at once would go deeper with each.
            asyncio.get_running_loop().call_soon(self._proceed)

    def _read_on(self) -> None:
        if self._paused and self._transport is not None and len(self._buffer) <= AHEAD_BYTES_MAX:
            self._paused = False
            self._transport.resume_reading()

    def _hand_over(self) -> None:
        """Let aiohttp have the connection, and what of it has been received."""
        transport, data = self._transport, self._buffer
        if transport is None:
            return
        if self._paused:
            transport.resume_reading()
        self._leave()
        protocol = self._front.fallback.connect()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(data)

    def _leave(self) -> None:
        self._front.connections.discard(self)
        self._transport = None
        self._buffer = b""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_again(self) -> None:
        wait_s = self._front.limits.head_timeout_s / 2
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._look)

    def _look(self) -> None:
        """End the connection if nothing has happened for too long."""
        transport, limits = self._transport, self._front.limits
        if transport is None:
            return
        silent_s = time.monotonic() - self._began
        if self._asking:
            pass
        elif transport.get_write_buffer_size():
            if silent_s >= limits.write_timeout_s:
                self._cut("slow_reader")
                return
        elif self._buffer:
            if silent_s >= limits.head_timeout_s:
                self._cut("slow_body" if b"\r\n\r\n" in self._buffer else "slow_head")
                return
        elif silent_s >= limits.idle_s:
            transport.close()
            return
        self._look_again()

    def _cut(self, reason: str) -> None:
        self._front.limits.refused(reason)
        self.abort()
