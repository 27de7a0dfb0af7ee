"""Facts of a daemon that runs or ran: from its store, read-only, a row at a time."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Hashable, Iterator, Mapping
from typing import Any, Final

import sqlalchemy as sa

from detectors.columns.side_by_side import Bars
from monitor.pictures.distributions import Columns, counts_of, cut_of
from monitor.reports.facts import Facts, Gathering
from monitor.store import schema, tables
from monitor.store.database import classified, never_silent, place, reader_engine

#: Windows whose measurements are asked for at a time: some ten thousand rows.
_WINDOWS: Final = 50
#: Incidents and rollbacks that are told, the newest.
INCIDENTS_MAX: Final = 2_000
ROLLBACKS_MAX: Final = 200


def stored_facts(
    url: str,
    *,
    model: str,
    length_s: float,
    version: str | None = None,
    config: str = "FILE",
) -> Facts:
    """Read what the store says of a model's windows up to the last one.

    Parameters
    ----------
    length_s
        How long before the end of the last window to begin, in seconds: logs may be of last year.
    version
        Leave all others out; None for every one.
    config
        The configuration, as the command that an older store needs is to name it.

    Raises
    ------
    monitor.store.errors.StoreError
        The store cannot be read, or is of another version of Kedge.
    """
    engine = reader_engine(url, connections_max=1)
    try:
        with engine.connect() as connection:
            found = schema.revision(connection)
            if found is not None and found != tables.REVISION:
                raise schema.mismatch(place(engine.url), found, config)
            return _Reading(connection, model, length_s, version).facts(f"the store {place(url)}")
    except sa.exc.DBAPIError as error:
        raise classified(error, engine.url) from error
    finally:
        engine.dispose()


class _Reading:
    def __init__(
        self,
        connection: sa.Connection,
        model: str,
        length_s: float,
        version: str | None,
    ) -> None:
        self._connection = connection
        self._model = model
        self._version = version
        self._since = -math.inf
        ends = tables.windows.c.ends
        query = self._narrowed(sa.select(sa.func.max(ends)), tables.windows, ends)
        self._since = (self._rows(query)[0]["max_1"] or time.time()) - length_s

    def facts(self, source: str) -> Facts:
        gathering = Gathering()
        for frames in self._portions():
            by_id = {row["id"]: row for row in frames}
            for row in frames:
                gathering.window(row, row["id"])
            measured = tables.measurements
            query = sa.select(measured).where(measured.c.window.in_(list(by_id)))
            for row in self._rows(query):
                frame = by_id[row["window"]]
                gathering.measured(frame | row, row["window"])
        return Facts(
            self._model,
            source,
            time.time(),
            gathering.versions(self._pictures),
            self._incidents(),
            self._rollbacks(),
            notes=self._notes(),
        )

    def _portions(self) -> Iterator[list[dict[str, Any]]]:
        """Yield windows of all traffic of a version, oldest first, some at a time."""
        table = tables.windows
        names = ("id", "version", "kind", "begins", "ends")
        query = sa.select(*(table.c[name] for name in names)).where(table.c.segment == "")
        query = self._narrowed(query, table, table.c.ends).order_by(table.c.ends, table.c.id)
        every = self._rows(query)
        for begin in range(0, len(every), _WINDOWS):
            yield every[begin : begin + _WINDOWS]

    def _pictures(self, keys: Collection[Hashable]) -> Mapping[Hashable, Columns]:
        table = tables.distributions
        wanted = sorted(int(str(key)) for key in keys)
        found: dict[Hashable, Columns] = {}
        cuts: dict[str, Mapping[str, Bars]] = {}
        for begin in range(0, len(wanted), _WINDOWS):
            portion = wanted[begin : begin + _WINDOWS]
            for row in self._rows(sa.select(table).where(table.c.window.in_(portion))):
                if row["cut"] not in cuts:
                    cuts[row["cut"]] = self._cut(row["cut"])
                found[row["window"]] = Columns(cuts[row["cut"]], counts_of(row["payload"]))
        return found

    def _cut(self, digest: str) -> Mapping[str, Bars]:
        table = tables.cuts
        payload = self._connection.scalar(
            sa.select(table.c.payload).where(table.c.digest == digest)
        )
        return {} if payload is None else cut_of(payload)

    def _incidents(self) -> list[dict[str, Any]]:
        table = tables.incidents
        query = self._narrowed(sa.select(table), table, table.c.at)
        query = query.order_by(table.c.at.desc(), table.c.id.desc()).limit(INCIDENTS_MAX)
        return self._rows(query)[::-1]

    def _rollbacks(self) -> list[dict[str, Any]]:
        table = tables.rollbacks
        query = sa.select(table.c.record).where(
            table.c.model == self._model, table.c.created >= self._since
        )
        query = query.order_by(table.c.created.desc(), table.c.id.desc()).limit(ROLLBACKS_MAX)
        records = [row["record"] for row in self._rows(query)][::-1]
        if self._version is None:
            return records
        return [one for one in records if self._version in (one["from"], one["to"])]

    def _notes(self) -> list[str]:
        table = tables.hours
        query = self._narrowed(sa.select(sa.func.count()).select_from(table), table, table.c.ends)
        hours = self._connection.scalar(query)
        told = (
            "Part of this time is kept by the hour only, because it is older than [store] "
            "retention, and is left out here. /api/v1/measurements still has it."
        )
        return [told] if hours else []

    def _narrowed(
        self, query: sa.Select[Any], table: sa.Table, moment: sa.Column[Any]
    ) -> sa.Select[Any]:
        query = query.where(table.c.model == self._model)
        if math.isfinite(self._since):
            query = query.where(moment >= self._since)
        if self._version is not None:
            query = query.where(table.c.version == self._version)
        return query

    def _rows(self, query: sa.Select[Any]) -> list[dict[str, Any]]:
        # Each by itself: a report of a month takes longer than a connection may be silent.
        with never_silent(self._connection):
            result = self._connection.execute(query)
            names = list(result.keys())
            return [dict(zip(names, row, strict=True)) for row in result]
