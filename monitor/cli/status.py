"""``kedge status``: what a daemon sees and does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from monitor.cli.options import CONFIGURATION, json_option

#: How long the daemon may take to answer.
TIMEOUT_S = 5.0
#: What every daemon's status has.
KEYS = frozenset({"model", "versions", "rules", "rollback", "totals"})
DEFAULT_URL = "http://127.0.0.1:9464"


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
    if config is not None and url is not None:
        raise click.UsageError("give --config or --url, not both")
    base = (url or _address(config)).rstrip("/")
    status = fetch(f"{base}/api/v1/status")
    if not status.keys() >= KEYS:
        raise click.ClickException(f"{base} is not a Kedge: its status lacks what we look for")
    status["rollbacks"] = fetch(f"{base}/api/v1/rollbacks?limit=5").get("rollbacks", [])
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


def fetch(url: str) -> dict[str, Any]:
    """Read a JSON object from the daemon.

    Raises
    ------
    click.ClickException
        It does not answer, or answers something else.
    """
    import json  # noqa: PLC0415 - not to print help
    import urllib.error  # noqa: PLC0415 - not to print help
    import urllib.request  # noqa: PLC0415 - not to print help

    if not url.startswith(("http://", "https://")):
        raise click.UsageError(f'--url: expected http://HOST:PORT, got "{url}"')
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - http(s) only
            body = json.load(answer)
    except urllib.error.HTTPError as error:
        raise click.ClickException(f"{url} answered {error.code} {error.reason}") from error
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise click.ClickException(
            f"no daemon answers at {url} ({reason}); `kedge run` starts one, --url names another"
        ) from error
    if not isinstance(body, dict):
        raise click.ClickException(f"{url} is not a Kedge: its answer is no object")
    return body


def _address(config: Path | None) -> str:
    if config is None:
        if not CONFIGURATION.exists():
            return DEFAULT_URL
        config = CONFIGURATION
    from monitor.settings import load  # noqa: PLC0415 - not with --url

    host, port = load(config).http.address
    if not port:
        raise click.UsageError(f"{config} leaves the port to the system; give --url")
    # A daemon on every interface is also on this one.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
