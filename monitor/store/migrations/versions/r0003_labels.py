"""Predictions wait for their labels, and windows of labels stand beside those of traffic."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables of the join; every window so far is one of traffic."""
    op.add_column(
        "kedge_windows",
        sa.Column("kind", sa.String(16), nullable=False, server_default="traffic"),
    )
    op.create_table(
        "kedge_pending",
        sa.Column("id", sa.String(128), primary_key=True),
        sa.Column("joined", sa.SmallInteger, nullable=False),
        sa.Column("ts", sa.Float, nullable=False),
        sa.Column("version", sa.String(128)),
        sa.Column("prediction", sa.Text),
        sa.Column("label", sa.Text),
        sa.Column("known", sa.Float),
        sa.Column("pane", sa.BigInteger),
    )
    op.create_index("kedge_pending_age", "kedge_pending", ["joined", "ts"])
    op.create_table(
        "kedge_performance_panes",
        sa.Column("version", sa.String(128), primary_key=True),
        sa.Column("pane", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
    )
