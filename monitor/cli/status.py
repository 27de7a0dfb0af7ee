"""``kedge status``: what a daemon sees and does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monitor.cli.daemon_calls import DEFAULT_URL, Daemon, daemon_of
from monitor.cli.options import json_option
from monitor.cli.words import duration

if TYPE_CHECKING:
    from rich.console import Console, ConsoleRenderable

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
@click.option("--watch", is_flag=True, help="Show it again and again, until q or Ctrl-C.")
@click.option(
    "--interval",
    "interval_s",
    metavar="DURATION",
    default="2s",
    show_default=True,
    callback=duration,
    help="How often, with --watch.",
)
@json_option
def command(
    *, config: Path | None, url: str | None, watch: bool, interval_s: float, as_json: bool
) -> None:
    """Show what a daemon sees and does.

    Asks a running `kedge run` over HTTP: the model and its versions, the rules and their state,
    and the rollbacks.

    \b
    Examples:
      kedge status
      kedge status --watch
      kedge status --url http://127.0.0.1:9464 --json
    """  # noqa: D301 - \b is click's mark
    daemon = daemon_of(config, url)
    if as_json:
        _print_json(daemon, every_s=interval_s if watch else None)
        return
    from monitor.cli.screen import screen  # noqa: PLC0415 - only to print tables

    console = screen()
    if watch:
        from monitor.cli.watching import watch as watched  # noqa: PLC0415 - as above

        watched(lambda: _shown(_asked(daemon), console), console, interval_s)
    else:
        console.print(_shown(_asked(daemon), console))


def _asked(daemon: Daemon) -> dict[str, Any]:
    status = daemon.get("/api/v1/status")
    if not status.keys() >= KEYS:
        raise click.ClickException(
            f"{daemon.url} is not a Kedge: its status lacks what we look for"
        )
    status["rollbacks"] = daemon.get("/api/v1/rollbacks?limit=5").get("rollbacks", [])
    return status


def _print_json(daemon: Daemon, every_s: float | None) -> None:
    """Print it once, or a line of it again and again."""
    import json  # noqa: PLC0415 - not to print help
    import sys  # noqa: PLC0415 - the same
    import time  # noqa: PLC0415 - the same

    if every_s is None:
        click.echo(json.dumps(_asked(daemon), indent=2))
        return
    while True:
        click.echo(json.dumps(_asked(daemon)))
        sys.stdout.flush()
        time.sleep(every_s)


def _shown(status: dict[str, Any], console: Console) -> ConsoleRenderable:
    from rich.console import Group  # noqa: PLC0415 - only to print tables
    from rich.text import Text  # noqa: PLC0415 - as above

    from monitor.cli.screen import fitting  # noqa: PLC0415 - as above
    from monitor.cli.status_view import headlines, tables  # noqa: PLC0415 - as above

    return Group(
        *(Text(line) for line in headlines(status)),
        *(fitting(table, console) for table in tables(status)),
    )
