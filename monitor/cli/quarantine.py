"""``kedge quarantine``: calls a version unfit."""

from __future__ import annotations

import time
from pathlib import Path

import click

from monitor.cli.daemon_calls import daemon_of, daemon_options, who
from monitor.cli.words import duration, say


@click.command("quarantine")
@click.argument("model")
@click.argument("version")
@click.option(
    "--for",
    "for_s",
    metavar="DURATION",
    callback=duration,
    default="7d",
    show_default=True,
    help="How long; a quarantine always ends.",
)
@click.option("--reason", required=True, help="Why: shown with the version.")
@daemon_options
def command(
    *,
    model: str,
    version: str,
    for_s: float,
    reason: str,
    config: Path | None,
    url: str | None,
    token_file: Path | None,
) -> None:
    """Call a version unfit for a while.

    Nothing goes back to it, not `kedge rollback --to` either. It does not move the alias away
    from it. `kedge bless` ends it.

    \b
    Example:
      kedge quarantine flight-delay 5 --for 7d --reason "leaks memory"
    """  # noqa: D301 - \b is click's mark
    from rollback.observation import VersionQuarantined  # noqa: PLC0415 - not to print help

    daemon, by = daemon_of(config, url, token_file), who()
    until = time.time() + for_s
    took = say(
        *(daemon, model, VersionQuarantined(version, until, reason, by)),
        method="POST",
        path="/api/v1/quarantines",
        body={"model": model, "version": version, "until": until, "reason": reason, "by": by},
    )
    from monitor.store.queries import rfc3339  # noqa: PLC0415 - not to print help

    click.echo(f"version {version} of {model} is unfit until {rfc3339(until)}, says {took}")
