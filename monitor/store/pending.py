"""What waits for labels, in the store: rows by event id, and the panes of labelled predictions.

Functions on a connection: :class:`monitor.store.store.Store` calls them within its transactions.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import sqlalchemy as sa

from collectors.labels import Scalar
from monitor.store import tables
from monitor.store.upserts import upsert

#: Ids that one statement asks for.
IDS_MAX = 500


class ShadowAnswer(msgspec.Struct, array_like=True, frozen=True):
    """What a shadow answered to the same: its version, the answer, the segments of the row."""

    version: str
    answer: Scalar
    segments: tuple[str, ...] = ()


class _Both(msgspec.Struct, array_like=True, frozen=True):
    """A prediction with the shadow's answer, as the store has them in the prediction's place."""

    prediction: Scalar
    shadow: ShadowAnswer


@dataclass(frozen=True, slots=True)
class ComparedAnswers:
    """Two answers whose label is known: of the live `version`, and of its shadow.

    Parameters
    ----------
    known
        When the label became known, seconds since the epoch.
    """

    version: str
    prediction: Scalar
    shadow: ShadowAnswer
    label: Scalar
    known: float


@dataclass(frozen=True, slots=True)
class Held:
    """A row: a prediction without its label, a label without its prediction, or a pair.

    Parameters
    ----------
    ts
        Event time of the prediction, or of the label that is alone; seconds since the epoch.
    version, prediction
        None where only the label has come.
    label, known
        The label and its time; None where it has not come.
    pane
        Where the pair was counted; None for what is no pair.
    shadow
        What a shadow answered to the same; None where none did.
    """

    id: str
    ts: float
    version: str | None = None
    prediction: Scalar | None = None
    label: Scalar | None = None
    known: float | None = None
    pane: int | None = None
    shadow: ShadowAnswer | None = None

    @property
    def joined(self) -> bool:
        """Whether both have come."""
        return self.pane is not None


@dataclass(slots=True)
class LabelChange:
    """What one transaction writes of labels.

    Parameters
    ----------
    held
        Rows that are new or have changed.
    let_go
        Ids of rows that are kept no longer.
    panes, dropped_panes
        As in :class:`monitor.store.store.Change`, of labelled predictions.
    forget_pairs
        Let go of every pair first: the panes that they were counted in are no more.
    """

    held: list[Held] = field(default_factory=list)
    let_go: list[str] = field(default_factory=list)
    panes: dict[tuple[str, int], bytes] = field(default_factory=dict)
    dropped_panes: set[tuple[str, int]] = field(default_factory=set)
    forget_pairs: bool = False


def read(connection: sa.Connection, ids: Collection[str]) -> dict[str, Held]:
    """Return the rows of those ids that have one."""
    table, wanted = tables.pending, list(ids)
    found = {}
    for start in range(0, len(wanted), IDS_MAX):
        part = wanted[start : start + IDS_MAX]
        for row in connection.execute(sa.select(table).where(table.c.id.in_(part))):
            found[row.id] = _held(row)
    return found


def oldest(
    connection: sa.Connection, *, joined: bool, limit: int, before: float | None = None
) -> list[Held]:
    """Return the oldest rows, of pairs or of what waits, at most `limit`, older than `before`."""
    table = tables.pending
    query = sa.select(table).where(table.c.joined == int(joined))
    if before is not None:
        query = query.where(table.c.ts < before)
    return [_held(row) for row in connection.execute(query.order_by(table.c.ts).limit(limit))]


def panes(connection: sa.Connection) -> dict[tuple[str, int], bytes]:
    """Return the panes that windows of labelled predictions still need."""
    rows = connection.execute(sa.select(tables.performance_panes))
    return {(row.version, row.pane): row.payload for row in rows}


def write(connection: sa.Connection, change: LabelChange) -> None:
    """Write a change, within a transaction."""
    table = tables.performance_panes
    if change.forget_pairs:
        connection.execute(sa.delete(tables.pending).where(tables.pending.c.joined == 1))
    _delete(connection, change.let_go)
    upsert(connection, tables.pending, [_row(one) for one in change.held])
    for version, pane in change.dropped_panes:
        connection.execute(sa.delete(table).where(table.c.version == version, table.c.pane == pane))
    upsert(
        connection,
        table,
        [{"version": v, "pane": p, "payload": data} for (v, p), data in change.panes.items()],
    )


def _delete(connection: sa.Connection, ids: Sequence[str]) -> None:
    table = tables.pending
    for start in range(0, len(ids), IDS_MAX):
        part = ids[start : start + IDS_MAX]
        connection.execute(sa.delete(table).where(table.c.id.in_(part)))


def _held(row: Any) -> Held:  # noqa: ANN401 - a row of the table
    prediction, shadow = _parts(_value(row.prediction))
    label, _ = _parts(_value(row.label))
    return Held(row.id, row.ts, row.version, prediction, label, row.known, row.pane, shadow)


def _parts(value: Scalar | _Both | None) -> tuple[Scalar | None, ShadowAnswer | None]:
    return (value.prediction, value.shadow) if isinstance(value, _Both) else (value, None)


def _row(held: Held) -> dict[str, Any]:
    return {
        "id": held.id,
        "joined": int(held.joined),
        "ts": held.ts,
        "version": held.version,
        "prediction": _text(
            held.prediction
            if held.shadow is None or held.prediction is None
            else _Both(held.prediction, held.shadow)
        ),
        "label": _text(held.label),
        "known": held.known,
        "pane": held.pane,
    }


def _text(value: Scalar | _Both | None) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _value(text: str | None) -> Scalar | _Both | None:
    return None if text is None else msgspec.json.decode(text, type=float | str | _Both)
