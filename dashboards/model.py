"""The dashboard *Model*: one model, and first of all what is wrong with it."""

from __future__ import annotations

from dashboards.board import MODEL, OF_MODEL, SERVING, VERSION, Board
from dashboards.panels import About, Panel, Query, heat, lines, states, tile, word
from dashboards.words import OUTCOMES, PHASES, RULE_STATES, VERDICTS

_M = 'model="$model"'
_V = 'model="$model", version=~"$version"'
_RATE = "[$__rate_interval]"

#: Distances and shares, of which more is worse: what a threshold above means something for.
DISTANCES = (
    'metric=~"drift|psi|ks|js|hellinger|cvm|wasserstein|chi2|linf|mmd|mean_distance'
    '|correlation_shift|(missing|invalid|new_category|out_of_range)_ratio"'
)

#: What is proven of a column's drift, as a share of the threshold it is compared with.
SHARE = (
    f"max by (model, version, column) (kedge_drift_low{{{_V}, {DISTANCES}}}"
    f" / ignoring (version) group_left () kedge_drift_threshold{{{_M}, {DISTANCES}}})"
)

_ENDED = f"kedge_rollback_ended_timestamp_seconds{{{_M}}}"


def _wrong() -> list[Panel]:
    return [
        tile(
            About(
                "Verdict",
                "The worst of all rules that can decide; UNKNOWN where none can. Rules look at the "
                "version that serves.",
                width=4,
                height=6,
                empty="no word from Kedge",
            ),
            Query(f"max(kedge_rule_state{{{_M}}} < 3) or max(kedge_rule_state{{{_M}}})"),
            words=VERDICTS,
        ),
        tile(
            About(
                "In breach for",
                "Rules in breach, and for how long, from the end of the window that proved it.",
                unit="s",
                width=5,
                height=6,
                empty="no rule",
            ),
            Query(
                f"clamp_min(time() - (kedge_rule_state_since_timestamp_seconds{{{_M}}}"
                f" and kedge_rule_state{{{_M}}} == 2), 0)",
                "{{rule}}",
                now=True,
            ),
            color="red",
        ),
        tile(
            About(
                "Columns that drifted",
                "Of versions with requests in the last ten minutes: the lower confidence bound of "
                "the drift, in thresholds, where it is above one; the eight worst.",
                unit="suffix:x the threshold",
                width=7,
                height=6,
                empty="none that a rule looks at",
            ),
            Query(f"topk(8, {SHARE} > 1 and {SERVING})", "{{column}} (v{{version}})", now=True),
            color="red",
        ),
        word(
            About(
                "Kedge",
                "What Kedge is doing about it now.",
                width=4,
                height=6,
                empty="does not decide: no registry",
            ),
            Query(f"kedge_rollback_state{{{_M}}} == 1"),
            "state",
            PHASES,
        ),
        word(
            About(
                "Last rollback",
                "How the last rollback ended, and so whether it helped.",
                width=4,
                height=6,
                empty="none yet",
            ),
            Query(f"topk(1, max by (outcome) ({_ENDED}))"),
            "outcome",
            OUTCOMES,
        ),
    ]


def _besides() -> list[Panel]:
    return [
        word(
            About("Serves now", "The version with the most requests.", width=4, height=4),
            Query(
                f"topk(1, sum by (version) (increase(kedge_predictions_total{{{_M}}}[10m])) > 0)"
            ),
            "version",
        ),
        tile(
            About(
                "Registered",
                "How long ago the version that serves was registered.",
                unit="s",
                width=4,
                height=4,
                empty="not known",
            ),
            Query(f"kedge_model_age_seconds{{{_M}}}", "v{{version}}"),
        ),
        tile(
            About(
                "Refused by",
                "Gates that refused a rollback in the time shown, and how often.",
                width=8,
                height=4,
                empty="no gate",
            ),
            Query(
                f"sum by (gate) (round(increase(kedge_gate_refusals_total{{{_M}}}[$__range]))) > 0",
                "{{gate}}",
                now=True,
            ),
            color="orange",
        ),
        tile(
            About(
                "Rollback ended",
                "How long ago the last rollback ended.",
                unit="s",
                width=4,
                height=4,
                empty="none yet",
            ),
            Query(f"time() - max({_ENDED})"),
        ),
        tile(
            About(
                "Newest event",
                "Age of the newest event when it was counted: how old all of this is.",
                unit="s",
                width=4,
                height=4,
                empty="nothing was read",
            ),
            Query(f"max(kedge_ingest_lag_seconds and {OF_MODEL})"),
        ),
    ]


def _history() -> list[Panel]:
    return [
        states(
            About("Rules", "Where each rule stood with the version that served.", width=14),
            Query(f"max by (rule) (kedge_rule_state{{{_M}}})", "{{rule}}"),
            words=RULE_STATES,
        ),
        states(
            About("Rollback", "The state that held; WATCHING is left out.", width=10),
            Query(
                f'max by (state) (kedge_rollback_state{{{_M}, state!="WATCHING"}} == 1)',
                "{{state}}",
            ),
            words={"1": ("", "orange")},
        ),
    ]


def _service() -> list[Panel]:
    errors = f'sum by (version) (rate(kedge_predictions_total{{{_V}, status=~"[45].."}}{_RATE}))'
    known = f'sum by (version) (rate(kedge_predictions_total{{{_V}, status!~"0|unknown"}}{_RATE}))'
    bucket = f"rate(kedge_prediction_latency_seconds_bucket{{{_V}}}{_RATE})"
    mean = (
        f"sum by (version) (rate(kedge_prediction_latency_seconds_sum{{{_V}}}{_RATE}))"
        f" / sum by (version) (rate(kedge_prediction_latency_seconds_count{{{_V}}}{_RATE}))"
    )
    return [
        lines(
            About(
                "Requests",
                "Requests a second by version, as they are counted; beside them what the last "
                "closed window says.",
                unit="reqps",
            ),
            Query(
                f'sum by (version) (rate(kedge_predictions_total{{{_V}, status!="0"}}{_RATE}))',
                "v{{version}}",
            ),
            Query(f"kedge_window_requests_per_second{{{_V}}}", "v{{version}} window"),
        ),
        lines(
            About(
                "Failed requests",
                "Share of the requests with a status of 400 and above. Logs that do not tell the "
                "status are not counted.",
                unit="percentunit",
            ),
            Query(f"({errors} or 0 * {known}) / ({known} > 0)", "v{{version}}"),
            Query(f"kedge_window_error_ratio{{{_V}}}", "v{{version}} window"),
            Query(f'kedge_drift_threshold{{{_M}, column="", metric="error_ratio"}}', "threshold"),
        ),
        lines(
            About(
                "Latency of the last window",
                "Percentiles of the last closed window, by version.",
                unit="s",
            ),
            Query(f"kedge_window_latency_seconds{{{_V}}}", "v{{version}} p{{percentile}}"),
            Query(
                f'kedge_drift_threshold{{{_M}, column="", metric=~"latency_p.*"}} / 1000',
                "{{metric}} threshold",
            ),
            bounds=True,
        ),
        lines(
            About(
                "Latency as it is counted",
                "From the histogram, so the 99th percentile is as exact as its buckets are.",
                unit="s",
            ),
            Query(f"histogram_quantile(0.99, sum by (version, le) ({bucket}))", "v{{version}} p99"),
            Query(mean, "v{{version}} mean"),
        ),
    ]


def _drift() -> list[Panel]:
    return [
        heat(
            About(
                "Drift by column, as a share of its threshold",
                "The lower confidence bound over the threshold, for columns that a rule looks at: "
                "red is proven. Shown up to twice the threshold.",
                unit="percentunit",
                height=10,
            ),
            Query(f"clamp_max({SHARE}, 2)", "{{column}} v{{version}}"),
            worst=1.0,
        ),
        heat(
            About(
                "Drift by column, PSI",
                "The statistic itself, for every column, whether a rule looks at it or not.",
                height=10,
            ),
            Query(f'kedge_drift_statistic{{{_V}, metric="psi"}}', "{{column}} v{{version}}"),
            worst=0.5,
        ),
        lines(
            About(
                "Missing values",
                "Share of missing values, by column; the ten most.",
                unit="percentunit",
            ),
            Query(f"topk(10, kedge_missing_ratio{{{_V}}})", "{{column}} v{{version}}"),
        ),
        lines(
            About(
                "Changes that were found",
                "Alarms of change detectors in the time between two points, by column.",
            ),
            Query(
                "sum by (metric, column, direction)"
                f" (increase(kedge_changes_total{{{_V}}}{_RATE}))",
                "{{metric}} {{column}} {{direction}}",
            ),
        ),
    ]


def _performance() -> list[Panel]:
    return [
        lines(
            About(
                "Performance",
                "Figures of predictions and their labels in the last closed window, with "
                "confidence bounds and the thresholds of rules; `estimated_…` until labels tell.",
                width=16,
            ),
            Query(f"kedge_performance{{{_V}}}", "v{{version}} {{metric}}"),
            Query(f"kedge_performance_low{{{_V}}}", "v{{version}} {{metric}} low"),
            Query(f"kedge_performance_high{{{_V}}}", "v{{version}} {{metric}} high"),
            Query(
                f'kedge_drift_threshold{{{_M}, column=""}} and on (model, metric) '
                f"kedge_performance{{{_V}}}",
                "{{metric}} threshold",
            ),
            bounds=True,
        ),
        lines(
            About("Labels", "Labels a second that met their prediction.", unit="cps", width=8),
            Query(f"sum by (version) (rate(kedge_labels_total{{{_V}}}{_RATE}))", "v{{version}}"),
        ),
    ]


def _server() -> list[Panel]:
    return [
        lines(
            About(
                "Processor",
                "Cores in use by what serves (1 is one core), and the share of its limit.",
            ),
            Query(f"kedge_resource_cpu_ratio and {OF_MODEL}", "{{target}}"),
            Query(f"kedge_resource_cpu_limit_ratio and {OF_MODEL}", "{{target}}, of its limit"),
            Query(f"kedge_resource_gpu_ratio and {OF_MODEL}", "{{target}} GPU {{gpu}}"),
        ),
        lines(
            About("Memory", "Memory in use by what serves, and on its GPUs.", unit="bytes"),
            Query(f"kedge_resource_memory_bytes and {OF_MODEL}", "{{target}}"),
            Query(f"kedge_resource_gpu_memory_bytes and {OF_MODEL}", "{{target}} GPU {{gpu}}"),
        ),
        lines(
            About(
                "Memory, of its limit",
                "Share of the memory limit in use by what serves.",
                "percentunit",
            ),
            Query(f"kedge_resource_memory_limit_ratio and {OF_MODEL}", "{{target}}"),
        ),
        lines(
            About("Threads and files", "Threads and open files of what serves."),
            Query(f"kedge_resource_threads and {OF_MODEL}", "{{target}} threads"),
            Query(f"kedge_resource_open_files and {OF_MODEL}", "{{target}} open files"),
        ),
    ]


BOARD = Board(
    name="model",
    title="Kedge / Model",
    text="One model: what is wrong, since when, where, what Kedge did, and whether it helped.",
    choices=(MODEL, VERSION),
    rows=(
        ("What is wrong, since when, what Kedge did", [*_wrong(), *_besides()]),
        ("How it went", _history()),
        ("Service", _service()),
        ("Drift by column", _drift()),
        ("Performance", _performance()),
        ("What serves", _server()),
    ),
)
