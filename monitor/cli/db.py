"""``kedge db``: the store's schema."""

from __future__ import annotations

from pathlib import Path

import click

from monitor.cli.options import config_option, json_option


@click.group("db")
def command() -> None:
    """Bring the store's schema up to date."""


@command.command("upgrade")
@config_option
@json_option
def upgrade(*, config: Path, as_json: bool) -> None:
    """Bring the store to the schema of this version.

    Stop the daemon first; while one uses the store this refuses. All of it is one transaction:
    it is done, or the store is as it was. Nobody downgrades a store, so copy a SQLite file, or
    dump a Postgres database, before this. A store that is not there yet is made.

    \b
    Example:
      kedge db upgrade -c kedge.toml
    """  # noqa: D301 - \b is click's mark
    from monitor.settings.settings import load  # noqa: PLC0415 - not to print help

    settings = load(config)
    from monitor.store import migrations  # noqa: PLC0415 - Alembic takes half a second to import

    done = migrations.upgrade(settings.store.url)
    if as_json:
        import json  # noqa: PLC0415 - not to print help

        told = {"store": done.place, "before": done.before, "after": done.after}
        click.echo(json.dumps(told, indent=2))
        return
    match done.before:
        case None:
            click.echo(f"{done.place}: made, with schema {done.after}")
        case done.after:
            click.echo(f"{done.place}: has schema {done.after} already")
        case before:
            click.echo(f"{done.place}: schema {before} is now {done.after}")
