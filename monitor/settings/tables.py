"""The tables of ``kedge.toml``, a frozen dataclass each.

A setting is added by adding a field: its type is its grammar (:mod:`monitor.settings.loader`),
the text below it its documentation. Attributes end in their unit (``retention_s``); their keys
do not (``retention = "30d"``), because the value says it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

from collectors.registry.answers import TIMEOUT_S
from monitor.settings.keys import DURATION, SIZE, Holds, Reads, between, one_of
from monitor.settings.kinds import STEPS, StepSettings, column_metrics
from monitor.settings.quantities import (
    EventSpan,
    Span,
    TimeSpan,
    parse_span,
)
from monitor.settings.secret import Secret
from rollback.lease_settings import LeaseSettings
from rollback.policy import Mode, Policy

Text: TypeAlias = Annotated[str, Holds("a text that is not empty", lambda text: bool(text.strip()))]
Positive: TypeAlias = Annotated[int, Holds("a whole number above 0", lambda number: number > 0)]
PositiveDuration: TypeAlias = Annotated[
    float, DURATION, Holds("a duration above 0s", lambda seconds: seconds > 0)
]
PositiveSize: TypeAlias = Annotated[int, SIZE, Holds("a size above 0B", lambda size: size > 0)]
SpanText: TypeAlias = Annotated[
    Span, Reads('a duration such as "5m", or a number of events such as "1000 events"', parse_span)
]


def split_listen(listen: str) -> tuple[str, int]:
    """Split ``HOST:PORT``, ``[IPv6]:PORT`` or ``:PORT`` (every interface).

    Raises
    ------
    ValueError
        It is neither.

    Examples
    --------
    >>> split_listen("127.0.0.1:9464"), split_listen("[::1]:80"), split_listen(":80")
    (('127.0.0.1', 9464), ('::1', 80), ('0.0.0.0', 80))
    """
    host, colon, port = listen.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > _PORT_MAX:
        raise ValueError
    if ":" in host and not bracketed:
        raise ValueError
    return (host[1:-1] if bracketed else host) or _EVERY_INTERFACE, int(port)


_DATABASES = frozenset({"sqlite", "postgres", "postgresql", "postgresql+psycopg"})
_PORT_MAX = 65_535
_EVERY_INTERFACE = "0.0.0.0"  # noqa: S104 - only where the operator wrote no host


def _listen(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004 - what `Reads` asks for
    split_listen(value)
    return value


def _listen_if_any(value: object) -> str:
    return "" if value == "" else _listen(value)


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """``[model]``: which model is watched, and the registry that says what serves."""

    name: Text
    """The registered model. Events that name another one are rejected."""

    alias: Text = "champion"
    """The alias of the version that serves now. MLflow's documentation calls it so, too."""

    tracking_uri: str = ""
    """Address of the MLflow server, ``http://`` or ``https://``. Empty: no registry is asked;
    every version is told from the events, and nothing can be rolled back."""

    token: Secret | None = None
    """Bearer token for the registry; wins over user name and password."""

    username: str = ""
    """User name for the registry (basic authentication); empty for none."""

    password: Secret | None = None
    """Password for the registry."""

    def __post_init__(self) -> None:
        """Refuse an address that is not one, and half a login."""
        if self.tracking_uri and not self.tracking_uri.startswith(("http://", "https://")):
            raise ValueError(
                "tracking_uri: expected an address that begins with http:// or https://"
            )
        if self.password is not None and not self.username:
            raise ValueError("username: is required where a password is given")


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """``[windows]``: how traffic is cut before it is measured."""

    length: SpanText = field(default=TimeSpan(300.0))
    """Length of a window: event time, or a number of events (``"1000 events"``). Five minutes
    hold some hundred requests of a modest service, and are soon enough to act upon."""

    slide: SpanText | None = None
    """How far the next window begins behind this one; as long as the window by default, so
    that no event counts twice. `length` is a whole multiple of it."""

    min_events: Positive = 300
    """A window with fewer events gives the verdict unknown. Below 300 the bounds of PSI and KS
    are wider than any drift worth acting upon."""

    lateness_s: float = 30.0
    """How long a window waits for events that come late, in event time; later ones are counted
    as late, and in no window."""

    ahead_max_s: PositiveDuration = 300.0
    """An event further in the future than this (by the wall clock) is counted as of now: one
    wrong clock must not close every window."""

    idle_s: PositiveDuration = 10.0
    """After so long without a new line, event time goes on by the clock, and windows close."""

    def __post_init__(self) -> None:
        """Refuse a length that its slide does not divide."""
        if self.slide is None:
            return
        if type(self.slide) is not type(self.length):
            raise ValueError(f'slide: "{self.slide}" and length "{self.length}" differ in kind')
        whole, part = _ticks(self.length), _ticks(self.slide)
        if whole % part:
            raise ValueError(
                f'slide: length "{self.length}" is not a whole multiple of "{self.slide}"'
            )


def _ticks(span: Span) -> int:
    return span.events if isinstance(span, EventSpan) else round(span.seconds * 1000)


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """``[detectors]``: how sure a measurement is to be."""

    confidence: Annotated[float, between(0.5, 0.999999)] = 0.99
    """Confidence that `low` and `high` hold. Rules compare the bound, so at 0.99 a single quiet
    window breaches at most once in a hundred."""

    psi_bins: Annotated[int, between(2, 100)] = 10
    """Bins of PSI for a number column, cut at quantiles of the reference. Ten is the custom that
    the thresholds 0.1 and 0.25 come from."""

    metrics: tuple[Annotated[str, one_of("metric of columns", column_metrics)], ...] = (
        "psi",
        "ks",
        "missing_ratio",
        "invalid_ratio",
        "new_category_ratio",
    )
    """What is measured of each column that it applies to, and kept. What a rule names is measured
    besides. Each costs from 10 microseconds to 3 ms a column and window of the grid of 20,000
    points, and a row of the store."""

    joint: bool = True
    """Whether correlations of number columns are counted, for `correlation_shift` and for rules of
    drift: in each row up to 64 columns are looked up, and their products summed."""


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """``[labels]``: how labels join their predictions, and what is measured of the pairs."""

    join: bool = False
    """Whether labels are expected. Off: every prediction that may get one is a row written to the
    store, which costs more than all the rest of the counting."""

    ttl_s: PositiveDuration = 7 * 86_400.0
    """How long a prediction waits for its label, and a label that came first for its prediction,
    in event time. Labels that come later than this never meet theirs, and are counted."""

    pending_max: Positive = 1_000_000
    """Predictions, labels and pairs kept in the store at most, 150 bytes each or so. Beyond it
    pairs give way first (they are kept for corrections only), then the oldest."""

    task: Literal["auto", "classes", "probability", "quantity"] = "auto"
    """What is predicted. ``auto`` is decided by the first window with `min_events` labels: whole
    numbers and texts are classes; numbers in [0, 1] with labels 0 and 1, or false and true, a
    probability; other numbers a quantity."""

    positive: str = ""
    """The class that precision and recall are of, and whose probability is predicted; by default
    the larger of two. More than two classes are averaged where this is empty."""

    threshold: Annotated[float, between(0.0, 1.0)] = 0.5
    """A probability of at least this predicts the positive class."""


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """``[store]``: where results and read positions are kept, in one transaction."""

    url: str = "sqlite:///kedge.db"
    """``sqlite:///FILE``; a relative file stands in the folder of the configuration. Or
    ``postgresql://USER@HOST/DATABASE``, which needs ``kedge[postgres]``; take the password from
    ``${NAME}``, ``PGPASSWORD`` or ``~/.pgpass``."""

    retention_s: PositiveDuration = 30 * 86_400.0
    """So long after they were written, windows and their measurements become hours of them, and
    incidents are deleted; the journal of rollbacks is kept."""

    retention_hourly_s: PositiveDuration = 365 * 86_400.0
    """Hours are deleted so long after the last of their windows was written. A year shows the
    same season; 100 columns of five metrics take about 0.5 GB of it."""

    commit_interval_s: PositiveDuration = 1.0
    """Read lines are committed at least this often. A restart reads again what came after."""

    def __post_init__(self) -> None:
        """Refuse what the store does not speak, and hours that go before their windows."""
        scheme, separator, rest = self.url.partition("://")
        file = rest.startswith("/") and rest != "/"
        if not separator or scheme not in _DATABASES or (scheme == "sqlite" and not file):
            raise ValueError('url: expected "sqlite:///FILE" or "postgresql://USER@HOST/DATABASE"')
        if self.retention_hourly_s < self.retention_s:
            raise ValueError("retention_hourly_s: expected at least retention")


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """``[http]``: the status page, the metrics and the API."""

    listen: Annotated[str, Reads('an address such as "127.0.0.1:9464"', _listen)] = "127.0.0.1:9464"
    """Where to listen: ``HOST:PORT``. Loopback by default, because the pages show data; without
    a host, on every interface. Port 0 takes a free one."""

    ingest_listen: Annotated[str, Reads("an address, or nothing", _listen_if_any)] = ""
    """Where to take events (``POST`` of predictions, labels and CloudEvents) instead, so that a
    network policy can tell who sends from who reads. By default where all else is answered."""

    token: Secret | None = None
    """Bearer token of calls that change state. Without one they all answer 403."""

    max_body_bytes: PositiveSize = field(default=16 * 2**20, metadata={"key": "max_body"})
    """Largest request body."""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on."""
        return split_listen(self.listen)

    @property
    def ingest_address(self) -> tuple[str, int] | None:
        """Host and port to take events at; None where that is the address of all else."""
        return split_listen(self.ingest_listen) if self.ingest_listen else None


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """``[limits]``: what the data may cost at most. Every limit has a counter in ``/metrics``."""

    columns_max: Positive = field(default=500, metadata={"key": "max_columns"})
    """Columns with metrics of their own; the rest fold into ``other``."""

    versions_max: Positive = field(default=20, metadata={"key": "max_versions"})
    """Versions with windows and metrics of their own; the rest fold into ``other``."""

    segments_max: Positive = field(default=20, metadata={"key": "max_segments"})
    """Values of one key of ``[segments]`` with windows of their own; the rest fold into
    ``other``."""

    quarantine_bytes: int = 10 * 2**20
    """Size of the file that keeps lines which could not be used; it is then begun anew."""

    quarantine_path: str = ""
    """That file; by default ``quarantine.jsonl`` beside the store."""


@dataclass(frozen=True, slots=True)
class RollbackSettings:
    """``[rollback]``: what may be done about a breach. As it comes, nothing is."""

    policy: Policy = field(default_factory=Policy, metadata={"flat": True})
    """Mode, target and limits."""

    steps: Annotated[tuple[StepSettings, ...], STEPS] = ()
    """What is moved back, in order: ``[[rollback.steps]]`` tables."""

    lease: LeaseSettings = field(default_factory=LeaseSettings)
    """Which of several acts: ``[rollback.lease]``."""

    def __post_init__(self) -> None:
        """Refuse to act without anything to do, and calls that outlast the lease."""
        self._check_lease()
        if self.policy.mode == "act" and not self.steps:
            raise ValueError('steps: mode "act" needs at least one [[rollback.steps]] table')

    def _check_lease(self) -> None:
        if self.lease.kind == "off":
            return
        longest_s = self.lease.times.call_max_s
        clusters = [getattr(step.settings, "cluster", None) for step in self.steps]
        limits = [TIMEOUT_S, *(cluster.timeout_s for cluster in clusters if cluster)]
        # A command is ended with the lease; a call that was sent is not.
        limits += [s.settings.timeout_s for s in self.steps if s.type == "webhook"]
        if max(limits) >= longest_s:
            raise ValueError(
                f"lease: a call that takes up to {max(limits):g} s would never begin, because "
                f"only those below {longest_s:g} s surely end within the lease; make its "
                "duration longer, or the timeout of the steps shorter"
            )

    @property
    def mode(self) -> Mode:
        """``observe``, ``dry-run`` or ``act``."""
        return self.policy.mode
