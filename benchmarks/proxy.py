"""What the proxy adds to a request at 500 requests a second, beside direct calls.

    python -m benchmarks.proxy [--seconds 4] [--rounds 5]

A model server, `kedge run` with a proxy in front of it, and the sender are processes of their
own. Rounds of direct and of proxied calls take turns, so that both meet the same weather; what is
added is the difference of the medians, and of the 99th percentiles, of each pair of rounds. Then
the same with the daemon stopped (SIGSTOP), and its spool full.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from collectors.taps.standing import Standing, read_standing
from tests.monitor.daemon import Kedge, eventually, running

RATE, CONNECTIONS, COLUMNS = 500, 16, 20
CONFIG = """
[model]
name = "m"
[[collect]]
type = "proxy"
listen = "127.0.0.1:0"
upstream = "{upstream}"
bytes_max = "1MiB"
max_event_bytes = "32KiB"
[reference]
from = "first"
events = 1000
[windows]
length = "10s"
slide = "1s"
lateness = "1s"
min_events = 100
[[rules]]
name = "drift"
metric = "psi"
columns = ["*"]
above = 0.2
[http]
listen = "127.0.0.1:0"
"""
SERVER = """
import json
from aiohttp import web

async def answer(request):
    rows = json.loads(await request.read())["dataframe_split"]["data"]
    return web.json_response({"predictions": [sum(row) for row in rows]})

app = web.Application()
app.router.add_post("/invocations", answer)
web.run_app(app, host="127.0.0.1", port=0, access_log=None)
"""


@contextlib.contextmanager
def model_server() -> Iterator[str]:
    """Run the server; yield its address."""
    with subprocess.Popen(
        [sys.executable, "-u", "-c", SERVER], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield next(word for word in line.split() if word.startswith("http://"))
        finally:
            process.kill()


def requests(count: int) -> list[bytes]:
    """Return bodies of one row of 20 numbers."""
    chance = random.Random(7)
    names = [f"f{number}" for number in range(COLUMNS)]
    return [
        json.dumps(
            {"dataframe_split": {"columns": names, "data": [[chance.gauss(0, 1) for _ in names]]}}
        ).encode()
        for _ in range(count)
    ]


class Sender:
    """Sends at a steady rate, whatever the answers take, on connections that are kept."""

    def __init__(self, url: str, bodies: list[bytes]) -> None:
        self._place = urlsplit(url)
        self._bodies = bodies

    async def times_ms(self, seconds: float) -> list[float]:
        """Return the times that answers took, from when each was due to be asked for."""
        times: list[float] = []
        began = time.perf_counter() + 0.05
        total = int(seconds * RATE)

        async def send(first: int) -> None:
            reader, writer = await asyncio.open_connection(self._place.hostname, self._place.port)
            for number in range(first, total, CONNECTIONS):
                due = began + number / RATE
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                asked = time.perf_counter()
                body = self._bodies[number % len(self._bodies)]
                head = (
                    "POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n"
                )
                writer.write(head.encode() + body)
                answer = await reader.readuntil(b"\r\n\r\n")
                if b" 200 " not in answer:
                    raise RuntimeError(answer.decode())
                await reader.readuntil(b"}")
                times.append((time.perf_counter() - asked) * 1000)
            writer.close()

        await asyncio.gather(*(send(first) for first in range(CONNECTIONS)))
        return times


def percentiles(times: list[float]) -> tuple[float, float]:
    """Return the median and the 99th percentile."""
    cuts = statistics.quantiles(times, n=100)
    return cuts[49], cuts[98]


def measure(
    name: str,
    direct: Sender,
    proxied: Sender,
    busy_s: Callable[[], tuple[float, float]],
    *,
    rounds: int,
    seconds: float,
) -> None:
    """Print what the proxy adds."""
    pairs: list[tuple[float, float, float, float]] = []
    began, before = time.perf_counter(), busy_s()
    for number in range(rounds):
        order = (direct, proxied) if number % 2 else (proxied, direct)
        found = {one: percentiles(asyncio.run(one.times_ms(seconds))) for one in order}
        pairs.append((*found[direct], *found[proxied]))
    middle = [statistics.median(column) for column in zip(*pairs, strict=True)]
    medians = [pair[2] - pair[0] for pair in pairs]
    tails = [pair[3] - pair[1] for pair in pairs]
    lasted = time.perf_counter() - began
    busy = [(now - then) / lasted for now, then in zip(busy_s(), before, strict=True)]
    print(
        f"{name:22s} direct {middle[0]:5.2f} / {middle[1]:6.2f} ms, "
        f"proxied {middle[2]:5.2f} / {middle[3]:6.2f} ms: adds "
        f"{statistics.median(medians):5.2f} ms to the median ({min(medians):.2f} to "
        f"{max(medians):.2f}), {statistics.median(tails):6.2f} ms to p99 "
        f"({min(tails):.2f} to {max(tails):.2f}); busy: daemon {busy[0]:.0%}, proxy {busy[1]:.0%} "
        "of a core",
        flush=True,
    )


def tap_of(folder: Path) -> Standing:
    """Return how the proxy stands, once it does."""
    spool = folder / "spool" / "proxy"
    standing = eventually(lambda: read_standing(spool), what="the proxy listens")
    if standing is None:
        raise AssertionError("checked above")
    return standing


def busy_s(process: psutil.Process) -> float:
    """Return the processor time that a process has used, seconds."""
    times = process.cpu_times()
    return times.user + times.system


def report(kedge: Kedge, sent: int) -> None:
    """Print what became of the requests."""

    def told() -> bool:
        totals = kedge.totals()
        return totals["events"] + totals["shed"] + totals["rejected"] >= sent

    eventually(told, what="every request is counted or shed")
    print(f"{sent} requests through the proxy: {kedge.totals()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    bodies = requests(1000)
    with tempfile.TemporaryDirectory() as name, model_server() as upstream:
        folder = Path(name)
        config = folder / "kedge.toml"
        config.write_text(CONFIG.format(upstream=upstream))
        with running(config) as kedge:
            standing = tap_of(folder)
            direct, proxied = Sender(upstream, bodies), Sender(standing.address, bodies)
            daemon, proxy = psutil.Process(kedge.process.pid), psutil.Process(standing.pid)

            def busy() -> tuple[float, float]:
                return busy_s(daemon), busy_s(proxy)

            print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
            asyncio.run(proxied.times_ms(3.0))  # the reference, and warm caches
            count = {"rounds": options.rounds, "seconds": options.seconds}
            measure("analysis at work", direct, proxied, busy, **count)
            kedge.process.send_signal(signal.SIGSTOP)
            try:
                asyncio.run(proxied.times_ms(3.0))  # fills the spool
                measure("stopped, spool full", direct, proxied, busy, **count)
            finally:
                kedge.process.send_signal(signal.SIGCONT)
            sent = int(6.0 * RATE) + 2 * options.rounds * int(options.seconds * RATE)
            report(kedge, sent)
            kedge.stop()  # and with it the proxy, which outlives a Kedge that is killed


if __name__ == "__main__":
    main()
