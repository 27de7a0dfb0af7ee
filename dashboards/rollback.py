"""The dashboard *Rollback*: what Kedge decided, what it did, and what kept it from doing so."""

from __future__ import annotations

from dashboards.board import MODEL, Board
from dashboards.panels import About, Panel, Query, lines, states, tile, word
from dashboards.words import PHASES

_M = 'model="$model"'


def _now() -> list[Panel]:
    return [
        word(
            About(
                "Kedge",
                "What Kedge is doing now.",
                width=8,
                height=5,
                empty="does not decide: no registry",
            ),
            Query(f"kedge_rollback_state{{{_M}}} == 1"),
            "state",
            PHASES,
        ),
        tile(
            About(
                "Held for",
                "For how long automatic action is still stopped by a person.",
                unit="s",
                width=4,
                height=5,
                empty="not held",
            ),
            Query(f"(kedge_hold_until_timestamp_seconds{{{_M}}} > time()) - time()"),
        ),
        tile(
            About(
                "Rollbacks",
                "Those that ended in the time shown, by outcome.",
                width=6,
                height=5,
            ),
            Query(
                f"sum by (outcome) (round(increase(kedge_rollbacks_total{{{_M}}}[$__range]))) > 0",
                "{{outcome}}",
                now=True,
            ),
        ),
        tile(
            About(
                "Refused by",
                "Gates that refused in the time shown, and how often: why nothing was done.",
                width=6,
                height=5,
                empty="no gate",
            ),
            Query(
                f"sum by (gate) (round(increase(kedge_gate_refusals_total{{{_M}}}[$__range]))) > 0",
                "{{gate}}",
                now=True,
            ),
            color="orange",
        ),
    ]


def _over_time() -> list[Panel]:
    return [
        states(
            About("States", "The state that held; WATCHING is left out.", width=24),
            Query(
                f'max by (state) (kedge_rollback_state{{{_M}, state!="WATCHING"}} == 1)',
                "{{state}}",
            ),
            words={"1": ("", "orange")},
        ),
        lines(
            About("Refusals", "Within the hour before, by gate."),
            Query(f"sum by (gate) (increase(kedge_gate_refusals_total{{{_M}}}[1h]))", "{{gate}}"),
        ),
        lines(
            About(
                "From the breach to the verified recovery",
                "Rollbacks that were resolved within the day before: the median, the slowest "
                "tenth, and the mean.",
                unit="s",
            ),
            Query(f"histogram_quantile(0.5, sum by (le) ({_lately('bucket')}))", "median"),
            Query(f"histogram_quantile(0.9, sum by (le) ({_lately('bucket')}))", "90 %"),
            Query(f"sum({_lately('sum')}) / (sum({_lately('count')}) > 0)", "mean"),
        ),
    ]


def _of_model() -> str:
    return f"on (job, instance) kedge_rollback_state{{{_M}}}"


def _lately(part: str) -> str:
    return f"increase(kedge_rollback_duration_seconds_{part}[1d]) and {_of_model()}"


def _people() -> list[Panel]:
    return [
        lines(
            About(
                "What people said",
                "Holds, resumes, blessings and quarantines within the hour before.",
                width=8,
            ),
            Query(
                f"sum by (action) (increase(kedge_operator_actions_total{{{_M}}}[1h]))",
                "{{action}}",
            ),
        ),
        lines(
            About(
                "Alerts of others",
                "Alerts that were posted to Kedge within the hour before, by what they were.",
                width=8,
            ),
            Query(f"sum by (outcome) (increase(kedge_alerts_total{{{_M}}}[1h]))", "{{outcome}}"),
        ),
        lines(
            About(
                "Who was told",
                "Notifications within the hour before, by channel and what became of them.",
                width=8,
            ),
            Query(
                "sum by (channel, outcome) (increase(kedge_notifications_total[1h])"
                f" and {_of_model()})",
                "{{channel}} {{outcome}}",
            ),
        ),
    ]


def _who_acts() -> list[Panel]:
    return [
        lines(
            About(
                "Who may act",
                "1 is who works, 0 who waits or could not renew its lease in time. Two at once "
                "must not be; none for longer than the lease means that nobody watches. "
                "Needs `[rollback.lease]`.",
                width=8,
            ),
            Query(f"kedge_lease_held{{{_M}}}", "{{instance}}"),
        ),
        lines(
            About(
                "Leases lost",
                "Within the hour before: renewals without success, leases that were lost, and "
                "places taken over from who stood still. Who has lost it ends at once, so that "
                "`taken_over`, which the next one counts, is what stays.",
                width=8,
            ),
            Query(f"sum by (event) (increase(kedge_lease_events_total{{{_M}}}[1h]))", "{{event}}"),
        ),
        lines(
            About(
                "Comparisons with the target",
                "Those that ended within the hour before, by what they found: whether the "
                "rollback's target does better on the same requests.",
                width=8,
            ),
            Query(
                f"sum by (verdict) (increase(kedge_target_comparisons_total{{{_M}}}[1h]))",
                "{{verdict}}",
            ),
        ),
    ]


BOARD = Board(
    name="rollback",
    title="Kedge / Rollback",
    text="What Kedge decided about one model, what it did, what kept it, and who was told.",
    choices=(MODEL,),
    rows=(
        ("Now", _now()),
        ("Over time", _over_time()),
        ("People and others", _people()),
        ("Who acts, and where to", _who_acts()),
    ),
)
