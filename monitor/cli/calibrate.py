"""``kedge calibrate``: thresholds that keep a stated rate of false alarms."""

from __future__ import annotations

from pathlib import Path

import click

from monitor.cli.options import config_option, json_option
from monitor.cli.replay import (
    format_option,
    logs_argument,
    offline_option,
    opened,
    processes_option,
    progress_option,
    replaying,
    tell,
)


@click.command("calibrate")
@config_option
@logs_argument
@click.option(
    "--false-alarms",
    metavar="RATE",
    default="1 per 30d",
    show_default=True,
    help='False alarms of each rule at most: "1 per 30d", or "1 per 1000 windows".',
)
@format_option
@processes_option
@offline_option
@progress_option
@json_option
def command(
    *,
    config: Path,
    logs: tuple[str, ...],
    false_alarms: str,
    format_: str | None,
    processes: int | None,
    offline: bool,
    progress: bool | None,
    as_json: bool,
) -> int:
    """Propose thresholds from healthy logs.

    Replays logs that are known to be good, and prints the rules of FILE with thresholds that keep
    the stated rate of false alarms, as TOML to paste, each with what it rests on. Where the logs
    are too short to prove the rate, that is said, with the rate that they do prove. FILE is not
    changed.

    \b
    Example:
      kedge calibrate -c kedge.toml --false-alarms "1 per 30d" 'logs/march/*.jsonl.gz'
    """  # noqa: D301 - \b is click's mark
    from monitor.replay.calibrating import (  # noqa: PLC0415 - not to print help
        Healthy,
        as_data,
        calibrated,
        toml,
    )
    from monitor.settings.quantities import parse_false_alarms  # noqa: PLC0415 - not to print help

    try:
        asked = parse_false_alarms(false_alarms)
    except ValueError as error:
        raise click.UsageError(
            f'--false-alarms: expected "1 per 30d" or "1 per 1000 windows", got "{false_alarms}"'
        ) from error
    settings, found, reading = opened(config, logs, format_)
    if not settings.rules:
        raise click.UsageError(f"{config} has no [[rules]] to find thresholds for")
    healthy = Healthy(settings)
    with replaying(
        settings, found, reading, processes=processes, offline=offline, progress=progress
    ) as replay:
        healthy.read(replay.windows())
    tally = replay.tally
    tell(tally)
    results = calibrated(healthy, tally.newest, asked)
    if as_json:
        import json  # noqa: PLC0415 - not to print help

        click.echo(json.dumps(as_data(results, healthy, tally.newest, asked), indent=2))
    else:
        for line in toml(results, healthy, tally.newest, asked):
            click.echo(line)
    return 1 if tally.faults else 0
