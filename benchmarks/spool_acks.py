"""Events sent over HTTP: acknowledged, so durable, a second; beside what the disk flushes.

    python -m benchmarks.spool_acks [--seconds 5]

The daemon is a process of its own on this machine, and so is the sender; every request carries
one event, on connections that are kept. The ratio says how many acknowledgements one flush of
this disk pays for: above 1, because requests that come together share a flush.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from tests.monitor.daemon import running

CONFIG = """
[model]
name = "m"
[[collect]]
type = "http"
[http]
listen = "127.0.0.1:0"
token = "t"
"""
EVENT = {
    "version": "7",
    "latency_ms": 12.5,
    "features": {f"f{number}": number / 7 for number in range(20)},
    "prediction": 0.25,
}


def flushes_per_second(folder: Path, seconds: float) -> float:
    """Flushes of one thread that appends an event at a time."""
    line = json.dumps(EVENT).encode()
    descriptor = os.open(folder / "flushes", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        os.write(descriptor, line)
        os.fdatasync(descriptor)
        count += 1
    os.close(descriptor)
    return count / (time.perf_counter() - began)


async def acks(url: str, connections: int, seconds: float, events: int) -> tuple[float, float]:
    """Return events acknowledged a second, and the median time of an answer in ms."""
    place = urlsplit(url)
    ends = time.perf_counter() + seconds
    times: list[float] = []

    async def send(number: int) -> None:
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        sent = 0
        while (began := time.perf_counter()) < ends:
            rows = (
                EVENT | {"id": f"{began}-{number}-{sent}-{row}", "ts": time.time()}
                for row in range(events)
            )
            body = b"\n".join(json.dumps(row).encode() for row in rows)
            head = (
                "POST /api/v1/predictions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            if b" 202 " not in answer:
                raise RuntimeError(answer.decode())
            await reader.readuntil(b"}")
            times.append(time.perf_counter() - began)
            sent += 1
        writer.close()

    await asyncio.gather(*(send(number) for number in range(connections)))
    return len(times) * events / seconds, statistics.median(times) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "kedge.toml"
        config.write_text(CONFIG)
        flushes = flushes_per_second(folder, seconds / 2)
        print(f"one thread, a flush an event: {flushes:8.0f} flushes/s")
        with running(config) as kedge:
            for connections, events in ((1, 1), (16, 1), (64, 1), (16, 100)):
                rate, median_ms = asyncio.run(acks(kedge.url, connections, seconds, events))
                print(
                    f"{connections:3d} connections, {events:3d} events a request: {rate:8.0f} "
                    f"events/s, median {median_ms:6.1f} ms, ratio {rate / flushes:6.2f}"
                )


if __name__ == "__main__":
    main()
