"""Load on an HTTP server: `connections` requests in flight, each connection kept alive.

Bare sockets on epoll and requests made before the clock starts, so that the caller costs some
15 microseconds a request and is not what is measured; its own CPU time is told all the same.
"""

from __future__ import annotations

import re
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_READ_BYTES = 65536
#: A server that is silent for so long ends the run.
_SILENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Load:
    """What a run of load saw.

    Parameters
    ----------
    latencies_ms
        Of all answers with status 200, ascending.
    failures
        Answers with another status.
    own_cpu_s
        CPU time of the caller.
    """

    seconds: float
    latencies_ms: Sequence[float]
    failures: int
    own_cpu_s: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies_ms) / self.seconds

    def quantile_ms(self, share: float) -> float:
        """Return a quantile of the latencies."""
        last = len(self.latencies_ms) - 1
        return self.latencies_ms[round(share * last)] if last >= 0 else float("nan")


class _Caller:
    """One connection: a request, its answer, the next request."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.began = 0.0
        self.received = b""

    def send(self, request: bytes) -> None:
        self.began = time.perf_counter()
        self.socket.sendall(request)

    def status(self) -> bytes | None:
        """Read what is there; return the status once the answer is whole."""
        piece = self.socket.recv(_READ_BYTES)
        if not piece:
            raise ConnectionError("the server closed a connection")
        self.received += piece
        head = self.received.find(b"\r\n\r\n")
        length = _LENGTH.search(self.received, 0, head + 2) if head >= 0 else None
        if length is None or len(self.received) < head + 4 + int(length[1]):
            return None
        status = self.received[9:12]
        self.received = b""
        return status


def post(path: str, body: bytes) -> bytes:
    """Return the bytes of a request as common clients send it."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: load\r\nAccept: */*\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def run(
    address: tuple[str, int], requests: Sequence[bytes], *, connections: int, seconds: float
) -> Load:
    """Send the requests round and round for so long; every answer that began in time counts."""
    callers = {caller.socket.fileno(): caller for caller in _connected(address, connections)}
    poller = select.epoll()
    latencies: list[float] = []
    failures, sent = 0, 0
    began, began_cpu = time.perf_counter(), time.process_time()
    ends = began + seconds
    for number, caller in callers.items():
        poller.register(number, select.EPOLLIN)
        caller.send(requests[sent % len(requests)])
        sent += 1
    waiting = len(callers)
    while waiting:
        ready = poller.poll(_SILENCE_S)
        if not ready:
            raise ConnectionError(f"no answer for {_SILENCE_S:g} s")
        for number, _ in ready:
            caller = callers[number]
            status = caller.status()
            if status is None:
                continue
            now = time.perf_counter()
            if status == b"200":
                latencies.append((now - caller.began) * 1000)
            else:
                failures += 1
            if now < ends:
                caller.send(requests[sent % len(requests)])
                sent += 1
            else:
                waiting -= 1
    took = time.perf_counter() - began
    own_cpu_s = time.process_time() - began_cpu
    poller.close()
    for caller in callers.values():
        caller.socket.close()
    return Load(took, sorted(latencies), failures, own_cpu_s)


def _connected(address: tuple[str, int], connections: int) -> list[_Caller]:
    return [_Caller(address) for _ in range(connections)]
