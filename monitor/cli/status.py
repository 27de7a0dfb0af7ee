"""``kedge status``: what a daemon sees and does."""

from __future__ import annotations

from pathlib import Path

import click

from monitor.cli.daemon_calls import DEFAULT_URL, daemon_of
from monitor.cli.options import json_option

#: What every daemon's status has.
KEYS = frozenset({"model", "versions", "rules", "rollback", "totals"})


@click.command("status")
@click.option(
    "-c",
    "--config",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Ask the daemon of this configuration.  [default: kedge.toml, if there is one]",
)
@click.option("--url", metavar="URL", help=f"Ask the daemon at this address.  [{DEFAULT_URL}]")
@json_option
def command(*, config: Path | None, url: str | None, as_json: bool) -> None:
    """Show what a daemon sees and does.

    Asks a running `kedge run` over HTTP: the model and its versions, the rules and their state,
    and the rollbacks.

    \b
    Examples:
      kedge status
      kedge status --url http://127.0.0.1:9464 --json
    """  # noqa: D301 - \b is click's mark
    daemon = daemon_of(config, url)
    status = daemon.get("/api/v1/status")
    if not status.keys() >= KEYS:
        raise click.ClickException(
            f"{daemon.url} is not a Kedge: its status lacks what we look for"
        )
    status["rollbacks"] = daemon.get("/api/v1/rollbacks?limit=5").get("rollbacks", [])
    if as_json:
        import json  # noqa: PLC0415 - not to print help

        click.echo(json.dumps(status, indent=2))
        return
    from monitor.cli.screen import screen  # noqa: PLC0415 - only to print tables
    from monitor.cli.status_view import headlines, tables  # noqa: PLC0415 - as above

    console = screen()
    for line in headlines(status):
        console.print(line, highlight=False, markup=False)
    for table in tables(status):
        console.print(table)
