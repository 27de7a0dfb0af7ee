"""``kedge bless``: calls a version a fit target."""

from __future__ import annotations

from pathlib import Path

import click

from monitor.cli.daemon_calls import daemon_of, daemon_options, who
from monitor.cli.words import say


@click.command("bless")
@click.argument("model")
@click.argument("version")
@click.option("--reason", default="", help="Why; shown with the version.")
@daemon_options
def command(
    *,
    model: str,
    version: str,
    reason: str,
    config: Path | None,
    url: str | None,
    token_file: Path | None,
) -> None:
    """Call a version a fit target.

    It may be gone back to with target = "last-good" although Kedge has never seen it healthy; a
    quarantine of it ends. The registry must still have it, READY.

    \b
    Example:
      kedge bless flight-delay 6
    """  # noqa: D301 - \b is click's mark
    from rollback.observation import VersionBlessed  # noqa: PLC0415 - not to print help

    daemon, by = daemon_of(config, url, token_file), who()
    took = say(
        *(daemon, model, VersionBlessed(version, reason, by)),
        method="POST",
        path="/api/v1/blessings",
        body={"model": model, "version": version, "reason": reason, "by": by},
    )
    click.echo(f"version {version} of {model} is a fit target, says {took}")
