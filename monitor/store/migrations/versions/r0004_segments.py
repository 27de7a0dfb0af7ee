"""Panes, rules, windows, hours and incidents are of a segment, or of all traffic of a version."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Give rows their segment; all that there are so far are of all traffic."""
    for table in ("kedge_windows", "kedge_incidents"):
        op.add_column(table, _segment())
    _rekey(
        "kedge_panes",
        sa.Column("version", sa.String(128), primary_key=True),
        _segment(primary_key=True),
        sa.Column("pane", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
    )
    _rekey(
        "kedge_rules",
        sa.Column("rule", sa.String(128), primary_key=True),
        sa.Column("version", sa.String(128), primary_key=True),
        _segment(primary_key=True),
        sa.Column("state", sa.JSON, nullable=False),
    )
    # Where a table cannot be changed it is made anew, with the numbers that it has.
    with op.batch_alter_table("kedge_hours") as hours:
        hours.add_column(_segment())
        hours.drop_constraint("kedge_hours_key", type_="unique")
        hours.create_unique_constraint("kedge_hours_key", ["begins", "version", "segment", "model"])


def _segment(*, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(
        "segment", sa.String(300), nullable=False, server_default="", primary_key=primary_key
    )


def _rekey(name: str, *columns: sa.Column[Any]) -> None:
    """Make a table anew whose key has become another; it is a small one."""
    old = f"{name}_0003"
    op.rename_table(name, old)
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER INDEX {name}_pkey RENAME TO {old}_pkey")
    op.create_table(name, *columns)
    kept = ", ".join(column.name for column in columns if column.name != "segment")
    op.execute(f"INSERT INTO {name} ({kept}) SELECT {kept} FROM {old}")  # noqa: S608 - our own names
    op.drop_table(old)
