"""``kedge drill``: rehearses the rollback path."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from monitor.cli.options import config_option, json_option
from monitor.cli.words import duration

if TYPE_CHECKING:
    from monitor.deciding.drill import Finding
    from monitor.settings.settings import Settings

#: How a line begins; ``--`` is what a drill cannot tell.
_MARKS: Final = {True: "ok  ", False: "FAIL", None: "--  "}


@click.command("drill")
@config_option
@click.option(
    "--to", "to_version", metavar="VERSION", help="Where to; the policy's choice otherwise."
)
@click.option(
    "--no-load", is_flag=True, help="Do not load the target: loading a model runs its code."
)
@click.option(
    "--load-timeout",
    "load_timeout_s",
    metavar="DURATION",
    callback=duration,
    default="5m",
    show_default=True,
    help="For fetching and loading the target.",
)
@json_option
def command(
    *,
    config: Path,
    to_version: str | None,
    no_load: bool,
    load_timeout_s: float,
    as_json: bool,
) -> int:
    """Rehearse the rollback path without changing anything.

    The gates are asked, the target version is fetched and loaded in a process of its own, and
    every step is rehearsed, in Kubernetes with an access review and a dry run of the server. A
    line each; exit status 0 if a rollback would come through now, 1 if not.

    The gates world_or_model and better_on_shadow are judged on a breach's evidence, and are not
    part of a drill.

    \b
    Example:
      kedge drill -c kedge.toml
    """  # noqa: D301 - \b is click's mark
    from monitor.settings.settings import load  # noqa: PLC0415 - not to print help

    settings = load(config)
    timeout_s = None if no_load else load_timeout_s
    findings = asyncio.run(_drilled(settings, to_version, timeout_s, quiet=as_json))
    if as_json:
        import json  # noqa: PLC0415 - not to print help

        told = [{"what": one.what, "ok": one.ok, "detail": one.detail} for one in findings]
        click.echo(json.dumps({"ready": _ready(findings), "findings": told}, indent=2))
    return 0 if _ready(findings) else 1


async def _drilled(
    settings: Settings, to_version: str | None, timeout_s: float | None, *, quiet: bool
) -> list[Finding]:
    from monitor.deciding.drill import drill  # noqa: PLC0415 - a faulty configuration needs none of it

    findings: list[Finding] = []
    async for one in drill(settings, to_version=to_version, load_timeout_s=timeout_s):
        findings.append(one)
        if not quiet:
            click.echo(f"{_MARKS[one.ok]}  {one.what}: {one.detail}")
    return findings


def _ready(findings: list[Finding]) -> bool:
    return all(one.ok is not False for one in findings)
