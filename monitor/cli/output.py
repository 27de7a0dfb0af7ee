"""Files that a command writes: never over another by accident."""

from __future__ import annotations

from pathlib import Path

import click


def refuse_existing(path: Path, *, force: bool) -> None:
    """Fail if there is something at `path` that we were not told to replace.

    Raises
    ------
    click.ClickException
        The file exists, or its folder does not.
    """
    if path.is_dir():
        raise click.ClickException(f"{path} is a folder; name a file")
    if path.exists() and not force:
        raise click.ClickException(f"{path} exists; --force replaces it")
    if not path.absolute().parent.is_dir():
        raise click.ClickException(f"cannot write {path}: its folder does not exist")
