"""The tables of the store, in SQLAlchemy Core: the same for SQLite and Postgres.

Times are seconds since the epoch, UTC, as floating-point numbers; names carry the prefix
``kedge_`` because the database may be shared.
"""

from __future__ import annotations

import sqlalchemy as sa

#: Raised with every change to the tables below. `kedge run` refuses a store of another version.
SCHEMA_VERSION = 2

metadata = sa.MetaData()

#: Facts about the store itself: the schema's version, when it was made.
meta = sa.Table(
    "kedge_meta",
    metadata,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("value", sa.String(256), nullable=False),
)

#: How far every stream of every source has been counted.
positions = sa.Table(
    "kedge_positions",
    metadata,
    sa.Column("source", sa.String(128), primary_key=True),
    sa.Column("stream", sa.String(128), primary_key=True),
    sa.Column("position", sa.JSON, nullable=False),
)

#: Panes that a window still needs, open ones too: what makes a restart forget nothing.
panes = sa.Table(
    "kedge_panes",
    metadata,
    sa.Column("version", sa.String(128), primary_key=True),
    sa.Column("pane", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
)

#: What else is open: the windows' watermark, the learned schema, a reference being collected.
states = sa.Table(
    "kedge_states",
    metadata,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("payload", sa.LargeBinary, nullable=False),
)

#: Where each rule stands with each version.
rules = sa.Table(
    "kedge_rules",
    metadata,
    sa.Column("rule", sa.String(128), primary_key=True),
    sa.Column("version", sa.String(128), primary_key=True),
    sa.Column("state", sa.JSON, nullable=False),
)

#: Counts since the store was made, by source.
totals = sa.Table(
    "kedge_totals",
    metadata,
    sa.Column("source", sa.String(128), primary_key=True),
    sa.Column("events", sa.BigInteger, nullable=False),
    sa.Column("rejected", sa.BigInteger, nullable=False),
    sa.Column("late", sa.BigInteger, nullable=False),
    sa.Column("shed", sa.BigInteger, nullable=False),
)

windows = sa.Table(
    "kedge_windows",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("model", sa.String(256), nullable=False),
    sa.Column("version", sa.String(128), nullable=False),
    sa.Column("begins", sa.Float, nullable=False),
    sa.Column("ends", sa.Float, nullable=False),
    sa.Column("events", sa.BigInteger, nullable=False),
    sa.Column("requests", sa.BigInteger, nullable=False),
    sa.Column("errors", sa.BigInteger, nullable=False),
    sa.Column("rejected", sa.BigInteger, nullable=False),
    sa.Column("late", sa.BigInteger, nullable=False),
    # Of traffic, or of labels: then its events are pairs, and it has no requests.
    sa.Column("kind", sa.String(16), nullable=False, default="traffic"),
    # When it was written, by the wall clock: what retention goes by. A log of last year is
    # worth reading, and its windows are kept as long as today's.
    sa.Column("stored", sa.Float, nullable=False),
    sa.Index("kedge_windows_ends", "ends"),
    sa.Index("kedge_windows_stored", "stored"),
)

measurements = sa.Table(
    "kedge_measurements",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("window", sa.Integer, sa.ForeignKey(windows.c.id, ondelete="CASCADE")),
    sa.Column("model", sa.String(256), nullable=False),
    sa.Column("version", sa.String(128), nullable=False),
    sa.Column("begins", sa.Float, nullable=False),
    sa.Column("ends", sa.Float, nullable=False),
    sa.Column("column", sa.String(256)),
    sa.Column("metric", sa.String(64), nullable=False),
    sa.Column("value", sa.Float),
    sa.Column("low", sa.Float),
    sa.Column("high", sa.Float),
    sa.Column("p_value", sa.Float),
    sa.Column("n", sa.BigInteger, nullable=False),
    sa.Column("threshold", sa.Float),
    sa.Column("verdict", sa.String(16), nullable=False),
    sa.Index("kedge_measurements_ends", "ends"),
    sa.Index("kedge_measurements_series", "metric", "column", "ends"),
    sa.Index("kedge_measurements_window", "window"),
)

#: What a person would want to be told of: breaches opened, confirmed, cleared; refusals.
incidents = sa.Table(
    "kedge_incidents",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("model", sa.String(256), nullable=False),
    sa.Column("version", sa.String(128)),
    sa.Column("rule", sa.String(128)),
    sa.Column("rollback", sa.String(64)),
    sa.Column("evidence", sa.JSON, nullable=False),
    sa.Column("stored", sa.Float, nullable=False),
    sa.Index("kedge_incidents_at", "at"),
    sa.Index("kedge_incidents_stored", "stored"),
)

#: The journal: one row a rollback, as it stands.
rollbacks = sa.Table(
    "kedge_rollbacks",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("model", sa.String(256), nullable=False),
    sa.Column("state", sa.String(32), nullable=False),
    sa.Column("record", sa.JSON, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("updated", sa.Float, nullable=False),
    sa.Index("kedge_rollbacks_created", "created"),
)

#: The journal's history: one row a transition, written before what it announces is done.
rollback_transitions = sa.Table(
    "kedge_rollback_transitions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("rollback", sa.String(64), sa.ForeignKey(rollbacks.c.id, ondelete="CASCADE")),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("transition", sa.JSON, nullable=False),
    sa.Index("kedge_rollback_transitions_rollback", "rollback"),
)

#: What was seen of each version, for people; the decision keeps what it needs by itself.
versions = sa.Table(
    "kedge_versions",
    metadata,
    sa.Column("model", sa.String(256), primary_key=True),
    sa.Column("version", sa.String(128), primary_key=True),
    sa.Column("events", sa.BigInteger, nullable=False),
    sa.Column("first_seen", sa.Float, nullable=False),
    sa.Column("last_seen", sa.Float, nullable=False),
    sa.Column("last_window", sa.Float),
)

#: Predictions that wait for their label, labels that wait for their prediction, and pairs that a
#: correction may still come for. One row an event id; values are JSON texts.
pending = sa.Table(
    "kedge_pending",
    metadata,
    sa.Column("id", sa.String(128), primary_key=True),
    sa.Column("joined", sa.SmallInteger, nullable=False),
    sa.Column("ts", sa.Float, nullable=False),
    sa.Column("version", sa.String(128)),
    sa.Column("prediction", sa.Text),
    sa.Column("label", sa.Text),
    # When the label became known, and the pane that the pair was counted in.
    sa.Column("known", sa.Float),
    sa.Column("pane", sa.BigInteger),
    sa.Index("kedge_pending_age", "joined", "ts"),
)

#: Panes of labelled predictions that a window still needs.
performance_panes = sa.Table(
    "kedge_performance_panes",
    metadata,
    sa.Column("version", sa.String(128), primary_key=True),
    sa.Column("pane", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
)
