"""Rows of distributions in the store: written with their window, gone with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa

from monitor import tables
from monitor.upserts import upsert

if TYPE_CHECKING:
    from monitor.distributions import Distribution


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
