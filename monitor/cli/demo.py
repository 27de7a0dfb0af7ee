"""``kedge demo``: the whole loop on one machine."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("demo")
@click.option(
    "--data-dir",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where each run makes a folder of its own.  [default: .kedge-demo]",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=9464,
    show_default=True,
    help="Port of the pages; 0 takes a free one.",
)
@click.option(
    "--once", is_flag=True, help="End with the story: 0 if the rollback was verified, else 1."
)
def command(*, data_dir: Path | None, port: int, once: bool) -> int:
    """Show the whole loop on this machine.

    Starts a real MLflow registry with two versions of a model, serves one, sends it real rows,
    lets the world shift, and shows how Kedge finds out and moves back. Takes about a minute;
    the pages stay up until Ctrl-C.

    \b
    Example:
      kedge demo --once
    """  # noqa: D301 - \b is click's mark
    from monitor.demo.story import run  # noqa: PLC0415 - not to print help

    return run(data_dir, port, once)
