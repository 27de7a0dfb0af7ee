"""The one kind of HTTP request that matters for speed, read strictly. Pure.

`parse_head` knows ``POST /invocations`` with a Content-Length, as every client library sends it.
It does not judge the rest: for anything it does not know (chunks, compression, ``Expect``, a
header given twice, a byte that does not belong there) it returns None, and the connection goes
to aiohttp, which knows all of HTTP and refuses what is malformed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

REQUEST_LINE: Final = b"POST /invocations HTTP/1.1"
#: A longer head is aiohttp's to refuse.
HEAD_BYTES_MAX: Final = 8 * 1024
_LENGTH_DIGITS_MAX: Final = 9

_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: No control characters, and nothing whose decoding is anybody's guess.
_VALUE: Final = re.compile(rb"[\t\x20-\x7e]*")
_DIGITS: Final = re.compile(rb"[0-9]+")
#: What makes a request another kind of request.
_NOT_PLAIN: Final = frozenset(
    (b"transfer-encoding", b"content-encoding", b"expect", b"upgrade", b"te", b"trailer")
)
_KNOWN: Final = frozenset(
    (
        *(b"host", b"content-length", b"content-type", b"connection", b"authorization"),
        *(b"x-api-key", b"x-request-id", b"traceparent"),
    )
)


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a plain request; headers that it does not have are empty."""

    length: int
    content_type: str
    keeps_alive: bool
    request_id: str
    trace_parent: str
    authorization: str
    api_key: str

    @property
    def v2(self) -> bool:
        """Plain requests are of MLflow's protocol."""
        return False

    @property
    def repeats(self) -> bool:
        """Whether the next request may well have the same head, byte for byte."""
        return not self.request_id and not self.trace_parent


def parse_head(head: bytes) -> Head | None:
    r"""Return what a request's head says; None if it is not one of the plain kind.

    Parameters
    ----------
    head
        All lines up to the empty one, without it.

    Examples
    --------
    >>> parse_head(b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 2").length
    2
    >>> parse_head(b"GET /ping HTTP/1.1\r\nHost: x") is None
    True
    """
    request, *lines = head.split(b"\r\n")
    if request != REQUEST_LINE:
        return None
    known: dict[bytes, str] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            return None
        name = name.lower()
        if name in _NOT_PLAIN or name in known:
            return None
        if name in _KNOWN:
            known[name] = value.strip(b" \t").decode("ascii")
    return _head(known)


def _head(known: Mapping[bytes, str]) -> Head | None:
    length = known.get(b"content-length", "")
    if b"host" not in known or len(length) > _LENGTH_DIGITS_MAX:
        return None
    if not _DIGITS.fullmatch(length.encode()):
        return None
    connection = known.get(b"connection", "").lower()
    if connection not in ("", "keep-alive", "close"):
        return None
    return Head(
        length=int(length),
        content_type=known.get(b"content-type", ""),
        keeps_alive=connection != "close",
        request_id=known.get(b"x-request-id", ""),
        trace_parent=known.get(b"traceparent", ""),
        authorization=known.get(b"authorization", ""),
        api_key=known.get(b"x-api-key", ""),
    )


class HeadCache:
    """Heads that were parsed: a client that keeps its connection repeats its own."""

    #: Heads kept; then it begins anew, which costs no more than parsing did.
    ENTRIES_MAX: Final = 1024

    def __init__(self) -> None:
        self._heads: dict[bytes, Head] = {}

    def parse(self, head: bytes) -> Head | None:
        """Return what `parse_head` does."""
        parsed = self._heads.get(head)
        if parsed is None:
            parsed = parse_head(head)
            if parsed is not None and parsed.repeats:
                if len(self._heads) >= self.ENTRIES_MAX:
                    self._heads.clear()
                self._heads[head] = parsed
        return parsed
