"""Rows of distributions in the store: written with their window, read at a start, gone with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from monitor.pictures.distributions import Distribution
from monitor.pictures.last_windows import STEADY_S, VERSIONS_MAX, Held, succeeds
from monitor.store import tables
from monitor.store.upserts import upsert


def write_distribution(connection: sa.Connection, window: int, one: Distribution | None) -> None:
    """Write the counts of a window, and the cut that they are over if it is a new one."""
    if one is None:
        return
    cuts = tables.cuts
    # Asked each time: retention may have taken it, and it is larger than the counts.
    if connection.scalar(sa.select(cuts.c.digest).where(cuts.c.digest == one.cut)) is None:
        upsert(connection, cuts, [{"digest": one.cut, "payload": one.cut_payload}])
    row = {"window": window, "cut": one.cut, "payload": one.payload}
    connection.execute(sa.insert(tables.distributions), [row])


def prune_distributions(connection: sa.Connection, windows: Sequence[int]) -> None:
    """Delete the counts of windows, and the cuts that no window is counted over any more."""
    if not windows:
        return
    table, cuts = tables.distributions, tables.cuts
    connection.execute(sa.delete(table).where(table.c.window.in_(windows)))
    counted = sa.exists().where(table.c.cut == cuts.c.digest)
    connection.execute(sa.delete(cuts).where(~counted))


def last_windows(connection: sa.Connection) -> Mapping[str, Sequence[Held]]:
    """Read what a daemon held at its last commit, by model, in the order of time.

    Of the versions with the latest windows, the one of the last hour that page and metric showed.
    """
    seen = tables.versions.c
    query = sa.select(seen.model, seen.version, seen.last_window)
    query = query.where(seen.last_window.is_not(None)).order_by(seen.model, seen.last_window.desc())
    found: dict[str, Sequence[Held]] = {}
    for model, rows in groupby(connection.execute(query).all(), lambda row: str(row.model)):
        latest = list(rows)[:VERSIONS_MAX]
        held = [
            one
            for row in latest
            for one in _of_version(connection, model, row.version, row.last_window)
        ]
        found[model] = sorted(held, key=lambda one: one.ends)
    return found


def _of_version(
    connection: sa.Connection, model: str, version: str, latest: float
) -> Iterator[Held]:
    window, table, cuts = tables.windows.c, tables.distributions.c, tables.cuts.c
    query = (
        sa.select(window.id, window.segment, window.ends, window.events)
        .join(tables.distributions, table.window == window.id)
        .where(window.model == model, window.version == version)
        .where(window.ends > latest - STEADY_S)
        .order_by(window.ends, window.id)
    )
    shown: dict[str, Any] = {}
    for row in connection.execute(query):
        before = shown.get(row.segment)
        if before is None or succeeds(row.ends, row.events, before.ends, before.events):
            shown[row.segment] = row
    frame = (window.version, window.segment, window.begins, window.ends, window.events)
    kept = (table.cut, cuts.payload.label("cut_payload"), table.payload)
    whole = (
        sa.select(*frame, *kept)
        .join(tables.distributions, table.window == window.id)
        .join(tables.cuts, cuts.digest == table.cut)
        .where(window.id.in_([row.id for row in shown.values()]))
    )
    for found in connection.execute(whole).mappings():
        distribution = Distribution(**{column.key: found[column.key] for column in kept})
        yield Held(**{column.key: found[column.key] for column in frame}, distribution=distribution)
