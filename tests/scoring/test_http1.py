"""Heads of requests: which are plain, what they say, and that all others are left to aiohttp."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.web.http1 import HeadCache, parse_head

PLAIN = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 12"


def with_header(line: bytes) -> bytes:
    return PLAIN + b"\r\n" + line


def test_a_plain_head_says_what_matters() -> None:
    head = parse_head(
        with_header(
            b"content-type: application/json\r\nX-Request-ID: a-1\r\nConnection: Close\r\n"
            b"Authorization:Bearer k\r\ntraceparent:\t00-1\r\nX-Api-Key: s \r\nAccept: */*"
        )
    )

    assert head is not None
    assert (head.length, head.content_type, head.keeps_alive) == (12, "application/json", False)
    assert (head.request_id, head.trace_parent) == ("a-1", "00-1")
    assert (head.authorization, head.api_key) == ("Bearer k", "s")


def test_headers_that_are_not_there_are_empty() -> None:
    head = parse_head(PLAIN)

    assert head is not None
    assert (head.content_type, head.request_id, head.authorization) == ("", "", "")
    assert head.keeps_alive


@pytest.mark.parametrize(
    "head",
    [
        PLAIN.replace(b"POST", b"GET"),
        PLAIN.replace(b"1.1", b"1.0"),
        PLAIN.replace(b"/invocations", b"/invocations?x=1"),
        PLAIN.replace(b"Host: x\r\n", b""),
        b"POST /invocations HTTP/1.1\r\nHost: x",
        PLAIN.replace(b"12", b"-1"),
        PLAIN.replace(b"12", b"+1"),
        PLAIN.replace(b"12", b"1 2"),
        PLAIN.replace(b"12", b"1,2"),
        PLAIN.replace(b"12", b"1234567890"),
        PLAIN.replace(b"12", b""),
        with_header(b"Content-Length: 12"),
        with_header(b"Transfer-Encoding: chunked"),
        with_header(b"transfer-encoding : chunked"),
        with_header(b"Content-Encoding: gzip"),
        with_header(b"Expect: 100-continue"),
        with_header(b"Connection: upgrade"),
        with_header(b"X-A: b\nTransfer-Encoding: chunked"),
        with_header(b"X-A: b\rc"),
        with_header(b"X-A: \x00"),
        with_header(b"X-A: \xc3\xa9"),
        with_header(b" folded: x"),
        with_header(b"no colon"),
        with_header(b": no name"),
        b"",
    ],
)
def test_another_head_is_not_judged(head: bytes) -> None:
    assert parse_head(head) is None


@given(st.binary(max_size=200))
def test_any_bytes_after_a_plain_head_are_survived(more: bytes) -> None:
    parse_head(PLAIN + more)
    parse_head(more)


def test_the_cache_keeps_heads_that_repeat_and_stays_small() -> None:
    cache = HeadCache()

    first = cache.parse(PLAIN)

    assert cache.parse(bytes(PLAIN)) is first
    one = cache.parse(with_header(b"X-Request-Id: 1"))
    assert cache.parse(with_header(b"X-Request-Id: 1")) is not one
    for number in range(HeadCache.ENTRIES_MAX + 10):
        assert cache.parse(with_header(b"X-A: %d" % number)) is not None
    assert len(cache._heads) <= HeadCache.ENTRIES_MAX
