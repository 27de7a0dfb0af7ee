"""``kedge report``: what a daemon saw, as one HTML file."""

from __future__ import annotations

from pathlib import Path

import click

from monitor.cli.options import config_option, force_option
from monitor.cli.words import duration


@click.command("report")
@config_option
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="File to write.",
)
@click.option(
    "--since",
    "since_s",
    metavar="DURATION",
    callback=duration,
    default="7d",
    show_default=True,
    help="How far back from the last window, in the time of events.",
)
@click.option("--version", metavar="VERSION", help="Of this version only.")
@force_option
def command(*, config: Path, out: Path, since_s: float, version: str | None, force: bool) -> None:
    """Write a drift report as one HTML file.

    Reads the store of FILE and changes nothing; the daemon may run meanwhile. The report is a
    file that opens without a network: words first, then every column beside its reference, with
    bounds and thresholds over time, what fired, and what was rolled back.

    \b
    Examples:
      kedge report -c kedge.toml --out report.html
      kedge report -c kedge.toml --since 4h --version 8 --out version-8.html
    """  # noqa: D301 - \b is click's mark
    from monitor.cli.output import refuse_existing  # noqa: PLC0415 - not to print help
    from monitor.settings.settings import load  # noqa: PLC0415 - as above
    from monitor.store.store import sqlite_path  # noqa: PLC0415 - as above
    from monitor.whole_file import write_whole  # noqa: PLC0415 - not to print help

    settings = load(config)
    refuse_existing(out, force=force)
    file = sqlite_path(settings.store.url)
    if file is not None and not file.exists():
        raise click.ClickException(f"there is no store {file}: has `kedge run` ever run?")
    from monitor.reports.from_store import stored_facts  # noqa: PLC0415 - not for wrong use
    from monitor.reports.page import html  # noqa: PLC0415 - as above

    facts = stored_facts(
        settings.store.url,
        model=settings.model.name,
        length_s=since_s,
        version=version,
        config=str(config),
    )
    page = html(facts)
    write_whole(out, page)
    click.echo(f"wrote {out}: {facts.windows:,} windows, {len(page) / 1e6:.1f} MB")
