"""What a configuration can say about how lines are read, whatever source they come from."""

from __future__ import annotations

import zoneinfo
from dataclasses import dataclass, field

#: How long half of an event waits for the other: far longer than an answer takes, and not so long
#: that windows, which stay open for what waits, close noticeably later.
JOIN_S = 20.0


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """What the columns of a table are called: of CSV and Parquet, and of values without names.

    A name that is not given is looked for under what it is usually called.
    """

    ts: str = ""
    """Column with the time. Otherwise the first of ``ts``, ``timestamp``, ``time``,
    ``event_time``, ``prediction_ts``."""

    id: str = ""
    """Column with the id of the request. Otherwise ``id``, ``request_id``, ``prediction_id``."""

    prediction: str = ""
    """Column with what the model answered; of an answer with several outputs, the one to take.
    Otherwise ``prediction``; of several outputs, all, as ``prediction.<name>``."""

    version: str = ""
    """Column with the version of the model. Otherwise ``version``, ``model_version``."""

    latency_ms: str = ""
    """Column with the time to answer, in milliseconds. Otherwise ``latency_ms``."""

    status: str = ""
    """Column with the HTTP status. Otherwise ``status``, ``status_code``."""

    label: str = ""
    """Column with the truth. Otherwise ``label``, ``target``."""

    features: tuple[str, ...] = ()
    """Names for features that come without any, in order: of a CSV without a header, of
    ``instances`` that are arrays, of a tensor of several columns. Otherwise ``0``, ``1``, …"""


@dataclass(frozen=True, slots=True)
class FormatOptions:
    """How the lines of a source are read."""

    timezone: str = ""
    """Zone of times that carry none, such as ``UTC`` or ``Europe/Berlin``. Without it such
    lines are rejected, because an hour off moves every event to another window. An hour that
    the end of summer time repeats is taken as its first."""

    version: str = ""
    """Version of rows whose lines name none; ``unknown`` otherwise. Not for Kedge's own format."""

    service: str = ""
    """Only lines of this service (KServe and Seldon: the InferenceService's name). Empty takes
    all: several services that log to one place would be mixed."""

    component: str = ""
    """Only lines of this part of a service (KServe: ``predictor``, ``transformer``; Seldon: the
    node of the graph), because each part logs the same request. Empty takes KServe's predictor
    and every node of Seldon."""

    join_s: float = JOIN_S
    """How long half of an event (its features, or its prediction) waits for the other half, in
    event time. Then it counts alone. Windows stay open for what waits."""

    columns: ColumnNames = field(default_factory=ColumnNames)
    """What the columns are called."""

    def __post_init__(self) -> None:
        """Refuse a zone that this machine does not know, and a wait that is none."""
        if self.join_s <= 0:
            raise ValueError(f"join_s: expected a duration above 0s, got {self.join_s:g}s")
        try:
            if self.timezone:
                zoneinfo.ZoneInfo(self.timezone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f'timezone: expected a zone such as "UTC" or "Europe/Berlin", got "{self.timezone}"'
            ) from error
