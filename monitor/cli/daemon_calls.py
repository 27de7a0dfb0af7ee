"""Asking a running daemon: where it is, what gives access to it, and its errors in plain words."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from monitor.cli.options import CONFIGURATION

if TYPE_CHECKING:
    from monitor.settings.settings import Settings

#: How long the daemon may take to answer.
TIMEOUT_S: Final = 5.0
DEFAULT_URL: Final = "http://127.0.0.1:9464"
#: Where the token is looked for when a daemon is named by its address.
TOKEN_VARIABLE: Final = "KEDGE_TOKEN"  # noqa: S105 - the name of a variable
_ANSWER_BYTES_MAX: Final = 16 << 20

F = TypeVar("F", bound=Callable[..., Any])


class NoDaemonError(click.ClickException):
    """Nobody answers there."""


def daemon_options(command: F) -> F:
    """Add the options that say which daemon is asked."""
    for option in (
        click.option(
            "--token-file",
            metavar="FILE",
            type=click.Path(path_type=Path),
            help=f"With --url: the file with the token.  [default: {TOKEN_VARIABLE}]",
        ),
        click.option(
            "--url", metavar="URL", help=f"Ask the daemon at this address.  [{DEFAULT_URL}]"
        ),
        click.option(
            "-c",
            "--config",
            metavar="FILE",
            type=click.Path(path_type=Path),
            help="Ask the daemon of this configuration.  [default: kedge.toml, if there is one]",
        ),
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Daemon:
    """One daemon, and what we may show it.

    Parameters
    ----------
    token
        None where none is known; the daemon then refuses every change.
    settings
        Of the configuration that named it; None where an address did.
    """

    url: str
    token: str | None = None
    settings: Settings | None = None

    def get(self, path: str) -> dict[str, Any]:
        """Read a JSON object."""
        return call("GET", self.url + path)

    def change(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Change something; return the answer, empty where there is none."""
        return call(method, self.url + path, body, self.token)


def daemon_of(config: Path | None, url: str | None, token_file: Path | None = None) -> Daemon:
    """Return the daemon of a configuration or of an address.

    Raises
    ------
    click.UsageError
        Both are given, or neither tells where it is.
    monitor.settings.settings.ConfigurationError
        The configuration is faulty.
    """
    if config is not None and url is not None:
        raise click.UsageError("give --config or --url, not both")
    if url is None and (config is not None or CONFIGURATION.exists()):
        return _configured(config or CONFIGURATION, token_file)
    base = (url or DEFAULT_URL).rstrip("/")
    if not base.startswith(("http://", "https://")):
        raise click.UsageError(f'--url: expected http://HOST:PORT, got "{url}"')
    token = os.environ.get(TOKEN_VARIABLE) or None
    return Daemon(base, _token_of(token_file) if token_file else token)


def _configured(config: Path, token_file: Path | None) -> Daemon:
    from monitor.settings.settings import load  # noqa: PLC0415 - not with --url

    settings = load(config)
    host, port = settings.http.address
    if not port:
        raise click.UsageError(f"{config} leaves the port to the system; give --url")
    # A daemon on every interface is also on this one.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    if token_file is not None:
        return Daemon(base, _token_of(token_file), settings)
    secret = settings.http.token
    return Daemon(base, None if secret is None else secret.reveal(), settings)


def _token_of(file: Path) -> str:
    from monitor.settings.secret import Secret  # noqa: PLC0415 - not to print help

    return Secret(file=file).reveal()


def call(
    method: str, url: str, body: Mapping[str, Any] | None = None, token: str | None = None
) -> dict[str, Any]:
    """Ask the daemon, and return its answer as a JSON object; empty where it has none.

    Raises
    ------
    NoDaemonError
        Nobody answers, or what answers speaks no JSON.
    click.ClickException
        It refuses; the message is what it says.
    """
    import json  # noqa: PLC0415 - not to print help
    import urllib.error  # noqa: PLC0415 - not to print help
    import urllib.request  # noqa: PLC0415 - not to print help

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - http(s) only
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - as above
            text = answer.read(_ANSWER_BYTES_MAX)
            said = json.loads(text) if text else {}
    except urllib.error.HTTPError as error:
        raise click.ClickException(_refusal(url, error)) from error
    except TimeoutError as error:
        raise click.ClickException(
            f"{url} has not answered within {TIMEOUT_S:g} s; whether it did what was asked is not "
            "known, `kedge status` tells"
        ) from error
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise NoDaemonError(
            f"no daemon answers at {url} ({reason}); `kedge run` starts one, --url names another"
        ) from error
    if not isinstance(said, dict):
        raise click.ClickException(f"{url} is not a Kedge: its answer is no object")
    return said


def _refusal(url: str, error: Any) -> str:  # noqa: ANN401 - urllib's HTTPError, imported late
    import json  # noqa: PLC0415 - not to print help

    try:
        detail = json.loads(error.read(_ANSWER_BYTES_MAX)).get("detail")
    except (OSError, ValueError, AttributeError):
        detail = None
    return f"{url} answered {error.code} {error.reason}" + (f": {detail}" if detail else "")


def who() -> str:
    """Return who types this, as ``user@host``; what the daemon notes as a claim."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
