"""Clients that send a head without end, to a real server that is guarded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from collectors.taps.guarded_connection import GuardedConnection
from tests.collectors.dripping import drip

HEAD_S = 0.3
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"


@dataclass
class Limits:
    cut: list[str] = field(default_factory=list)
    head_timeout_s: float = HEAD_S
    write_timeout_s: float = 30.0
    connections_max: int = 10

    @property
    def refused(self) -> Callable[[str], None]:
        return self.cut.append


@dataclass
class Guarded:
    port: int
    limits: Limits

    async def call(self, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        return reader, writer


async def echo(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(body=await request.read())


async def answered(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(20):
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(4)
    return head.split()[1]


@pytest.fixture
async def guarded() -> AsyncIterator[Guarded]:
    limits = Limits()
    manager = web.Server(echo)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: GuardedConnection(manager, limits, loop=loop, access_log=None), "127.0.0.1", 0
    )
    yield Guarded(server.sockets[0].getsockname()[1], limits)
    server.close()
    await manager.shutdown(1)


@pytest.mark.parametrize("lines", [0, 2], ids=["short", "over 8 KiB"])
async def test_a_head_that_does_not_end_is_cut_off(guarded: Guarded, lines: int) -> None:
    _, writer = await guarded.call(b"")

    await drip(writer, lines=lines)

    assert guarded.limits.cut == ["slow_head"]
    writer.close()


async def test_so_is_a_second_one_on_a_connection(guarded: Guarded) -> None:
    reader, writer = await guarded.call(POST + b"abcd")
    assert await answered(reader) == b"200"

    await drip(writer)

    assert guarded.limits.cut == ["slow_head"]
    writer.close()


async def test_a_body_has_more_time_than_a_head(guarded: Guarded) -> None:
    reader, writer = await guarded.call(POST)
    for byte in (b"a", b"b", b"c", b"d"):
        await asyncio.sleep(HEAD_S / 2)
        writer.write(byte)

    assert await answered(reader) == b"200"
    assert guarded.limits.cut == []
    writer.close()


async def test_a_head_in_pieces_is_answered_and_the_connection_kept(guarded: Guarded) -> None:
    reader, writer = await guarded.call(POST[:20])
    await asyncio.sleep(HEAD_S / 3)
    writer.write(POST[20:] + b"abcd")
    first = await answered(reader)

    await asyncio.sleep(2 * HEAD_S)
    writer.write(POST + b"abcd")

    assert (first, await answered(reader)) == (b"200", b"200")
    assert guarded.limits.cut == []
    writer.close()
