"""``kedge replay``: old logs through windows, detectors and rules."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from monitor.cli.options import config_option, force_option, json_option

if TYPE_CHECKING:
    from monitor.replay.old_logs import OldLog, Reading
    from monitor.replay.replay import Replay, Tally
    from monitor.reports.from_replay import ReplayFacts
    from monitor.settings.settings import Settings

#: Exit status where something fired and that was asked for.
BREACH = 3

logs_argument = click.argument("logs", metavar="LOG...", nargs=-1, required=True)
format_option = click.option(
    "--format",
    "format_",
    metavar="NAME",
    default=None,
    help='Format of the lines, or "auto".  [default: that of the first [[collect]]]',
)
processes_option = click.option(
    "--processes",
    metavar="N",
    type=click.IntRange(1),
    default=None,
    help="Processes that decode.  [default: one for every core]",
)
offline_option = click.option(
    "--offline",
    is_flag=True,
    help='With [reference] from = "registry": use the copies that are kept, ask no registry.',
)
progress_option = click.option(
    "--progress/--no-progress",
    default=None,
    help="Show a progress bar.  [default: on a terminal]",
)


@click.command("replay")
@config_option
@logs_argument
@format_option
@processes_option
@offline_option
@progress_option
@json_option
@click.option("--fail-on-breach", is_flag=True, help="Exit with 3 if a rule fired.")
@click.option(
    "--report",
    "report_to",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write an HTML report of it, too.",
)
@force_option
def command(
    *,
    config: Path,
    logs: tuple[str, ...],
    format_: str | None,
    processes: int | None,
    offline: bool,
    progress: bool | None,
    as_json: bool,
    fail_on_breach: bool,
    report_to: Path | None,
    force: bool,
) -> int:
    """Show what old logs would have set off.

    Runs the windows, detectors and rules of FILE over old logs, and acts on nothing: it leaves
    the store alone, and asks the registry for references only. Logs are JSON lines in any format
    that Kedge reads, CSV or Parquet, plain or compressed (gzip, Zstandard). Several are read in
    the order of their first events, those of the same hours side by side.

    \b
    Examples:
      kedge replay -c kedge.toml 'logs/predictions-2026-03-*.jsonl.gz'
      kedge replay -c kedge.toml --json --fail-on-breach march.parquet
      kedge replay -c kedge.toml --report march.html march.parquet
    """  # noqa: D301 - \b is click's mark
    from monitor.cli.output import refuse_existing  # noqa: PLC0415 - not to print help
    from monitor.cli.replay_view import Findings, printed_json  # noqa: PLC0415 - as above
    from monitor.reports.from_replay import ReplayFacts  # noqa: PLC0415 - as above

    if report_to is not None:
        refuse_existing(report_to, force=force)
    settings, found, reading = opened(config, logs, format_)
    facts = ReplayFacts() if report_to is not None else None
    with replaying(
        settings, found, reading, processes=processes, offline=offline, progress=progress
    ) as replay:
        findings = Findings()
        windows = replay.windows() if facts is None else facts.watch(replay.windows())
        if as_json:
            printed_json(windows, findings)
        else:
            findings.read(windows)
    if not as_json:
        findings.show([rule.name for rule in settings.rules])
    tell(replay.tally)
    if facts is not None and report_to is not None:
        _report(facts, report_to, settings, found, replay.tally)
    if findings.fired and fail_on_breach:
        return BREACH
    return 1 if replay.tally.faults else 0


def _report(
    facts: ReplayFacts, out: Path, settings: Settings, logs: Sequence[OldLog], tally: Tally
) -> None:
    from monitor.reports.page import html  # noqa: PLC0415 - only where a report is asked for
    from monitor.whole_file import write_whole  # noqa: PLC0415 - not to print help

    named = "the log" if len(logs) == 1 else f"{len(logs):,} logs, the first of them"
    notes = [f"{lines:,} lines were left out: {why}." for why, lines in tally.rejected.items()]
    if tally.late:
        notes.append(f"{tally.late:,} events were left out: late, their windows were closed.")
    notes += [*tally.references.values(), *tally.faults]
    page = html(
        facts.facts(
            model=settings.model.name,
            source=f"{named} {Path(logs[0].path).name}",
            notes=notes,
        )
    )
    write_whole(out, page)
    click.echo(f"wrote {out}: {len(page) / 1e6:.1f} MB", err=True)


def opened(
    config: Path, logs: Sequence[str], format_: str | None
) -> tuple[Settings, list[OldLog], Reading]:
    """Read the configuration, and find the logs.

    Raises
    ------
    click.UsageError
        A log is not there, or no such format is known.
    """
    from monitor.settings.faults import nearest  # noqa: PLC0415 - not to print help
    from monitor.settings.kinds import formats  # noqa: PLC0415 - not to print help
    from monitor.settings.settings import load  # noqa: PLC0415 - not to print help

    settings = load(config)
    if format_ is not None and format_ not in formats():
        raise click.UsageError(f'--format: unknown format "{format_}"{nearest(format_, formats())}')
    from monitor.replay.old_logs import NoSuchLogError, Reading, old_logs  # noqa: PLC0415 - a faulty configuration needs none of it

    reading = Reading.of(settings, format_)
    try:
        return settings, old_logs(logs, reading), reading
    except NoSuchLogError as error:
        raise click.UsageError(str(error)) from error


@contextlib.contextmanager
def replaying(
    settings: Settings,
    logs: Sequence[OldLog],
    reading: Reading,
    *,
    processes: int | None,
    offline: bool,
    progress: bool | None,
) -> Iterator[Replay]:
    """Make a replay, and show how far it has come while it is read.

    Raises
    ------
    click.ClickException
        The registry has references, and does not answer.
    """
    from monitor.replay.references import ReferencesUnavailableError  # noqa: PLC0415 - the same
    from monitor.replay.replay import Replay  # noqa: PLC0415 - not to print help

    shown = sys.stderr.isatty() if progress is None else progress
    try:
        with _bar(logs, shown=shown) as advance:
            yield Replay(
                settings,
                logs,
                reading=reading,
                processes=processes,
                offline=offline,
                progress=advance,
            )
    except ReferencesUnavailableError as error:
        raise click.ClickException(str(error)) from error


@contextlib.contextmanager
def _bar(logs: Sequence[OldLog], *, shown: bool) -> Iterator[Callable[[OldLog, float], None]]:
    """Show which share of the bytes was read; nothing where nobody looks."""
    if not shown:
        yield lambda _log, _share: None
        return
    from rich.console import Console  # noqa: PLC0415 - only for a terminal
    from rich.progress import Progress  # noqa: PLC0415 - only for a terminal

    console = Console(stderr=True, force_terminal=True)
    with Progress(console=console, transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("replaying", total=sum(log.size for log in logs) or 1)
        read: dict[str, float] = {}

        def advance(log: OldLog, share: float) -> None:
            bar.advance(task, (share - read.get(log.path, 0.0)) * log.size)
            read[log.path] = share

        yield advance


def tell(tally: Tally) -> None:
    """Say on standard error what was read, and what could not be."""
    click.echo(f"read {tally.events:,} events", err=True)
    for reason, lines in tally.rejected.most_common():
        click.echo(f"left out {lines:,} lines: {reason}", err=True)
    if tally.late:
        click.echo(f"left out {tally.late:,} events: late, their windows were closed", err=True)
    for note in tally.references.values():
        click.echo(f"kedge: {note}", err=True)
    for fault in tally.faults:
        click.echo(f"kedge: {fault}", err=True)
