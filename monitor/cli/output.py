"""Files that a command writes: whole or not at all, and never over another by accident."""

from __future__ import annotations

import os
import tempfile
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


def write_whole(path: Path, data: bytes) -> None:
    """Write a file beside its place and move it there once it is on the disk."""
    number, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # A temporary file is ours alone; what we were asked to write is as open as any other.
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
