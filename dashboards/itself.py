"""The dashboard *Kedge itself*: does it read, does it keep up, does it lose anything."""

from __future__ import annotations

from dashboards.board import MARKS, Board, Choice
from dashboards.panels import About, Panel, Query, lines, tile

_I = 'instance=~"$instance"'
_RATE = "[$__rate_interval]"

_INSTANCE = Choice("instance", "Kedge", "label_values(kedge_build_info, instance)", every=True)


def _rate(metric: str, by: str, more: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{{_I}{more}}}{_RATE}))"


def _now() -> list[Panel]:
    lost = " + ".join(
        f"(sum(increase({metric}{{{_I}}}[$__range])) or vector(0))"
        for metric in ("kedge_rejected_events_total", "kedge_shed_events_total")
    )
    return [
        tile(
            About("Running", "Kedges that are scraped, by version.", width=4, height=4),
            Query(f"count by (version) (kedge_build_info{{{_I}}})", "{{version}}"),
        ),
        tile(
            About(
                "Furthest behind",
                "Age of the newest event when it was counted, of the source that is worst.",
                unit="s",
                width=4,
                height=4,
            ),
            Query(f"max(kedge_ingest_lag_seconds{{{_I}}})"),
        ),
        tile(
            About("Not read yet", "Bytes that stand in the sources.", "bytes", width=4, height=4),
            Query(f"sum(kedge_ingest_backlog_bytes{{{_I}}})"),
        ),
        tile(
            About(
                "Not used",
                "Lines that were rejected and events that were shed in the time shown.",
                width=4,
                height=4,
            ),
            Query(lost, now=True),
            color="orange",
        ),
        tile(
            About(
                "Commits that failed",
                "Transactions that failed in the time shown. Nothing is lost by that; they are "
                "tried again.",
                width=4,
                height=4,
            ),
            Query(
                f'sum(increase(kedge_store_commits_total{{{_I}, outcome="failed"}}[$__range]))',
                now=True,
            ),
            color="orange",
        ),
        tile(
            About("Unreadable files", "Files of sources that cannot be read.", width=4, height=4),
            Query(f"sum(kedge_unreadable_files{{{_I}}})"),
            color="orange",
        ),
    ]


def _reading() -> list[Panel]:
    return [
        lines(
            About(
                "How far behind",
                "Age of the newest event when it was counted, by source.",
                unit="s",
            ),
            Query(f"kedge_ingest_lag_seconds{{{_I}}}", "{{instance}} {{source}}"),
        ),
        lines(
            About("Backlog", "Bytes that stand in the source and were not read.", unit="bytes"),
            Query(f"kedge_ingest_backlog_bytes{{{_I}}}", "{{instance}} {{source}}"),
        ),
        lines(
            About("Read", "Bytes a second, by source.", unit="Bps"),
            Query(_rate("kedge_ingest_bytes_total", "instance, source"), "{{instance}} {{source}}"),
        ),
        lines(
            About("Events", "Predictions a second that were counted.", unit="cps"),
            Query(_rate("kedge_predictions_total", "instance, model"), "{{instance}} {{model}}"),
        ),
        lines(
            About("Windows", "Events in the last closed window, by model and version."),
            Query(f"kedge_window_events{{{_I}}}", "{{model}} v{{version}}"),
        ),
        lines(
            About("Files", "Files of sources that cannot be read, or not to their end."),
            Query(f"kedge_unreadable_files{{{_I}}}", "{{instance}} {{source}}"),
        ),
    ]


def _losing() -> list[Panel]:
    return [
        lines(
            About("Rejected", "Lines a second that could not be used, by reason.", unit="cps"),
            Query(_rate("kedge_rejected_events_total", "source, reason"), "{{source}} {{reason}}"),
        ),
        lines(
            About(
                "Late, ahead, shed, repeated",
                "Events a second that came after their window had closed, from the future, were "
                "dropped by a limit, or had come before.",
                unit="cps",
            ),
            Query(_rate("kedge_late_events_total", "source"), "{{source}} late"),
            Query(_rate("kedge_ahead_events_total", "source"), "{{source}} ahead"),
            Query(_rate("kedge_shed_events_total", "source"), "{{source}} shed"),
            Query(_rate("kedge_duplicate_events_total", "source"), "{{source}} repeated"),
        ),
        lines(
            About(
                "Joined, alone, ignored, unknown keys",
                "A second: events that came in two parts, parts without the other, lines that hold "
                "no prediction, keys that the format does not know.",
                unit="cps",
            ),
            Query(_rate("kedge_joined_events_total", "source"), "{{source}} joined"),
            Query(_rate("kedge_unjoined_events_total", "source"), "{{source}} alone"),
            Query(_rate("kedge_ignored_lines_total", "source"), "{{source}} ignored"),
            Query(_rate("kedge_unknown_keys_total", "source"), "{{source}} unknown keys"),
        ),
        lines(
            About(
                "Limits",
                "What limits cost in the time between two points: docs/reliability.md says what "
                "each is. Labels that fold into `other` are among it.",
            ),
            Query(
                f"sum by (limit) (increase(kedge_limit_reached_total{{{_I}}}{_RATE})) > 0",
                "{{limit}}",
            ),
            Query(
                f"sum by (label) (increase(kedge_folded_labels_total{{{_I}}}{_RATE})) > 0",
                "folded {{label}}",
            ),
        ),
        lines(
            About("Refused clients", "Requests and connections that a limit ended, by limit."),
            Query(
                f"sum by (reason) (increase(kedge_http_refused_total{{{_I}}}{_RATE}))", "{{reason}}"
            ),
        ),
        lines(
            About(
                "Labels",
                "Rows that are kept for labels to come, and what became of labels and predictions, "
                "a second.",
            ),
            Query(f"kedge_labels_waiting{{{_I}}}", "waiting {{kind}}"),
            Query(_rate("kedge_label_fates_total", "kind, fate"), "{{kind}} {{fate}} a second"),
        ),
    ]


def _store() -> list[Panel]:
    bucket = _rate("kedge_store_commit_seconds_bucket", "instance, le")
    mean = (
        _rate("kedge_store_commit_seconds_sum", "instance")
        + " / "
        + _rate("kedge_store_commit_seconds_count", "instance")
    )
    return [
        lines(
            About("Commits", "Transactions a second, by outcome.", unit="cps"),
            Query(_rate("kedge_store_commits_total", "outcome"), "{{outcome}}"),
        ),
        lines(
            About("Time of a commit", "The slowest hundredth, and the mean.", unit="s"),
            Query(f"histogram_quantile(0.99, {bucket})", "{{instance}} p99"),
            Query(mean, "{{instance}} mean"),
        ),
        lines(
            About(
                "What could not be asked",
                "Questions without an answer in the time between two points: of the registry for "
                "references and ages, and of what serves for what it uses.",
            ),
            Query(
                f"sum by (reason) (increase(kedge_reference_failures_total{{{_I}}}{_RATE}))",
                "reference: {{reason}}",
            ),
            Query(
                f"sum by (reason) (increase(kedge_model_age_failures_total{{{_I}}}{_RATE}))",
                "age: {{reason}}",
            ),
            Query(
                f"sum by (target, reason) (increase(kedge_resource_failures_total{{{_I}}}{_RATE}))",
                "{{target}}: {{reason}}",
            ),
        ),
        lines(
            About(
                "Detectors",
                "In the time between two points: windows by what a seasonal reference compared "
                "them with, values that change detectors passed over, memory of theirs that was "
                "dropped.",
            ),
            Query(
                f"sum by (basis) (increase(kedge_seasonal_windows_total{{{_I}}}{_RATE}))",
                "season: {{basis}}",
            ),
            Query(
                "sum by (metric, reason) "
                f"(increase(kedge_change_values_skipped_total{{{_I}}}{_RATE}))",
                "{{metric}} skipped: {{reason}}",
            ),
            Query(
                f"sum by (reason) (increase(kedge_change_memory_dropped_total{{{_I}}}{_RATE}))",
                "memory dropped: {{reason}}",
            ),
        ),
    ]


BOARD = Board(
    name="itself",
    title="Kedge itself",
    text="Whether Kedge reads, keeps up, and loses nothing.",
    choices=(_INSTANCE,),
    marks=tuple(mark for mark in MARKS if "$model" not in mark.query),
    rows=(
        ("Now", _now()),
        ("Reading", _reading()),
        ("What was not used", _losing()),
        ("Store, registry, detectors", _store()),
    ),
)
