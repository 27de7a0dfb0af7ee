"""The dashboard *Shadow*: a version that answers unseen, beside the one that serves."""

from __future__ import annotations

from dashboards.board import Board
from dashboards.panels import About, Panel, Query, lines, tile

_M = 'model="$model"'
_RATE = "[$__rate_interval]"
_DISAGREEMENT = 'metric="disagreement"'
_LATENCY = 'metric=~".*latency.*"'


def _now() -> list[Panel]:
    return [
        tile(
            About(
                "They differ on",
                "Share of the last window's requests on which the two versions answered otherwise.",
                unit="percentunit",
                width=6,
                height=4,
                empty="no window of pairs yet",
            ),
            Query(f"kedge_shadow_disagreement_ratio{{{_M}}}", "v{{live}} and v{{shadow}}"),
        ),
        tile(
            About(
                "They differ on at least",
                "The lower confidence bound of it: so much is proven.",
                unit="percentunit",
                width=6,
                height=4,
                empty="no window of pairs yet",
            ),
            Query(f'kedge_shadow_low{{{_M}, metric="disagreement"}}', "v{{live}} and v{{shadow}}"),
        ),
        tile(
            About(
                "Threshold",
                "What a rule compares that bound with.",
                unit="percentunit",
                width=6,
                height=4,
                empty="no rule",
            ),
            Query(f'kedge_drift_threshold{{{_M}, metric="shadow_disagreement"}}'),
            color="red",
        ),
        tile(
            About(
                "Scored",
                "Share of the live requests that the shadow scored too, in the time shown. What "
                "was not scored is not compared.",
                unit="percentunit",
                width=6,
                height=4,
                empty="no requests",
            ),
            Query(
                f'sum(increase(kedge_shadow_requests_total{{{_M}, outcome="scored"}}[$__range]))'
                f" / (sum(increase(kedge_shadow_requests_total{{{_M}}}[$__range])) > 0)",
                now=True,
            ),
        ),
    ]


def _over_time() -> list[Panel]:
    return [
        lines(
            About(
                "Disagreement",
                "Share of pairs on which they differ, window by window, with its confidence bounds "
                "and the threshold.",
                unit="percentunit",
            ),
            Query(f"kedge_shadow_disagreement_ratio{{{_M}}}", "v{{live}}, v{{shadow}}"),
            Query(f'kedge_shadow_low{{{_M}, metric="disagreement"}}', "v{{live}}, v{{shadow}} low"),
            Query(
                f'kedge_shadow_high{{{_M}, metric="disagreement"}}', "v{{live}}, v{{shadow}} high"
            ),
            Query(f'kedge_drift_threshold{{{_M}, metric="shadow_disagreement"}}', "threshold"),
            bounds=True,
        ),
        lines(
            About(
                "Requests",
                "Live requests a second, by what became of them for the shadow: only `scored` ones "
                "are compared.",
                unit="reqps",
            ),
            Query(
                f"sum by (version, outcome) (rate(kedge_shadow_requests_total{{{_M}}}{_RATE}))",
                "v{{version}} {{outcome}}",
            ),
        ),
        lines(
            About(
                "How the answers differ",
                "What else was measured of the pairs of a window, latencies left out.",
            ),
            Query(
                f'kedge_shadow_statistic{{{_M}, metric!="disagreement", metric!~".*latency.*"}}',
                "v{{live}}, v{{shadow}} {{metric}}",
            ),
            Query(
                f'kedge_shadow_low{{{_M}, metric!="disagreement", metric!~".*latency.*"}}',
                "v{{live}}, v{{shadow}} {{metric}} low",
            ),
            Query(
                f'kedge_shadow_high{{{_M}, metric!="disagreement", metric!~".*latency.*"}}',
                "v{{live}}, v{{shadow}} {{metric}} high",
            ),
            bounds=True,
        ),
        _in_segments(),
        lines(
            About(
                "Latency",
                "Of both on the same requests. The shadow's is that of its own process, with the "
                "processor it is allowed.",
                unit="ms",
            ),
            Query(
                f"kedge_shadow_statistic{{{_M}, {_LATENCY}}}", "v{{live}}, v{{shadow}} {{metric}}"
            ),
        ),
    ]


def _in_segments() -> Panel:
    return lines(
        About(
            "Disagreement in segments",
            "Share of pairs on which they differ, with its confidence bounds, in the five "
            "segments whose lower bound is highest. Needs `[segments] keys`.",
            unit="percentunit",
            empty="no segments",
        ),
        *(
            Query(
                f"kedge_shadow_segment_{figure}{{{_M}, {_DISAGREEMENT}}}"
                f" and topk(5, kedge_shadow_segment_low{{{_M}, {_DISAGREEMENT}}})",
                f"v{{{{live}}}}, v{{{{shadow}}}} {{{{segment}}}}{called}",
            )
            for figure, called in (("statistic", ""), ("low", " low"), ("high", " high"))
        ),
        Query(f'kedge_drift_threshold{{{_M}, metric="shadow_disagreement"}}', "threshold"),
        bounds=True,
    )


BOARD = Board(
    name="shadow",
    title="Kedge / Shadow",
    text="A version that answers live requests unseen: how it differs from the one that serves.",
    rows=(("Now", _now()), ("Over time", _over_time())),
)
