"""``kedge rollback``: a rollback by hand."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click

from monitor.cli.daemon_calls import daemon_of, daemon_options, who
from monitor.cli.words import duration

#: Between two looks at how far it is.
POLL_S: Final = 0.2
#: Outcomes that are what was asked for.
GOOD: Final = ("resolved", "would have acted")


@click.command("rollback")
@click.argument("model")
@click.option(
    "--to", "to_version", metavar="VERSION", help="Where to; the policy chooses otherwise."
)
@click.option("--reason", required=True, help="Why: kept in the journal.")
@click.option("--dry-run", is_flag=True, help="Rehearse every step, and change nothing.")
@click.option(
    "--wait",
    "wait_s",
    metavar="DURATION",
    callback=duration,
    default="2m",
    show_default=True,
    help="How long to follow it; the daemon goes on with it in any case.",
)
@daemon_options
def command(
    *,
    model: str,
    to_version: str | None,
    reason: str,
    dry_run: bool,
    wait_s: float,
    config: Path | None,
    url: str | None,
    token_file: Path | None,
) -> int:
    """Go back to another version, by hand.

    Through the gates and the journal of every rollback. Not asked are those that limit automatic
    action: the age of the evidence, the cooldown and the budget. A hold refuses it as well: `kedge
    resume` ends that. In mode "dry-run" or "observe" it is a rehearsal. Followed until the steps
    are done and the verification begins; exit status 0 says that they are.

    \b
    Example:
      kedge rollback flight-delay --to 6 --reason "7 refuses every second request"
    """  # noqa: D301 - \b is click's mark
    daemon = daemon_of(config, url, token_file)
    asked = {"model": model, "reason": reason, "to_version": to_version, "dry_run": dry_run}
    identity = str(daemon.change("POST", "/api/v1/rollbacks", {**asked, "by": who()})["id"])
    click.echo(f"rollback {identity}")
    ends = time.monotonic() + wait_s
    told = 0
    while True:
        record = daemon.get(f"/api/v1/rollbacks/{identity}")
        transitions = record.get("transitions", [])
        for line in _lines(transitions[told:]):
            click.echo(line)
        told = len(transitions)
        if record["outcome"] is not None:
            return 0 if record["outcome"] in GOOD else 1
        if record["state"] == "VERIFYING":
            click.echo(f"moved from version {record['from']} to {record['to']}; being verified")
            return 0
        if time.monotonic() > ends:
            raise click.ClickException(
                f"rollback {identity} is {record['state']} still; `kedge status` shows it"
            )
        time.sleep(POLL_S)


def _lines(transitions: list[Mapping[str, Any]]) -> Iterator[str]:
    for one in transitions:
        gate = f" (gate {one['gate']})" if one.get("gate") else ""
        yield f"{one['after']}{gate}: {one['why']}"
