"""What a tap saw of one request, as a line that ``format = "mlflow"`` and ``"v2"`` read.

No header is recorded. Of an answer that tells of an error the bodies are left out, too: they
have no prediction, and may repeat the whole request.
"""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import dataclass
from typing import Final

import msgspec

_FAILED_STATUS_MIN: Final = 400
_WINDOW_BITS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes of a body, and what its headers say of them."""

    data: bytes
    type: str = ""
    encoding: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """One request.

    Parameters
    ----------
    kind
        Which tap saw it: ``proxy`` or ``mirror``.
    ts
        When it came, seconds since the epoch.
    id
        Its id; empty if it has none.
    request, response
        Bodies; None where there is none, or it was too long to be kept.
    status
        HTTP status; None where no answer was seen.
    latency_ms
        What the answer took, milliseconds.
    version
        What answered; empty if it does not say.
    large
        Whether a body was too long to be kept.
    joins
        Whether how it ended comes from elsewhere, under the same id.
    """

    kind: str
    ts: float
    id: str
    request: Body | None
    response: Body | None = None
    status: int | None = None
    latency_ms: float | None = None
    version: str = ""
    large: bool = False
    joins: bool = False

    @property
    def size(self) -> int:
        """Bytes that it takes while it waits, about."""
        return sum(len(body.data) for body in (self.request, self.response) if body) + 500


def line_of(seen: Seen, bytes_max: int, costs: Counter[str]) -> bytes:
    """Return the line, at most `bytes_max` of it; what was left out is added to `costs`."""
    line: dict[str, object] = {"tap": seen.kind, "ts": seen.ts}
    if seen.id:
        line["id"] = seen.id
    if seen.joins:
        line["half"] = "request"
    if seen.status is not None:
        line["status"] = seen.status
    if seen.latency_ms is not None:
        line["latency_ms"] = round(seen.latency_ms, 3)
    if seen.version:
        line["version"] = seen.version
    if seen.large:
        costs["large_tapped_bodies"] += 1
    elif (seen.status or 0) < _FAILED_STATUS_MIN:
        bodies = _bodies(seen, bytes_max)
        if bodies is None:
            costs["unreadable_tapped_bodies"] += 1
        else:
            whole = _encode({**line, **bodies})
            if len(whole) <= bytes_max:
                return whole
            costs["large_tapped_bodies"] += 1
    return _encode(line)


def _bodies(seen: Seen, bytes_max: int) -> dict[str, str] | None:
    """Return the bodies as text; None if one of them is none."""
    found: dict[str, str] = {}
    try:
        if seen.request is not None and seen.request.data:
            is_csv = seen.request.type.partition(";")[0].strip().lower() == "text/csv"
            found["csv" if is_csv else "body"] = _text(seen.request, bytes_max)
        if seen.response is not None and seen.response.data:
            found["response_body"] = _text(seen.response, bytes_max)
    except (ValueError, zlib.error):
        return None
    return found


def _text(body: Body, bytes_max: int) -> str:
    """Return a body as text; inflated, if it is compressed, up to what a line may have."""
    data = body.data
    if body.encoding and body.encoding != "identity":
        bits = _WINDOW_BITS.get(body.encoding)
        if bits is None:
            raise ValueError(body.encoding)
        inflating = zlib.decompressobj(bits)
        data = inflating.decompress(data, bytes_max)
        if not inflating.eof:
            raise ValueError(body.encoding)
    return data.decode()
