"""``kedge dashboards``: what Grafana and Prometheus load."""

from __future__ import annotations

from pathlib import Path

import click

from monitor.cli.options import force_option
from monitor.cli.output import refuse_existing, write_whole

#: What of the package is for others to load.
SUFFIXES = (".json", ".yml", ".yaml")


@click.command("dashboards")
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder to write to; made if missing.",
)
@force_option
def command(*, out: Path, force: bool) -> None:
    """Write the Grafana dashboards.

    Load them through Grafana's provisioning or import them by hand; they ask for a Prometheus
    data source that scrapes /metrics.

    \b
    Example:
      kedge dashboards --out grafana/dashboards
    """  # noqa: D301 - \b is click's mark
    from importlib.resources import files  # noqa: PLC0415 - not to print help

    found = [one for one in files("dashboards").iterdir() if one.name.endswith(SUFFIXES)]
    out.mkdir(parents=True, exist_ok=True)
    for one in found:
        refuse_existing(out / one.name, force=force)
    for one in sorted(found, key=lambda one: one.name):
        write_whole(out / one.name, one.read_bytes())
        click.echo(f"wrote {out / one.name}")
