"""Headers on their way through a proxy (RFC 9110, section 7.6)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from multidict import CIMultiDict, CIMultiDictProxy

_HOP_BY_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization"),
        *("proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
    }
)
#: An id that fits a log and a header anywhere; others are replaced.
_ID = re.compile(r"[\x21-\x7e]{1,128}")


def passed_on(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """Return the headers without those that are meant for the next hop only.

    Examples
    --------
    >>> given = CIMultiDict({"Connection": "keep-alive, X-Hop", "X-Hop": "1", "Accept": "*/*"})
    >>> dict(passed_on(CIMultiDictProxy(given)))
    {'Accept': '*/*'}
    """
    cut = _HOP_BY_HOP
    if "Connection" in headers:
        values = ",".join(headers.getall("Connection"))
        cut = cut | {name.strip().lower() for name in values.split(",")}
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in cut)


def request_id(headers: Mapping[str, str]) -> str:
    """Return the id that a request carries, or a new one of 32 hexadecimal digits."""
    given = headers.get("X-Request-Id", "")
    return given if _ID.fullmatch(given) else os.urandom(16).hex()


def forwarded(headers: CIMultiDictProxy[str], *, id_: str, remote: str | None) -> CIMultiDict[str]:
    """Return a request's headers for the server behind: with its id, and who asked."""
    found = passed_on(headers)
    found.popall("Expect", None)  # answered here
    found["X-Request-Id"] = id_
    if remote:
        before = ", ".join(headers.getall("X-Forwarded-For", ()))
        found["X-Forwarded-For"] = f"{before}, {remote}" if before else remote
    found.setdefault("X-Forwarded-Proto", "http")
    if "Host" in found:
        found.setdefault("X-Forwarded-Host", found["Host"])
    return found
