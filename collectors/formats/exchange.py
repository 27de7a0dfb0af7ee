"""What a line of a log says, whatever its format: one request, its answer, or half of the two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from collectors.batch import STATUS_UNKNOWN, LatencyKind, Role
from collectors.formats.event_vectors import is_long_vector

Half: TypeAlias = Literal["request", "response"]

#: Levels of objects and arrays within a value that become columns of their own.
LEVELS_MAX = 3
#: Columns that one value of a row makes at most, so that an image is no thousand columns.
PARTS_MAX = 1_000


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One request of one or more rows, with its answer as far as it is known.

    Parameters
    ----------
    ts
        When the request came: seconds since the epoch, a text of ISO 8601, or a datetime; one
        without a zone is in the zone of the source's settings. None where the line has no time.
    id
        The request's id. Rows of a request with several get ``<id>#0``, ``<id>#1`` and so on.
    features
        A mapping of names to values for each row; None where the line holds none. Objects and
        arrays within become ``<name>.<key>`` and ``<name>.<index>``, but an array of 128 numbers
        or more is one vector.
    predictions
        A value for each row: a scalar, an object or an array of scalars.
    labels
        The truth for each row, where it is known by then. With neither features nor predictions
        they are labels of the earlier request of this `id`, known since `ts`.
    version
        What answered; None where the line does not say.
    latency_ms
        Time to answer, milliseconds; None where the line does not say.
    latency_kind
        What that spans: the ``model`` alone, its ``server``, or all the ``client`` waited for.
    status
        HTTP status. None means that it is not known, and then no error ratio is told: a log
        that holds successes only must not look like a service without errors.
    sampling
        Share of the traffic that is logged.
    role
        ``shadow`` for answers that nobody was given.
    half
        Set where the line holds only one side, to be joined with the other by `joins_on`. `ts` of
        a ``response`` is when it was given.
    joins_on
        What both halves carry; `id` by default.
    params
        The request's parameters beside its rows, as MLflow's ``params``; None without any.
    timed
        Whether both halves have times fine enough that their difference is the latency.

    Examples
    --------
    >>> one = Exchange(ts=0.0, id="a", features=[{"age": 41}, {"age": 23}], predictions=[0.8, 0.1])
    >>> one.rows, one.row_id(1)
    (2, 'a#1')
    """

    ts: Any = None
    id: str | None = None
    features: Sequence[Mapping[str, Any]] | None = None
    predictions: Sequence[Any] | None = None
    labels: Sequence[Any] | None = None
    version: str | None = None
    latency_ms: float | None = None
    latency_kind: LatencyKind = "server"
    status: int | None = None
    sampling: float | None = None
    role: Role = "live"
    half: Half | None = None
    joins_on: str | None = None
    params: Mapping[str, Any] | None = None
    timed: bool = False

    @property
    def is_bare(self) -> bool:
        """Whether it tells of a request and nothing of what was in it: an access log's line."""
        return self.features is None and self.predictions is None and self.labels is None

    @property
    def is_label(self) -> bool:
        """Whether it tells nothing but the truth of an earlier request."""
        return self.features is None and self.predictions is None and self.labels is not None

    @property
    def rows(self) -> int:
        """Rows of the request; a bare one counts once."""
        if self.is_bare:
            return 1
        parts = (self.features, self.predictions, self.labels)
        return len(next(part for part in parts if part is not None))

    def row_id(self, row: int) -> str | None:
        """Id of a row: the request's own if it has only one."""
        return self.id if self.id is None or self.rows == 1 else f"{self.id}#{row}"

    def row_status(self, row: int) -> int:
        """Status that a row carries: the first one the request's, the others none."""
        if row:
            return 0
        return STATUS_UNKNOWN if self.status is None else self.status


def together(request: Exchange, response: Exchange) -> Exchange:
    """Join the two halves of a request, whose times are seconds.

    Examples
    --------
    >>> asked = Exchange(ts=1.0, id="a", features=[{"age": 41}], half="request")
    >>> answered = Exchange(ts=1.25, id="a", predictions=[0.8], half="response", timed=True)
    >>> whole = together(asked, answered)
    >>> whole.ts, whole.features, whole.predictions, whole.latency_ms
    (1.0, [{'age': 41}], [0.8], 250.0)
    """
    latency_ms = response.latency_ms if response.latency_ms is not None else request.latency_ms
    if (
        latency_ms is None
        and response.timed
        and isinstance(request.ts, float)
        and isinstance(response.ts, float)
    ):
        latency_ms = round((response.ts - request.ts) * 1000, 3)  # what a float of today holds
    return Exchange(
        ts=request.ts,
        id=request.id if request.id is not None else response.id,
        features=request.features,
        predictions=response.predictions,
        labels=response.labels or request.labels,
        version=response.version if response.version is not None else request.version,
        latency_ms=latency_ms,
        latency_kind=response.latency_kind,
        status=response.status if response.status is not None else request.status,
        sampling=request.sampling if request.sampling is not None else response.sampling,
        role=response.role,
        params=request.params,
    )


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row whose nested values became values of their own; long vectors stay whole.

    Deeper than `LEVELS_MAX`, and past `PARTS_MAX`, they stay as they are: of a wrong type.

    Examples
    --------
    >>> flat({"age": 41, "home": {"zip": "10115", "at": [52.5, 13.4]}})
    {'age': 41, 'home.zip': '10115', 'home.at.0': 52.5, 'home.at.1': 13.4}
    """
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict | list | tuple):
            _flatten(name, value, found, LEVELS_MAX)
        else:
            found[name] = value
    return found


def _flatten(name: str, value: Any, found: dict[str, Any], levels: int) -> None:  # noqa: ANN401 - JSON
    if is_long_vector(value):
        found[name] = [*value]
        return
    if not isinstance(value, dict | list | tuple) or not levels or len(value) > PARTS_MAX:
        found[name] = value
        return
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in parts:
        _flatten(f"{name}.{key}", part, found, levels - 1)
