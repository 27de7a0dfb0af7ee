"""Insert or update: the one statement that both databases have and spell through dialects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

Row: TypeAlias = Mapping[str, Any]

#: From the row that is in the way (`excluded` is the new one) to what it becomes.
Merge: TypeAlias = Callable[[Any], Mapping[str, Any]]


def upsert(
    connection: sa.Connection,
    table: sa.Table,
    rows: Sequence[Row] | sa.Select[Any],
    *,
    keys: Sequence[str] | None = None,
    merge: Merge | None = None,
) -> None:
    """Insert rows, or what a query finds; a row of the same key is replaced, or merged.

    Parameters
    ----------
    keys
        Columns that tell rows apart; the primary key by default.
    merge
        What becomes of a row that is there; all but its key is replaced by default. Nothing
        happens to it where the table is nothing but its key.
    """
    if not isinstance(rows, sa.Select) and not rows:
        return
    statement = _insert(connection, table)
    if isinstance(rows, sa.Select):
        statement = statement.from_select([column.name for column in rows.selected_columns], rows)
    names = [column.name for column in table.primary_key] if keys is None else list(keys)
    changes = (merge or _replaced(table, names))(statement.excluded)
    if changes:
        statement = statement.on_conflict_do_update(index_elements=names, set_=changes)
    else:
        statement = statement.on_conflict_do_nothing(index_elements=names)
    if isinstance(rows, sa.Select):
        connection.execute(statement)
    else:
        connection.execute(statement, [dict(row) for row in rows])


def _insert(connection: sa.Connection, table: sa.Table) -> Any:  # noqa: ANN401 - either's
    if connection.dialect.name == "postgresql":
        # 3 MB that a daemon over SQLite has no use for.
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415

        return postgresql.insert(table)
    return sqlite.insert(table)


def _replaced(table: sa.Table, keys: Sequence[str]) -> Merge:
    def merge(new: Any) -> Mapping[str, Any]:  # noqa: ANN401 - columns of `excluded`
        return {
            column.name: new[column.name] for column in table.columns if column.name not in keys
        }

    return merge
