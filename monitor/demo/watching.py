"""What the demo learns of the daemon: through its HTTP API, as any other program would."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from monitor.demo.processes import DemoError
from monitor.judging.incidents import told_cause

CALL_TIMEOUT_S: Final = 5.0
#: Measurements that one poll asks for: far more than arrive between two polls.
MEASUREMENTS_MAX: Final = 100

#: States that a rollback does not leave.
ENDED: Final = frozenset({"RESOLVED", "REFUSED", "ESCALATED", "CONTESTED"})


class DaemonError(DemoError):
    """The daemon's API answered something else than 200."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One window's value of a metric, with its confidence bounds; None where it has none."""

    window_start: str
    window_end: str
    version: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    threshold: float | None
    verdict: str

    def describe(self) -> str:
        """Return the figures in a line.

        Examples
        --------
        >>> Measurement("", "", "2", 8.31, 7.9, 8.77, 500, 0.25, "breach").describe()
        '8.310, between 7.900 and 8.770, n = 500, threshold 0.250: breach'
        """
        bounds = f"between {_figure(self.low)} and {_figure(self.high)}"
        limit = f"threshold {_figure(self.threshold)}"
        return f"{_figure(self.value)}, {bounds}, n = {self.n}, {limit}: {self.verdict}"


@dataclass(frozen=True, slots=True)
class Rollback:
    """A record of the daemon's journal, as far as the demo tells of it.

    Parameters
    ----------
    timings
        Phase to the time when it was entered, seconds since the epoch.
    steps
        Step to its state and detail.
    cause
        Where the breach is likely to come from, in words.
    """

    id: str
    state: str
    from_version: str | None
    to_version: str | None
    reason: str
    detail: str
    timings: Mapping[str, float] = field(default_factory=dict)
    cause: str = ""
    gates: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing more will be done."""
        return self.state in ENDED


class Daemon:
    """Reads the API of a running daemon.

    Parameters
    ----------
    session
        A session to borrow.
    url
        Its address, without a last slash.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self._seen: set[tuple[str, str, str]] = set()

    async def new_measurements(self, metric: str, column: str) -> list[Measurement]:
        """Return what was measured since the last call, oldest first."""
        query = {"metric": metric, "column": column, "limit": str(MEASUREMENTS_MAX)}
        rows = (await self._get("/api/v1/measurements", query))["measurements"]
        new = []
        for row in reversed(rows):
            identity = (row["version"], row["window_start"], row["window_end"])
            if identity not in self._seen:
                self._seen.add(identity)
                new.append(measurement_of(row))
        return new

    async def rollbacks(self) -> list[Rollback]:
        """Return the journal's records, newest first."""
        return [rollback_of(row) for row in (await self._get("/api/v1/rollbacks"))["rollbacks"]]

    async def _get(self, path: str, query: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401 - JSON
        url = f"{self._url}{path}"
        try:
            async with self._session.get(
                url, params=query, timeout=aiohttp.ClientTimeout(total=CALL_TIMEOUT_S)
            ) as response:
                body = await response.text()
                if response.status != 200:  # noqa: PLR2004 - OK
                    raise DaemonError(f"GET {url} answered {response.status}: {body[:300]}")
                return await response.json()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise DaemonError(
                f"GET {url} got no answer: {error or type(error).__name__}"
            ) from error


def measurement_of(row: Mapping[str, Any]) -> Measurement:
    """Read a row of ``/api/v1/measurements``."""
    return Measurement(**{name: row[name] for name in Measurement.__dataclass_fields__})


def rollback_of(record: Mapping[str, Any]) -> Rollback:
    """Read a record of ``/api/v1/rollbacks``."""
    return Rollback(
        id=record["id"],
        state=record["state"],
        from_version=record["from"],
        to_version=record["to"],
        reason=record["reason"],
        detail=record.get("detail") or "",
        timings=record["timings"],
        cause=told_cause(record["evidence"]["cause"]) if record["evidence"].get("cause") else "",
        gates=tuple(
            f"{gate['gate']}: {'passed' if gate['passed'] else 'refused'} ({gate['detail']})"
            for gate in record["gates"]
        ),
        steps=tuple(
            f"{step['step']}: {step['state']} {step['detail']}".rstrip() for step in record["steps"]
        ),
    )


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
