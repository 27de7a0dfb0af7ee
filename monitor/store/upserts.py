"""Insert or update: the one statement that both databases have and spell through dialects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
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
    dialect = connection.dialect.name
    if isinstance(rows, sa.Select):
        statement = _insert(dialect, table)
        statement = statement.from_select([column.name for column in rows.selected_columns], rows)
        connection.execute(_merging(statement, table, keys, merge))
        return
    replacing = keys is None and merge is None
    statement = (
        _replacing(dialect, table)
        if replacing
        else _merging(_insert(dialect, table), table, keys, merge)
    )
    connection.execute(statement, [dict(row) for row in rows])


@lru_cache(maxsize=64)
def _replacing(dialect: str, table: sa.Table) -> Any:  # noqa: ANN401 - either's
    """Return the statement that most are; every commit has several, and making one takes time."""
    return _merging(_insert(dialect, table), table, None, None)


def _merging(
    statement: Any,  # noqa: ANN401 - either's
    table: sa.Table,
    keys: Sequence[str] | None,
    merge: Merge | None,
) -> Any:  # noqa: ANN401
    names = [column.name for column in table.primary_key] if keys is None else list(keys)
    changes = (merge or _replaced(table, names))(statement.excluded)
    if changes:
        return statement.on_conflict_do_update(index_elements=names, set_=changes)
    return statement.on_conflict_do_nothing(index_elements=names)


def _insert(dialect: str, table: sa.Table) -> Any:  # noqa: ANN401 - either's
    if dialect == "postgresql":
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
