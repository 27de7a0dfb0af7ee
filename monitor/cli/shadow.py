"""``kedge shadow``: two versions of a model beside each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monitor.cli.options import config_option, json_option
from monitor.cli.replay import BREACH, format_option, opened

if TYPE_CHECKING:
    from rich.table import Table

    from monitor.replay.shadow import Compared


@click.group("shadow")
def command() -> None:
    """Compare two versions of a model by their answers to the same requests."""


@command.command("compare")
@config_option
@click.argument("logs", metavar="LOG...", nargs=-1, required=True)
@click.option("--live", metavar="VERSION", required=True, help="The version that served.")
@click.option("--shadow", metavar="VERSION", required=True, help="The one beside it.")
@click.option(
    "--sampling",
    metavar="SHARE",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Share of the requests to score, where answers are missing.",
)
@format_option
@json_option
@click.option("--fail-on-breach", is_flag=True, help="Exit with 3 if a rule fired.")
def compare(
    *,
    config: Path,
    logs: tuple[str, ...],
    live: str,
    shadow: str,
    sampling: float,
    format_: str | None,
    as_json: bool,
    fail_on_breach: bool,
) -> int:
    """Compare two versions over old logs.

    Where the logs hold both versions' answers under one id, those are compared. Where one of them
    is missing, that version is loaded from the registry of FILE and scores what was logged; this
    runs the model's code.

    \b
    Examples:
      kedge shadow compare -c kedge.toml 'logs/*.jsonl' --live 7 --shadow 8
      kedge shadow compare -c kedge.toml march.parquet --live 7 --shadow 8 --json
    """  # noqa: D301 - \b is click's mark
    if live == shadow:
        raise click.UsageError("--shadow: expected another version than --live")
    settings, found, reading = opened(config, logs, format_)
    import asyncio  # noqa: PLC0415 - not to print help

    from monitor.replay.shadow import Comparing, NothingToCompareError  # noqa: PLC0415 - the same

    comparing = Comparing(settings, found, reading, live=live, shadow=shadow, sampling=sampling)
    try:
        compared = asyncio.run(comparing.run())
    except NothingToCompareError as error:
        raise click.ClickException(str(error)) from error
    fired = [
        incident
        for window in compared.windows
        for incident in window.judged.incidents
        if incident["kind"] == "confirmed"
    ]
    if as_json:
        click.echo(json.dumps(_json(compared, fired)))
    else:
        _show(compared, fired)
    for fault in compared.faults:
        click.echo(f"kedge: {fault}", err=True)
    if fired and fail_on_breach:
        return BREACH
    return 1 if compared.faults else 0


def _json(compared: Compared, fired: list[Any]) -> dict[str, Any]:
    from dataclasses import asdict  # noqa: PLC0415 - not to print help

    from monitor.replay.shadow import measurement_json  # noqa: PLC0415 - the same
    from monitor.store.queries import rfc3339  # noqa: PLC0415 - the same

    return {
        "live": compared.live,
        "shadow": compared.shadow,
        "scored": list(compared.scored),
        "pairs": compared.counts.n,
        "rows": dict(compared.rows),
        "measurements": [measurement_json(one) for one in compared.measurements],
        "summary": asdict(compared.summary),
        "segments": [
            {
                "segment": one.segment,
                "pairs": one.summary.n,
                "measurements": [measurement_json(found) for found in one.measurements],
                "summary": asdict(one.summary),
            }
            for one in compared.segments
        ],
        "windows": [
            {
                "segment": one.judged.row.window["segment"] or None,
                "start": rfc3339(one.judged.row.window["begins"]),
                "end": rfc3339(one.judged.row.window["ends"]),
                "pairs": one.judged.row.window["events"],
                "measurements": [
                    {key: row[key] for key in ("metric", "value", "low", "high", "p_value", "n")}
                    for row in one.judged.row.measurements
                ],
                "rules": [{"rule": rule, "verdict": verdict} for rule, verdict in one.verdicts],
            }
            for one in compared.windows
        ],
        "fired": [
            {
                "at": rfc3339(one["at"]),
                "rule": one["rule"],
                "version": one["version"],
                "segment": one["segment"] or None,
                **{key: one["evidence"][key] for key in ("live", "value", "low", "high", "n")},
            }
            for one in fired
        ],
    }


def _show(compared: Compared, fired: list[Any]) -> None:
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - not to print help
    from rich.table import Table  # noqa: PLC0415 - the same

    from monitor.cli.screen import fitting, screen, texts  # noqa: PLC0415 - the same

    console = screen()
    how = f"; scored again: {', '.join(compared.scored)}" if compared.scored else ""
    console.print(f"{compared.summary.why}{how}", highlight=False, markup=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("shadow less live", "value [low, high]", "p", "rows"):
        table.add_column(heading, justify="left" if heading[0] in "sv" else "right")
    for one in compared.measurements:
        bounds = f"{_figure(one.value)} [{_figure(one.low)}, {_figure(one.high)}]"
        name = one.metric.removeprefix("shadow_")
        table.add_row(*texts(name, bounds, _figure(one.p_value), f"{one.n:,}"))
    console.print(fitting(table, console))
    if compared.segments:
        console.print(fitting(_by_segment(compared), console))
    others = {fate: rows for fate, rows in compared.rows.items() if fate != "compared" and rows}
    for fate, rows in others.items():
        click.echo(f"left out {rows:,} rows: {fate}", err=True)
    console.print(f"verdict: {compared.summary.verdict}", highlight=False)
    rules = sorted({_fired(one) for one in fired})
    fires = f"fired: {', '.join(rules)}" if rules else "no rule about shadows would have fired"
    windows = sum(not one.judged.row.window["segment"] for one in compared.windows)
    console.print(f"{windows:,} windows; {fires}", highlight=False, markup=False)


def _by_segment(compared: Compared) -> Table:
    """Return the segments, those that differ most for sure first."""
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - not to print help
    from rich.table import Table  # noqa: PLC0415 - the same

    from monitor.cli.screen import texts  # noqa: PLC0415 - the same

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("segment", "differs [low, high]", "rows", "verdict"):
        table.add_column(heading, justify="left" if heading[0] in "sv" else "right")
    worst = sorted(compared.segments, key=lambda one: -(one.summary.disagreement_low or 0.0))
    for one in worst:
        found = one.summary
        low, high = _figure(found.disagreement_low), _figure(found.disagreement_high)
        bounds = f"{_figure(found.disagreement)} [{low}, {high}]"
        table.add_row(*texts(one.segment, bounds, f"{found.n:,}", found.verdict))
    return table


def _fired(incident: dict[str, Any]) -> str:
    return (
        f"{incident['rule']} in {incident['segment']}" if incident["segment"] else incident["rule"]
    )


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
