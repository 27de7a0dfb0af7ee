"""Retention: old windows give way to hours of them, and old hours to nothing.

A window is added to its hour and deleted in one transaction, so it is in one of the two and
never in both, over any crash. What an hour keeps adds up (counts, sums, extremes), so its
windows may be taken in any portions and in any order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from monitor.store import tables
from monitor.store.distribution_rows import prune_distributions
from monitor.store.upserts import upsert

HOUR_S = 3600.0


def hour_of(ends: float) -> float:
    """Return the begin of the hour in which a window ended: ``ends`` is in ``(hour, hour + 1 h]``.

    Examples
    --------
    >>> hour_of(7200.0), hour_of(7200.5)
    (3600.0, 7200.0)
    """
    return (math.ceil(ends / HOUR_S) - 1) * HOUR_S


def prune_windows(
    connection: sa.Connection, before: float, *, rows_max: int, keep_hours: bool
) -> int:
    """Move windows stored before then into their hours; return how many, at most `rows_max`.

    Incidents stored before then go, too.
    """
    table = tables.windows
    names = ("id", "model", "version", "segment", "ends", "stored")
    wanted = [table.c[name] for name in names]
    old = sa.select(*wanted).where(table.c.stored < before)
    rows = connection.execute(old.order_by(table.c.stored, table.c.id).limit(rows_max)).all()
    ids = [row.id for row in rows]
    if keep_hours:
        for hour, members in _by_hour(connection, rows).items():
            _add_to_hour(connection, hour, members)
    measured = tables.measurements
    connection.execute(sa.delete(measured).where(measured.c.window.in_(ids)))
    prune_distributions(connection, ids)
    connection.execute(sa.delete(table).where(table.c.id.in_(ids)))
    connection.execute(sa.delete(tables.incidents).where(tables.incidents.c.stored < before))
    return len(ids)


def prune_hours(connection: sa.Connection, before: float, *, rows_max: int) -> int:
    """Delete hours whose last window was stored before then; return how many."""
    table, measured = tables.hours, tables.hourly
    old = sa.select(table.c.id).where(table.c.stored < before)
    ids = list(connection.scalars(old.order_by(table.c.stored).limit(rows_max)))
    connection.execute(sa.delete(measured).where(measured.c.hour.in_(ids)))
    connection.execute(sa.delete(table).where(table.c.id.in_(ids)))
    return len(ids)


def _by_hour(connection: sa.Connection, rows: Sequence[Any]) -> Mapping[int, Sequence[int]]:
    """Note the windows in their hours, and return the windows of each hour, both by id."""
    members: dict[tuple[str, str, str, float], list[Any]] = {}
    for row in rows:
        key = (row.model, row.version, row.segment, hour_of(row.ends))
        members.setdefault(key, []).append(row)
    table = tables.hours
    found: dict[int, Sequence[int]] = {}
    for (model, version, segment, begins), those in members.items():
        mark = {"model": model, "version": version, "segment": segment, "begins": begins}
        facts = {"ends": begins + HOUR_S, "windows": len(those)}
        facts["stored"] = max(one.stored for one in those)
        upsert(
            connection,
            table,
            [mark | facts],
            keys=list(mark),
            merge=lambda new: {
                "windows": table.c.windows + new.windows,
                "stored": _larger(table.c.stored, new.stored),
            },
        )
        mine = sa.and_(*(table.c[name] == value for name, value in mark.items()))
        hour = connection.execute(sa.select(table.c.id).where(mine)).scalar_one()
        found[hour] = [one.id for one in those]
    return found


def _add_to_hour(connection: sa.Connection, hour: int, windows: Sequence[int]) -> None:
    raw, table = tables.measurements.c, tables.hourly
    lowest, highest = sa.func.min(raw.threshold), sa.func.max(raw.threshold)
    figures = {
        "hour": sa.literal(hour, sa.BigInteger),
        "column": raw.column,
        "metric": raw.metric,
        "n": sa.func.sum(raw.n),
        "windows": sa.func.count(),
        "valued": sa.func.count(raw.value),
        "value_sum": sa.func.sum(raw.value),
        "value_min": sa.func.min(raw.value),
        "value_max": sa.func.max(raw.value),
        "low_min": sa.func.min(raw.low),
        "high_max": sa.func.max(raw.high),
        "threshold": sa.case((lowest == highest, lowest)),
        "breaches": _how_many(raw.verdict, "breach"),
        "unknowns": _how_many(raw.verdict, "unknown"),
    }
    query = (
        sa.select(*(figure.label(name) for name, figure in figures.items()))
        .where(raw.window.in_(windows))
        .group_by(raw.column, raw.metric)
    )
    upsert(connection, table, query, keys=["hour", "column", "metric"], merge=_merged)


def _how_many(verdict: sa.Column[str], wanted: str) -> sa.ColumnElement[int]:
    return sa.func.sum(sa.case((verdict == wanted, 1), else_=0))


def _merged(new: Any) -> dict[str, sa.ColumnElement[Any]]:  # noqa: ANN401 - columns of `excluded`
    old = tables.hourly.c
    sums = {name: old[name] + new[name] for name in _COUNTS}
    return sums | {
        "value_sum": sa.func.coalesce(old.value_sum + new.value_sum, old.value_sum, new.value_sum),
        "value_min": _smaller(old.value_min, new.value_min),
        "value_max": _larger(old.value_max, new.value_max),
        "low_min": _smaller(old.low_min, new.low_min),
        "high_max": _larger(old.high_max, new.high_max),
        "threshold": sa.case((old.threshold == new.threshold, old.threshold)),
    }


_COUNTS = ("n", "windows", "valued", "breaches", "unknowns")


# The two databases spell these differently, and disagree about NULL: here it is no value, and
# the other one wins.
def _smaller(old: Any, new: Any) -> sa.ColumnElement[Any]:  # noqa: ANN401 - any column
    return sa.case((sa.or_(new.is_(None), old < new), old), else_=new)


def _larger(old: Any, new: Any) -> sa.ColumnElement[Any]:  # noqa: ANN401 - any column
    return sa.case((sa.or_(new.is_(None), old > new), old), else_=new)
