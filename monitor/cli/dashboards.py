"""``kedge dashboards``: what Grafana, Prometheus and Alertmanager load."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath

import click

from monitor.cli.options import force_option
from monitor.cli.output import refuse_existing
from monitor.whole_file import write_whole

#: What of the package is for others to load.
SUFFIXES = (".json", ".yml", ".yaml")

#: Where alerts say that their runbooks are, unless they are told otherwise.
RUNBOOKS = "docs/runbooks"


@click.command("dashboards")
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder to write to; made if missing.",
)
@click.option(
    "--runbooks",
    metavar="URL",
    default=RUNBOOKS,
    show_default=True,
    help="Where the pages are that alerts link to: each alert has one, named like it.",
)
@force_option
def command(*, out: Path, runbooks: str, force: bool) -> None:
    """Write the Grafana dashboards, and rules and routes for Prometheus.

    \b
    *.json         dashboards; they ask for a Prometheus that scrapes /metrics
    provisioning/  data source and provider, for Grafana to mount
    prometheus/    recording and alerting rules, and how to scrape
    alertmanager/  a route that calls Kedge

    \b
    Example:
      kedge dashboards --out monitoring --runbooks https://wiki.example/kedge
    """  # noqa: D301 - \b is click's mark
    from importlib.resources import files  # noqa: PLC0415 - not to print help

    found = sorted(_loadable(files("dashboards"), PurePosixPath()), key=lambda one: one[0])
    for name, _ in found:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        refuse_existing(out / name, force=force)
    for name, file in found:
        text = file.read_text(encoding="utf-8")
        if name.suffix != ".json":
            text = text.replace(
                f"runbook_url: {RUNBOOKS}/", f"runbook_url: {runbooks.rstrip('/')}/"
            )
        write_whole(out / name, text.encode())
        click.echo(f"wrote {out / name}")


def _loadable(
    folder: Traversable, within: PurePosixPath
) -> Iterator[tuple[PurePosixPath, Traversable]]:
    for one in folder.iterdir():
        if one.is_dir():
            yield from _loadable(one, within / one.name)
        elif one.name.endswith(SUFFIXES):
            yield within / one.name, one
