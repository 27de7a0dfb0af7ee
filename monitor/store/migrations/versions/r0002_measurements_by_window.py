"""Measurements lie by window, old windows become hours, and a fence keeps to one writer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_FIGURES = "value, low, high, p_value, n, threshold, verdict"


def upgrade() -> None:
    """Make the new tables and move every measurement into its own."""
    _make_fence()
    _move_measurements()
    _index_windows()
    _make_hours()
    op.execute("DELETE FROM kedge_meta WHERE key = 'schema'")


def _make_fence() -> None:
    op.create_table(
        "kedge_writer",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("commits", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.String(256), nullable=False),
    )
    op.execute("INSERT INTO kedge_writer (id, epoch, commits, holder) VALUES (1, 0, 0, '')")


def _move_measurements() -> None:
    # By the new name first: SQLite cannot change a key, and Postgres keeps a key's old name.
    for index in ("ends", "series", "window"):
        op.drop_index(f"kedge_measurements_{index}", "kedge_measurements")
    op.rename_table("kedge_measurements", "kedge_measurements_0001")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER INDEX kedge_measurements_pkey RENAME TO kedge_measurements_0001_pkey")
    op.create_table(
        "kedge_measurements",
        sa.Column("window", sa.BigInteger, primary_key=True, autoincrement=False),
        *_series(),
        *(sa.Column(name, sa.Float) for name in ("value", "low", "high", "p_value")),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.Column("threshold", sa.Float),
        sa.Column("verdict", sa.String(16), nullable=False),
        sqlite_with_rowid=False,
    )
    # Of two measurements of one thing in one window the later counts.
    op.execute(
        f'INSERT INTO kedge_measurements ("window", "column", metric, {_FIGURES}) '  # noqa: S608 - our own names
        f"""SELECT "window", coalesce("column", ''), metric, {_FIGURES} """
        "FROM kedge_measurements_0001 WHERE id IN (SELECT max(id) FROM kedge_measurements_0001 "
        """WHERE "window" IS NOT NULL GROUP BY "window", coalesce("column", ''), metric) """
        """ORDER BY "window", coalesce("column", ''), metric"""
    )
    op.drop_table("kedge_measurements_0001")
    op.create_table("kedge_series", *_series())
    op.execute(
        'INSERT INTO kedge_series ("column", metric) '
        'SELECT DISTINCT "column", metric FROM kedge_measurements'
    )


def _index_windows() -> None:
    op.drop_index("kedge_windows_ends", "kedge_windows")
    op.create_index("kedge_windows_ends", "kedge_windows", ["ends", "id"])
    op.create_index("kedge_windows_version", "kedge_windows", ["version", "ends", "id"])


def _make_hours() -> None:
    op.create_table(
        "kedge_hours",
        sa.Column("id", _BIG_ID, primary_key=True),
        sa.Column("model", sa.String(256), nullable=False),
        sa.Column("version", sa.String(128), nullable=False),
        sa.Column("begins", sa.Float, nullable=False),
        sa.Column("ends", sa.Float, nullable=False),
        sa.Column("windows", sa.BigInteger, nullable=False),
        sa.Column("stored", sa.Float, nullable=False),
        sa.UniqueConstraint("begins", "version", "model", name="kedge_hours_key"),
    )
    op.create_index("kedge_hours_ends", "kedge_hours", ["ends", "id"])
    op.create_index("kedge_hours_version", "kedge_hours", ["version", "ends", "id"])
    op.create_index("kedge_hours_stored", "kedge_hours", ["stored"])
    counts = ("breaches", "unknowns")
    figures = ("value_sum", "value_min", "value_max", "low_min", "high_max", "threshold")
    op.create_table(
        "kedge_hourly",
        sa.Column("hour", sa.BigInteger, primary_key=True, autoincrement=False),
        *_series(),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("n", "windows", "valued")),
        *(sa.Column(name, sa.Float) for name in figures),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in counts),
        sqlite_with_rowid=False,
    )


def _series() -> list[sa.Column[str]]:
    return [
        sa.Column("column", sa.String(256), primary_key=True),
        sa.Column("metric", sa.String(64), primary_key=True),
    ]
