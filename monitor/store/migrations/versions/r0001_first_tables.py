"""The first tables, as Kedge 0.1 makes them on SQLite."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _key(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def _needed(kind: sa.types.TypeEngine[Any], *names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=False) for name in names]


def upgrade() -> None:
    """Make the tables of what is open, of windows, and of the journal."""
    op.create_table("kedge_meta", _key("key", sa.String(64)), *_needed(sa.String(256), "value"))
    _open_state()
    _windows()
    _journal()


def _open_state() -> None:
    op.create_table(
        "kedge_positions",
        _key("source", sa.String(128)),
        _key("stream", sa.String(128)),
        *_needed(sa.JSON(), "position"),
    )
    op.create_table(
        "kedge_panes",
        _key("version", sa.String(128)),
        _key("pane", sa.BigInteger()),
        *_needed(sa.LargeBinary(), "payload"),
    )
    op.create_table(
        "kedge_states", _key("name", sa.String(128)), *_needed(sa.LargeBinary(), "payload")
    )
    op.create_table(
        "kedge_rules",
        _key("rule", sa.String(128)),
        _key("version", sa.String(128)),
        *_needed(sa.JSON(), "state"),
    )
    op.create_table(
        "kedge_totals",
        _key("source", sa.String(128)),
        *_needed(sa.BigInteger(), "events", "rejected", "late", "shed"),
    )
    op.create_table(
        "kedge_versions",
        _key("model", sa.String(256)),
        _key("version", sa.String(128)),
        *_needed(sa.BigInteger(), "events"),
        *_needed(sa.Float(), "first_seen", "last_seen"),
        sa.Column("last_window", sa.Float),
    )


def _windows() -> None:
    op.create_table(
        "kedge_windows",
        sa.Column("id", _BIG_ID, primary_key=True),
        *_needed(sa.String(256), "model"),
        *_needed(sa.String(128), "version"),
        *_needed(sa.Float(), "begins", "ends"),
        *_needed(sa.BigInteger(), "events", "requests", "errors", "rejected", "late"),
        *_needed(sa.Float(), "stored"),
    )
    op.create_index("kedge_windows_ends", "kedge_windows", ["ends"])
    op.create_index("kedge_windows_stored", "kedge_windows", ["stored"])
    op.create_table(
        "kedge_measurements",
        sa.Column("id", _BIG_ID, primary_key=True),
        sa.Column(
            "window",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            sa.ForeignKey("kedge_windows.id", ondelete="CASCADE"),
        ),
        *_needed(sa.String(256), "model"),
        *_needed(sa.String(128), "version"),
        *_needed(sa.Float(), "begins", "ends"),
        sa.Column("column", sa.String(256)),
        *_needed(sa.String(64), "metric"),
        *(sa.Column(name, sa.Float) for name in ("value", "low", "high", "p_value")),
        *_needed(sa.BigInteger(), "n"),
        sa.Column("threshold", sa.Float),
        *_needed(sa.String(16), "verdict"),
    )
    table = "kedge_measurements"
    op.create_index("kedge_measurements_ends", table, ["ends"])
    op.create_index("kedge_measurements_series", table, ["metric", "column", "ends"])
    op.create_index("kedge_measurements_window", table, ["window"])


def _journal() -> None:
    op.create_table(
        "kedge_incidents",
        sa.Column("id", _BIG_ID, primary_key=True),
        *_needed(sa.Float(), "at"),
        *_needed(sa.String(32), "kind"),
        *_needed(sa.String(256), "model"),
        sa.Column("version", sa.String(128)),
        sa.Column("rule", sa.String(128)),
        sa.Column("rollback", sa.String(64)),
        *_needed(sa.JSON(), "evidence"),
        *_needed(sa.Float(), "stored"),
    )
    op.create_index("kedge_incidents_at", "kedge_incidents", ["at"])
    op.create_index("kedge_incidents_stored", "kedge_incidents", ["stored"])
    op.create_table(
        "kedge_rollbacks",
        _key("id", sa.String(64)),
        *_needed(sa.String(256), "model"),
        *_needed(sa.String(32), "state"),
        *_needed(sa.JSON(), "record"),
        *_needed(sa.Float(), "created", "updated"),
    )
    op.create_index("kedge_rollbacks_created", "kedge_rollbacks", ["created"])
    op.create_table(
        "kedge_rollback_transitions",
        sa.Column("id", _BIG_ID, primary_key=True),
        sa.Column(
            "rollback", sa.String(64), sa.ForeignKey("kedge_rollbacks.id", ondelete="CASCADE")
        ),
        *_needed(sa.Float(), "at"),
        *_needed(sa.JSON(), "transition"),
    )
    op.create_index(
        "kedge_rollback_transitions_rollback", "kedge_rollback_transitions", ["rollback"]
    )
