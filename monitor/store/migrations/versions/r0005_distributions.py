"""How the columns of a window were distributed, over bins that are kept once for a reference."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the two tables; windows that there are so far have none."""
    op.create_table(
        "kedge_cuts",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("payload", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "kedge_distributions",
        sa.Column("window", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("cut", sa.String(64), nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
    )
    op.create_index("kedge_distributions_cut", "kedge_distributions", ["cut"])
