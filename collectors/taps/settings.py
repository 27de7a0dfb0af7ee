"""The settings of taps on live traffic: the proxy, and the mirror's receiving end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from collectors.formats.options import FormatOptions

if TYPE_CHECKING:
    from collectors.source import Source

#: What scoring requests are posted to: MLflow, the Open Inference Protocol, KServe's first
#: protocol, Seldon, and what hand-written servers mostly choose.
SCORING_PATHS = (
    "/invocations",
    "/v2/models/*/infer",
    "/v1/models/*:predict",
    "/api/v1.0/predictions",
    "/predict",
)
_PORT_MAX = 65_535
_EVERY_INTERFACE = "0.0.0.0"  # noqa: S104 - only where the operator wrote no host
#: A spool holds at least so many of the longest records.
RECORDS_MIN = 16


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """A reverse proxy in front of the model server: it passes requests on, and records them."""

    listen: str
    """Where callers connect: ``HOST:PORT``; without a host, on every interface. Plain HTTP: what
    ends TLS stands before it."""

    upstream: str
    """The model server: ``http://HOST:PORT`` or ``https://…``, with a path to put before those of
    requests if there is one."""

    paths: tuple[str, ...] = SCORING_PATHS
    """Which requests are recorded: POSTs to these paths, ``*`` for anything. All others are
    passed on unseen."""

    path: str = ""
    """Folder of the spool, which belongs to this source alone; by default ``spool/NAME`` beside
    the store. On a disk of this machine."""

    format: str = "mlflow"
    """How bodies are read. ``mlflow`` tells by content between MLflow's shapes, the Open
    Inference Protocol, KServe's ``instances`` and Seldon's ``data``; ``v2`` takes tensors only."""

    max_bytes: int = field(default=256 << 20, metadata={"key": "bytes_max"})
    """Size of the spool. When Kedge cannot keep up and it is full, the oldest records are dropped
    and counted as shed. Requests are passed on all the same."""

    max_event_bytes: int = 1 << 20
    """Longest request with its answer that is recorded. Longer ones are passed on as a stream,
    counted, and recorded with their status and latency alone."""

    timeout_s: float = 60.0
    """How long the model server may send nothing before the caller gets a 504, and how long a
    caller may take for a request. As of MLflow's scoring server."""

    connect_timeout_s: float = 5.0
    """How long a connection to the model server may take to open before the caller gets a 502."""

    idle_s: float = 60.0
    """How long a caller's connection is kept open without a whole request head."""

    connections_max: int = 1_000
    """Connections of callers at a time; further ones are refused, and counted."""

    version_header: str = "X-Kedge-Version"
    """Header of answers that names the version of the model; Kedge's scoring server sends this
    one. Without it `version` counts."""

    decoding: FormatOptions = field(default_factory=FormatOptions, metadata={"flat": True})
    """How bodies are read."""

    def __post_init__(self) -> None:
        """Refuse addresses that are none, and limits that cannot be kept."""
        faults = [
            *_listen_faults(self.listen),
            *_upstream_faults(self.upstream),
            *spool_faults(self.max_bytes, self.max_event_bytes),
            *(
                f"{name}: expected a duration above 0s"
                for name in ("timeout_s", "connect_timeout_s", "idle_s")
                if getattr(self, name) <= 0
            ),
        ]
        if self.connections_max < 1:
            faults.append(f"connections_max: expected at least 1, got {self.connections_max}")
        if faults:
            raise ValueError("\n".join(faults))

    def build(self, name: str) -> Source:
        """Return the source; its proxy starts when it is restored."""
        from collectors.taps.source import TapSource  # noqa: PLC0415 - it starts processes

        return TapSource(name, "proxy", self)


@dataclass(frozen=True, slots=True)
class MirrorSettings:
    """The receiving end of a mirror: takes copies of requests, and joins the access log."""

    listen: str
    """Where copies are sent: ``HOST:PORT``; without a host, on every interface. Plain HTTP."""

    access_log_path: str = field(default="", metadata={"key": "access_log", "pattern": True})
    """Access log of what mirrors (NGINX or Envoy, as JSON, with ``request_id``): a mirror copies
    requests only, and the log says how each ended. Path or pattern, followed as of type "tail",
    from its end on. Without it status and latency are unknown."""

    paths: tuple[str, ...] = SCORING_PATHS
    """Which copies are recorded: POSTs to these paths, ``*`` for anything."""

    path: str = ""
    """Folder of the spool, which belongs to this source alone; by default ``spool/NAME`` beside
    the store. On a disk of this machine."""

    max_bytes: int = field(default=256 << 20, metadata={"key": "bytes_max"})
    """Size of the spool. When Kedge cannot keep up and it is full, the oldest records are dropped
    and counted as shed."""

    max_event_bytes: int = 1 << 20
    """Longest request that is recorded; of longer ones it is counted that they came."""

    timeout_s: float = 10.0
    """How long a copy may take to come; then it is forgotten."""

    idle_s: float = 60.0
    """How long a connection is kept open without a whole request head."""

    connections_max: int = 1_000
    """Connections at a time; further ones are refused, and counted."""

    decoding: FormatOptions = field(default_factory=FormatOptions, metadata={"flat": True})
    """How bodies are read."""

    format: str = field(default="mirrored", metadata={"no_key": True})
    """How lines are told apart: not for the configuration."""

    def __post_init__(self) -> None:
        """Refuse addresses that are none, and limits that cannot be kept."""
        faults = [
            *_listen_faults(self.listen),
            *spool_faults(self.max_bytes, self.max_event_bytes),
            *(
                f"{name}: expected a duration above 0s"
                for name in ("timeout_s", "idle_s")
                if getattr(self, name) <= 0
            ),
        ]
        if self.connections_max < 1:
            faults.append(f"connections_max: expected at least 1, got {self.connections_max}")
        if faults:
            raise ValueError("\n".join(faults))

    def build(self, name: str) -> Source:
        """Return the source; its process starts when it is restored."""
        from collectors.taps.mirror_source import MirrorSource  # noqa: PLC0415 - it starts processes
        from collectors.taps.source import TapSource  # noqa: PLC0415 - as above

        if self.access_log_path:
            return MirrorSource(name, self)
        return TapSource(name, "mirror", self)


@dataclass(frozen=True, slots=True)
class CloudEventsSettings:
    """The receiving end of payload loggers: KServe's, Seldon's, or a broker behind one."""

    listen: str
    """Where events are posted, to any path: ``HOST:PORT``; without a host, on every interface.
    Plain HTTP, and nobody is asked for a token: payload loggers have none to give."""

    path: str = ""
    """Folder of the spool, which belongs to this source alone; by default ``spool/NAME`` beside
    the store. On a disk of this machine."""

    format: str = "cloudevents"
    """Whose events they are: ``kserve``, ``seldon``, or ``cloudevents`` for either."""

    max_bytes: int = field(default=256 << 20, metadata={"key": "bytes_max"})
    """Size of the spool. When Kedge cannot keep up and it is full, the oldest events are dropped
    and counted as shed."""

    max_event_bytes: int = 1 << 20
    """Longest event that is taken."""

    timeout_s: float = 10.0
    """How long a request may take to come; then it is answered 408."""

    idle_s: float = 60.0
    """How long a connection is kept open without a whole request head."""

    connections_max: int = 1_000
    """Connections at a time; further ones are refused, and counted."""

    decoding: FormatOptions = field(default_factory=FormatOptions, metadata={"flat": True})
    """How bodies are read."""

    def __post_init__(self) -> None:
        """Refuse addresses that are none, and limits that cannot be kept."""
        faults = [
            *_listen_faults(self.listen),
            *spool_faults(self.max_bytes, self.max_event_bytes),
            *(
                f"{name}: expected a duration above 0s"
                for name in ("timeout_s", "idle_s")
                if getattr(self, name) <= 0
            ),
        ]
        if self.connections_max < 1:
            faults.append(f"connections_max: expected at least 1, got {self.connections_max}")
        if self.format not in ("cloudevents", "kserve", "seldon"):
            faults.append(f'format: expected cloudevents, kserve or seldon, got "{self.format}"')
        if faults:
            raise ValueError("\n".join(faults))

    def build(self, name: str) -> Source:
        """Return the source; its process starts when it is restored."""
        from collectors.taps.source import TapSource  # noqa: PLC0415 - it starts processes

        return TapSource(name, "listener for CloudEvents", self)


#: Of a tap of any kind.
TapSettings: TypeAlias = ProxySettings | MirrorSettings | CloudEventsSettings


def split_address(listen: str) -> tuple[str, int]:
    """Split ``HOST:PORT``, ``[IPv6]:PORT`` or ``:PORT`` (every interface).

    Raises
    ------
    ValueError
        It is neither.

    Examples
    --------
    >>> split_address("127.0.0.1:8080"), split_address(":80")
    (('127.0.0.1', 8080), ('0.0.0.0', 80))
    """
    host, colon, port = listen.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > _PORT_MAX:
        raise ValueError
    if ":" in host and not bracketed:
        raise ValueError
    return (host[1:-1] if bracketed else host) or _EVERY_INTERFACE, int(port)


def spool_faults(bytes_max: int, event_bytes_max: int) -> list[str]:
    """Say what is wrong with the size of a spool."""
    if event_bytes_max < 1:
        return [f"max_event_bytes: expected at least 1, got {event_bytes_max}"]
    least = RECORDS_MIN * event_bytes_max
    if bytes_max >= least:
        return []
    expected = f"at least {RECORDS_MIN} times max_event_bytes ({least})"
    return [f"max_bytes: expected {expected}, got {bytes_max}"]


def _listen_faults(listen: str) -> list[str]:
    try:
        split_address(listen)
    except ValueError:
        return [f'listen: expected an address such as "127.0.0.1:8080", got "{listen}"']
    return []


def _upstream_faults(upstream: str) -> list[str]:
    try:
        parts = urlsplit(upstream)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    else:
        fits = fits and not (parts.query or parts.fragment or parts.username)
    return (
        []
        if fits
        else [f'upstream: expected an address such as "http://127.0.0.1:5000", got "{upstream}"']
    )
