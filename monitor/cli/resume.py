"""``kedge resume``: lets automatic action go on."""

from __future__ import annotations

from pathlib import Path

import click

from monitor.cli.daemon_calls import daemon_of, daemon_options, who
from monitor.cli.words import say


@click.command("resume")
@click.argument("model")
@click.option("--reason", default="", help="Why; kept with the incident.")
@daemon_options
def command(
    *, model: str, reason: str, config: Path | None, url: str | None, token_file: Path | None
) -> None:
    """Let automatic action go on.

    Ends a hold, and the standstill after a rollback that ended ESCALATED or CONTESTED. The
    annotation kedge.io/hold on an object of Kubernetes is not touched.

    \b
    Example:
      kedge resume flight-delay
    """  # noqa: D301 - \b is click's mark
    from urllib.parse import quote, urlencode  # noqa: PLC0415 - not to print help

    from rollback.observation import HoldCleared  # noqa: PLC0415 - not to print help

    daemon, by = daemon_of(config, url, token_file), who()
    query = urlencode({"by": by, "reason": reason})
    took = say(
        *(daemon, model, HoldCleared(reason, by)),
        method="DELETE",
        path=f"/api/v1/holds/{quote(model, safe='')}?{query}",
    )
    click.echo(f"{model} may act again, says {took}")
