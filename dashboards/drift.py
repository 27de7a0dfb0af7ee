"""The dashboard *Drift*: one column, what was measured of it, and what that was compared with."""

from __future__ import annotations

from dashboards.board import MODEL, VERSION, Board, Choice
from dashboards.panels import About, Panel, Query, bars, lines, tile
from dashboards.words import RULE_STATES

_M = 'model="$model"'
_V = 'model="$model", version=~"$version"'
_ONE = f'{_V}, column="$column", metric=~"$metric"'

_COLUMN = Choice(
    "column",
    "Column",
    f"label_values(kedge_drift_statistic{{{_M}}}, column)",
    first="prediction",
)
_METRIC = Choice(
    "metric",
    "Metric",
    f'label_values(kedge_drift_statistic{{{_M}, column="$column"}}, metric)',
    first="psi",
)


def _now() -> list[Panel]:
    return [
        tile(
            About("Now", "The statistic of the last closed window.", width=4, height=4),
            Query(f"kedge_drift_statistic{{{_ONE}}}", "v{{version}}"),
        ),
        tile(
            About("At least", "Its lower confidence bound: so much is proven.", width=4, height=4),
            Query(f"kedge_drift_low{{{_ONE}}}", "v{{version}}"),
        ),
        tile(
            About(
                "Threshold",
                "What a rule compares the bound with.",
                width=4,
                height=4,
                empty="no rule",
            ),
            Query(f'kedge_drift_threshold{{{_M}, column="$column", metric=~"$metric"}}'),
            color="red",
        ),
        tile(
            About(
                "Rows in the reference",
                "Rows of what windows are compared with; 0 means that drift is unknown.",
                width=4,
                height=4,
                empty="no reference",
            ),
            Query(f"kedge_reference_rows{{{_V}}}", "v{{version}}"),
        ),
        tile(
            About(
                "Reference made",
                "How long ago the reference was made.",
                unit="s",
                width=4,
                height=4,
                empty="no reference",
            ),
            Query(f"time() - kedge_reference_created_timestamp_seconds{{{_V}}}", "v{{version}}"),
        ),
        tile(
            About(
                "Rules of this model",
                "How many rules are in which state.",
                width=4,
                height=4,
            ),
            Query(f"max(kedge_rule_state{{{_M}}} < 3) or max(kedge_rule_state{{{_M}}})"),
            words=RULE_STATES,
        ),
    ]


def _share(of: str) -> Query:
    share = f'kedge_column_share_ratio{{{_M}, column="$column", of="{of}"}}'
    return Query(f"max by (bar) ({share})", of)


def _statistic() -> list[Panel]:
    return [
        bars(
            About(
                "Reference beside the last window",
                "Share of the rows in each bar, for the version that serves: in the reference, and "
                "in its last closed window. Of the prediction and the first hundred columns.",
                unit="percentunit",
                width=24,
                height=10,
                empty="no reference, or not among the columns that are exported",
            ),
            _share("reference"),
            _share("window"),
            label="bar",
            names=("reference", "last window"),
        ),
        lines(
            About(
                "Statistic, bounds and threshold",
                "The statistic of each closed window with its confidence bounds. A rule `above` is "
                "in breach when the lower bound passes the threshold.",
                width=24,
                height=11,
            ),
            Query(f"kedge_drift_statistic{{{_ONE}}}", "v{{version}} {{metric}}"),
            Query(f"kedge_drift_low{{{_ONE}}}", "v{{version}} {{metric}} low"),
            Query(f"kedge_drift_high{{{_ONE}}}", "v{{version}} {{metric}} high"),
            Query(
                f'kedge_drift_threshold{{{_M}, column="$column", metric=~"$metric"}}',
                "{{metric}} threshold",
            ),
            bounds=True,
        ),
        lines(
            About(
                "Missing values",
                "Share of missing values of this column, by version.",
                unit="percentunit",
            ),
            Query(f'kedge_missing_ratio{{{_V}, column="$column"}}', "v{{version}}"),
        ),
        lines(
            About(
                "Segments",
                "What rules look at of this column in segments of the traffic.",
            ),
            Query(
                f"kedge_segment_drift_statistic{{{_ONE}}}", "v{{version}} {{segment}} {{metric}}"
            ),
        ),
    ]


BOARD = Board(
    name="drift",
    title="Kedge / Drift",
    text="One column of one model: what was measured, how sure that is, and the threshold.",
    choices=(MODEL, VERSION, _COLUMN, _METRIC),
    rows=(("Now", _now()), ("Beside the reference, and over time", _statistic())),
)
