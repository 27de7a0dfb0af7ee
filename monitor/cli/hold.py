"""``kedge hold``: stops automatic action."""

from __future__ import annotations

import time
from pathlib import Path

import click

from monitor.cli.daemon_calls import daemon_of, daemon_options, who
from monitor.cli.words import duration, say


@click.command("hold")
@click.argument("model")
@click.option(
    "--for",
    "for_s",
    metavar="DURATION",
    callback=duration,
    default="4h",
    show_default=True,
    help="How long; a hold always ends. A new one takes the place of the one before.",
)
@click.option("--reason", required=True, help="Why: shown wherever the hold is.")
@daemon_options
def command(
    *,
    model: str,
    for_s: float,
    reason: str,
    config: Path | None,
    url: str | None,
    token_file: Path | None,
) -> None:
    """Stop automatic action for a while.

    Nothing that is not begun is done, not by `kedge rollback` either; a step that is being done
    is finished. Rules and windows go on. Where no daemon of -c FILE runs, it is written into the
    store, and holds from the start of the next one.

    \b
    Example:
      kedge hold flight-delay --for 4h --reason "release day"
    """  # noqa: D301 - \b is click's mark
    from rollback.observation import HoldSet  # noqa: PLC0415 - not to print help

    daemon, by = daemon_of(config, url, token_file), who()
    until = time.time() + for_s
    took = say(
        *(daemon, model, HoldSet(until, reason, by)),
        method="POST",
        path="/api/v1/holds",
        body={"model": model, "until": until, "reason": reason, "by": by},
    )
    from monitor.store.queries import rfc3339  # noqa: PLC0415 - not to print help

    click.echo(f"{model} is held until {rfc3339(until)}, says {took}")
