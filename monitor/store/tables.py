"""The tables of the store, in SQLAlchemy Core: the same for SQLite and Postgres.

Times are seconds since the epoch, UTC, as floating-point numbers; names carry the prefix
``kedge_`` because the database may be shared.

What is measured lies by window: a measurement's key begins with its window's, so a window is
appended in one place and deleted from one, and every question about measurements walks the
windows it is about, newest first, and looks up in each. There are hundreds of measurements to a
window, so this stays quick at tens of millions of them, and they need no second index.
"""

from __future__ import annotations

import sqlalchemy as sa

from monitor.store.column_types import BigId, Document, Figure, Name

#: Name of the last step under `monitor/store/migrations`: the schema that is described here.
#: `kedge run` refuses a store of another one.
REVISION = "0005"

#: Longest names; longer ones are cut (:func:`monitor.store.column_types.fit`).
COLUMN_CHARACTERS = 256
METRIC_CHARACTERS = 64
SEGMENT_CHARACTERS = 300


def _segment(*, primary_key: bool = False) -> sa.Column[str]:
    """Of which segment of the version, as ``country=DE``; empty for all its traffic."""
    return sa.Column(
        "segment",
        Name(SEGMENT_CHARACTERS),
        nullable=False,
        default="",
        server_default="",
        primary_key=primary_key,
    )


metadata = sa.MetaData()

#: The one truth about which schema this is; Alembic's own table, under a name of ours.
schema = sa.Table(
    "kedge_schema",
    metadata,
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="kedge_schema_pkc"),
)

#: Facts about the store itself: when it was made.
meta = sa.Table(
    "kedge_meta",
    metadata,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("value", sa.String(256), nullable=False),
)

#: One row: which process may write (its epoch), and how many commits there were. It changes in
#: every transaction, so it also tells whether a commit whose answer was lost took effect.
writer = sa.Table(
    "kedge_writer",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("commits", sa.BigInteger, nullable=False),
    sa.Column("holder", Name(256), nullable=False),
)

#: How far every stream of every source has been counted.
positions = sa.Table(
    "kedge_positions",
    metadata,
    sa.Column("source", Name(128), primary_key=True),
    sa.Column("stream", Name(128), primary_key=True),
    sa.Column("position", sa.JSON, nullable=False),
)

#: Panes that a window still needs, open ones too: what makes a restart forget nothing.
panes = sa.Table(
    "kedge_panes",
    metadata,
    sa.Column("version", Name(128), primary_key=True),
    _segment(primary_key=True),
    sa.Column("pane", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
)

#: What else is open: the windows' watermark, the learned schema, a reference being collected.
states = sa.Table(
    "kedge_states",
    metadata,
    sa.Column("name", Name(128), primary_key=True),
    sa.Column("payload", sa.LargeBinary, nullable=False),
)

#: Where each rule stands with each version, and with each segment of it that it looks at.
rules = sa.Table(
    "kedge_rules",
    metadata,
    sa.Column("rule", Name(128), primary_key=True),
    sa.Column("version", Name(128), primary_key=True),
    _segment(primary_key=True),
    sa.Column("state", sa.JSON, nullable=False),
)

#: Counts since the store was made, by source.
totals = sa.Table(
    "kedge_totals",
    metadata,
    sa.Column("source", Name(128), primary_key=True),
    sa.Column("events", sa.BigInteger, nullable=False),
    sa.Column("rejected", sa.BigInteger, nullable=False),
    sa.Column("late", sa.BigInteger, nullable=False),
    sa.Column("shed", sa.BigInteger, nullable=False),
)

windows = sa.Table(
    "kedge_windows",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("model", Name(256), nullable=False),
    sa.Column("version", Name(128), nullable=False),
    sa.Column("begins", sa.Float, nullable=False),
    sa.Column("ends", sa.Float, nullable=False),
    sa.Column("events", sa.BigInteger, nullable=False),
    sa.Column("requests", sa.BigInteger, nullable=False),
    sa.Column("errors", sa.BigInteger, nullable=False),
    sa.Column("rejected", sa.BigInteger, nullable=False),
    sa.Column("late", sa.BigInteger, nullable=False),
    # Of traffic; or of labels, or of a shadow: then its events are pairs, and it has no requests.
    sa.Column("kind", sa.String(16), nullable=False, default="traffic", server_default="traffic"),
    # When it was written, by the wall clock: what retention goes by. A log of last year is
    # worth reading, and its windows are kept as long as today's.
    sa.Column("stored", sa.Float, nullable=False),
    _segment(),
    # Windows of a number of events can share `ends`: the id makes the order whole.
    sa.Index("kedge_windows_ends", "ends", "id"),
    sa.Index("kedge_windows_version", "version", "ends", "id"),
    sa.Index("kedge_windows_stored", "stored"),
)

measurements = sa.Table(
    "kedge_measurements",
    metadata,
    sa.Column("window", sa.BigInteger, primary_key=True, autoincrement=False),
    # Empty for metrics of the whole window; of a shadow, the version that it is compared with.
    sa.Column("column", Name(COLUMN_CHARACTERS), primary_key=True),
    sa.Column("metric", Name(METRIC_CHARACTERS), primary_key=True),
    sa.Column("value", Figure),
    sa.Column("low", Figure),
    sa.Column("high", Figure),
    sa.Column("p_value", Figure),
    sa.Column("n", sa.BigInteger, nullable=False),
    sa.Column("threshold", Figure),
    sa.Column("verdict", sa.String(16), nullable=False),
    sqlite_with_rowid=False,
)

#: Where the columns of a reference are cut, and its rows in the bins
#: (`monitor.pictures.distributions`).
cuts = sa.Table(
    "kedge_cuts",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("payload", sa.LargeBinary, nullable=False),
)

#: Rows per bin of a window's columns; of windows of all of a version's traffic only.
distributions = sa.Table(
    "kedge_distributions",
    metadata,
    sa.Column("window", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("cut", sa.String(64), nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Index("kedge_distributions_cut", "cut"),
)

#: Which columns and metrics were ever measured: a question about another one is answered
#: without a search, and one about a metric of few columns is asked of these.
series = sa.Table(
    "kedge_series",
    metadata,
    sa.Column("column", Name(COLUMN_CHARACTERS), primary_key=True),
    sa.Column("metric", Name(METRIC_CHARACTERS), primary_key=True),
)

#: Hours of windows that retention has taken: an hour holds the windows that ended in it.
hours = sa.Table(
    "kedge_hours",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("model", Name(256), nullable=False),
    sa.Column("version", Name(128), nullable=False),
    sa.Column("begins", sa.Float, nullable=False),
    sa.Column("ends", sa.Float, nullable=False),
    sa.Column("windows", sa.BigInteger, nullable=False),
    # When the last of its windows was written.
    sa.Column("stored", sa.Float, nullable=False),
    _segment(),
    # The time first: an index of one model would tempt SQLite to sort the whole year.
    sa.UniqueConstraint("begins", "version", "segment", "model", name="kedge_hours_key"),
    sa.Index("kedge_hours_ends", "ends", "id"),
    sa.Index("kedge_hours_version", "version", "ends", "id"),
    sa.Index("kedge_hours_stored", "stored"),
)

#: What was measured in an hour. Everything here adds up, so windows may come in any portions.
hourly = sa.Table(
    "kedge_hourly",
    metadata,
    sa.Column("hour", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("column", Name(COLUMN_CHARACTERS), primary_key=True),
    sa.Column("metric", Name(METRIC_CHARACTERS), primary_key=True),
    sa.Column("n", sa.BigInteger, nullable=False),
    sa.Column("windows", sa.BigInteger, nullable=False),
    # Windows that had a value at all: what the sum is divided by.
    sa.Column("valued", sa.BigInteger, nullable=False),
    sa.Column("value_sum", Figure),
    sa.Column("value_min", Figure),
    sa.Column("value_max", Figure),
    sa.Column("low_min", Figure),
    sa.Column("high_max", Figure),
    # Null also where it changed within the hour.
    sa.Column("threshold", Figure),
    sa.Column("breaches", sa.BigInteger, nullable=False),
    sa.Column("unknowns", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

#: What a person would want to be told of: breaches opened, confirmed, cleared; refusals.
incidents = sa.Table(
    "kedge_incidents",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("model", Name(256), nullable=False),
    sa.Column("version", Name(128)),
    sa.Column("rule", Name(128)),
    sa.Column("rollback", Name(64)),
    sa.Column("evidence", Document, nullable=False),
    sa.Column("stored", sa.Float, nullable=False),
    _segment(),
    sa.Index("kedge_incidents_at", "at"),
    sa.Index("kedge_incidents_stored", "stored"),
)

#: The journal: one row a rollback, as it stands.
rollbacks = sa.Table(
    "kedge_rollbacks",
    metadata,
    sa.Column("id", Name(64), primary_key=True),
    sa.Column("model", Name(256), nullable=False),
    sa.Column("state", sa.String(32), nullable=False),
    sa.Column("record", Document, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("updated", sa.Float, nullable=False),
    sa.Index("kedge_rollbacks_created", "created"),
)

#: The journal's history: one row a transition, written before what it announces is done.
rollback_transitions = sa.Table(
    "kedge_rollback_transitions",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("rollback", Name(64), sa.ForeignKey(rollbacks.c.id, ondelete="CASCADE")),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("transition", Document, nullable=False),
    sa.Index("kedge_rollback_transitions_rollback", "rollback"),
)

#: What was seen of each version, for people; the decision keeps what it needs by itself.
versions = sa.Table(
    "kedge_versions",
    metadata,
    sa.Column("model", Name(256), primary_key=True),
    sa.Column("version", Name(128), primary_key=True),
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
    sa.Column("id", Name(128), primary_key=True),
    sa.Column("joined", sa.SmallInteger, nullable=False),
    sa.Column("ts", sa.Float, nullable=False),
    sa.Column("version", Name(128)),
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
    sa.Column("version", Name(128), primary_key=True),
    sa.Column("pane", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
)
