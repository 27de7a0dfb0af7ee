"""``kedge gate``: whether a challenger may be promoted."""

from __future__ import annotations

import time
from pathlib import Path

import click

from monitor.cli.options import config_option, json_option
from monitor.cli.words import duration


@click.command("gate")
@click.argument("model")
@click.option("--challenger", "version", metavar="VERSION", required=True, help="The version.")
@click.option(
    "--rule",
    "rules",
    metavar="NAME",
    multiple=True,
    help="A rule that must say ok; may be repeated.  [default: every rule that was judged for it]",
)
@click.option(
    "--windows",
    "windows_min",
    metavar="N",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Windows that must have closed of it.",
)
@click.option(
    "--within",
    "within_s",
    metavar="DURATION",
    callback=duration,
    default="1d",
    show_default=True,
    help="How old they may be.",
)
@config_option
@json_option
def command(
    *,
    model: str,
    version: str,
    rules: tuple[str, ...],
    windows_min: int,
    within_s: float,
    config: Path,
    as_json: bool,
) -> int:
    """Say whether a challenger may be promoted.

    Judges by what the store of FILE holds of it: every rule that was judged for that version must
    say ok, by windows that are not too old. Unknown is not ok. Exit status 0 if it may, 1 if not;
    nothing is promoted, and nothing is changed.

    \b
    Example, in a pipeline:
      kedge gate flight-delay --challenger 8 -c kedge.toml && promote 8
    """  # noqa: D301 - \b is click's mark
    from monitor.settings.settings import load  # noqa: PLC0415 - not to print help

    settings = load(config)
    if model != settings.model.name:
        raise click.ClickException(
            f"{config} is of the model {settings.model.name!r}, not of {model!r}"
        )
    from monitor.deciding.gate import Demand, judge_challenger  # noqa: PLC0415 - not for wrong use
    from monitor.store.queries import Queries  # noqa: PLC0415 - as above
    from monitor.store.store import sqlite_path  # noqa: PLC0415 - as above

    file = sqlite_path(settings.store.url)
    if file is not None and not file.exists():
        raise click.ClickException(f"there is no store {file}: has `kedge run` ever run?")
    queries = Queries(settings.store.url)
    try:
        reasons = judge_challenger(
            *(queries, model, version),
            configured=[rule.name for rule in settings.rules],
            demand=Demand(rules, windows_min, within_s),
            now=time.time(),
        )
    finally:
        queries.close()
    passed = all(reason.ok for reason in reasons)
    if as_json:
        import json  # noqa: PLC0415 - not to print help

        told = [{"ok": reason.ok, "detail": reason.detail} for reason in reasons]
        click.echo(json.dumps({"passed": passed, "reasons": told}, indent=2))
    else:
        for reason in reasons:
            click.echo(f"{'ok  ' if reason.ok else 'FAIL'}  {reason.detail}")
    return 0 if passed else 1
