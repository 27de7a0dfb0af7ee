"""What the commands that say something to the decision have in common."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from monitor.cli.daemon_calls import Daemon, NoDaemonError

if TYPE_CHECKING:
    from rollback.observation import Word


def duration(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """Read a duration such as ``4h``, for an option's `callback`; return seconds."""
    from monitor.settings.quantities import parse_duration  # noqa: PLC0415 - not to print help

    try:
        seconds = parse_duration(value)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise click.BadParameter(
            f'expected a duration above 0s, such as "4h", got "{value}"', ctx, param
        )
    return seconds


def say(
    daemon: Daemon,
    model: str,
    word: Word,
    *,
    method: str,
    path: str,
    body: Mapping[str, Any] | None = None,
) -> str:
    """Say it to the daemon; where none runs, to its store. Return who took it.

    Raises
    ------
    click.ClickException
        Nobody took it; the message says what to do.
    """
    try:
        daemon.change(method, path, body)
    except NoDaemonError as error:
        if daemon.settings is None:
            raise
        return _to_store(daemon, model, word, error)
    return f"the daemon at {daemon.url}"


def _to_store(daemon: Daemon, model: str, word: Word, error: NoDaemonError) -> str:
    settings = daemon.settings
    assert settings is not None  # noqa: S101 - the caller looked
    if model != settings.model.name:
        raise click.ClickException(
            f"{settings.path} is of the model {settings.model.name!r}, not of {model!r}"
        )
    if not settings.model.tracking_uri:
        raise click.ClickException("no [model] tracking_uri is configured: nothing is rolled back")
    from monitor.store.database import place  # noqa: PLC0415 - only without a daemon
    from monitor.store.errors import StoreInUse  # noqa: PLC0415 - as above
    from monitor.store.remembering import say_to_store  # noqa: PLC0415 - as above

    try:
        say_to_store(settings.store.url, model, word, time.time(), config=str(settings.path))
    except StoreInUse as used:
        raise click.ClickException(
            f"{error.format_message()}; nothing was changed: {used}"
        ) from used
    return f"the store {place(settings.store.url)}, for no daemon answers at {daemon.url}"
