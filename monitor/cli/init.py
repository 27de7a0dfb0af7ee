"""``kedge init``: a first configuration."""

from __future__ import annotations

import glob
import os
from pathlib import Path

import click

from monitor.cli.options import CONFIGURATION, force_option
from monitor.cli.output import refuse_existing
from monitor.whole_file import write_whole

#: Where the log is said to be when none was shown.
PLACEHOLDER = "logs/predictions*.jsonl"


@click.command("init")
@click.option(
    "--from",
    "log",
    metavar="LOG",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Look at this log and fill in what it holds.",
)
@click.option(
    "--format",
    "log_format",
    default="auto",
    show_default=True,
    help="Its format; auto tells it by the first lines.",
)
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    default=CONFIGURATION,
    show_default=True,
    help="The file to write.",
)
@force_option
def command(*, log: Path | None, log_format: str, out: Path, force: bool) -> None:
    """Write a commented kedge.toml.

    With --from it reads the first 10,000 lines of a prediction log and fills in the model, the
    columns found, windows that fit the traffic, and rules to begin with. What it writes passes
    `kedge check`, and moves nothing.

    \b
    Examples:
      kedge init
      kedge init --from logs/predictions.jsonl
    """  # noqa: D301 - \b is click's mark
    from collectors.kinds import FORMATS  # noqa: PLC0415 - not to print help
    from monitor.settings.initial_config import look_at, render  # noqa: PLC0415 - not to print help

    if log_format not in FORMATS:
        raise click.UsageError(
            f'--format: unknown format "{log_format}", choose {" or ".join(FORMATS)}'
        )
    refuse_existing(out, force=force)
    seen = look_at(log, log_format) if log is not None else None
    if log_format == "auto":
        log_format = seen.log_format if seen is not None else "kedge"
    where = PLACEHOLDER if log is None else _beside(log, out)
    write_whole(out, render(seen, log=where, log_format=log_format).encode())
    found = f": {len(seen.columns)} columns in {seen.events:,} events" if seen else ""
    click.echo(f"wrote {out}{found}; next: kedge check -c {out}")


def _beside(log: Path, out: Path) -> str:
    """Write the log's path as it is seen from the configuration, or whole if it is elsewhere."""
    folder = out.absolute().parent
    elsewhere = log.is_absolute() and not log.is_relative_to(folder)
    # In the configuration it is a pattern.
    return glob.escape(str(log) if elsewhere else os.path.relpath(log.absolute(), folder))
