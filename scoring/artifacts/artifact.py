"""From where a model is said to be (an address of MLflow's) to a folder that has its files.

A folder on this machine is used where it is. Artifacts that the tracking server hands out are
downloaded over REST. For all else MLflow's own client is run, in a process of its own. What was
downloaded stands in the cache under its address: a version that comes back is there already.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import scoring
from scoring.artifacts.artifact_proxy import ArtifactError, download
from scoring.artifacts.tracking import Tracking
from scoring.flavours.model_error import MLMODEL

__all__ = ["ArtifactCache", "ArtifactError", "local_path"]

#: How long MLflow's own client may take.
FETCH_TIMEOUT_S: Final = 900.0
#: Models that the cache keeps; older ones are removed when another is added.
CACHED_MODELS_MAX: Final = 8
_ERROR_LINES: Final = 3


def local_path(uri: str) -> Path | None:
    """Return the folder that a path or a ``file:`` address names; None for other addresses.

    Examples
    --------
    >>> local_path("file:///models/flight%20delay")
    PosixPath('/models/flight delay')
    >>> local_path("s3://bucket/model") is None
    True
    """
    parts = urlsplit(uri)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(unquote(parts.path))
    return Path(uri) if not parts.scheme else None


def _is_below(uri: str, source: str) -> bool:
    """Tell whether an address is a source or below it; links on this machine are followed."""
    path, folder = local_path(uri), local_path(source)
    if path is not None or folder is not None:
        return (
            path is not None
            and folder is not None
            and path.resolve().is_relative_to(folder.resolve())
        )
    if any(part in ("..", ".") for part in unquote(uri).split("/")):
        return False
    return uri == source or uri.startswith(source if source.endswith("/") else f"{source}/")


class ArtifactCache:
    """Fetches models, each address once.

    Parameters
    ----------
    folder
        Where downloads go. Several processes may share it: a model appears in it whole or not
        at all.
    tracking
        The MLflow server; needed for ``mlflow-artifacts:`` addresses, and told to MLflow's
        client for the rest.
    allowed
        Folders and beginnings of addresses that models may come from; empty: any.
    """

    def __init__(
        self, folder: Path, tracking: Tracking | None, *, allowed: Sequence[str] = ()
    ) -> None:
        self._allowed = tuple(allowed)
        self._folder = folder
        self._tracking = tracking

    async def fetch(self, uri: str) -> Path:
        """Return a folder with the model at an address.

        Raises
        ------
        ArtifactError
            It is not there, or cannot be fetched.
        """
        path = local_path(uri)
        if self._allowed and not any(_is_below(uri, source) for source in self._allowed):
            raise ArtifactError(
                f"{uri} is not below an allowed source ({', '.join(self._allowed)})"
            )
        if path is not None:
            if not (path / MLMODEL).is_file():
                raise ArtifactError(f"{path} is no MLflow model: it has no file {MLMODEL}")
            return path
        cached = self._folder / hashlib.sha256(uri.encode()).hexdigest()[:32]
        if not cached.is_dir():
            await self._add(uri, cached)
        with suppress(OSError):
            os.utime(cached)
        return cached

    async def _add(self, uri: str, cached: Path) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=self._folder))
        except OSError as error:
            raise ArtifactError(f"cannot write to the cache {self._folder}: {error}") from error
        try:
            model = await self._download(uri, partial)
            if not (model / MLMODEL).is_file():
                raise ArtifactError(f"{uri} is no MLflow model: it has no file {MLMODEL}")
            _move(model, cached)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        self._forget_oldest(cached)

    async def _download(self, uri: str, partial: Path) -> Path:
        """Download to below `partial`; return the folder that has the model."""
        if urlsplit(uri).scheme == "mlflow-artifacts":
            if self._tracking is None:
                raise ArtifactError(f"cannot fetch {uri}: no tracking URI is set")
            model = partial / "model"
            await download(self._tracking, uri, model)
            return model
        return await self._fetch_with_mlflow(uri, partial)

    async def _fetch_with_mlflow(self, uri: str, partial: Path) -> Path:
        root = str(Path(scoring.__file__).parent.parent)
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        environment = os.environ | {"PYTHONPATH": path}
        if self._tracking is not None:
            environment |= self._tracking.environment()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "scoring.artifacts.fetch", uri, str(partial)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
        )
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_S):
                out, err = await process.communicate()
        except TimeoutError:
            raise ArtifactError(f"cannot fetch {uri}: not done in {FETCH_TIMEOUT_S:g} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        lines = out.decode(errors="replace").split()
        if process.returncode or not lines:
            said = err.decode(errors="replace").strip().splitlines()[-_ERROR_LINES:]
            raise ArtifactError(f"cannot fetch {uri} with mlflow: {' '.join(said)}")
        return Path(out.decode().splitlines()[-1])

    def _forget_oldest(self, added: Path) -> None:
        models = [path for path in self._folder.iterdir() if not path.name.startswith(".")]
        models.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in models[CACHED_MODELS_MAX:]:
            if path != added:
                shutil.rmtree(path, ignore_errors=True)


def _move(model: Path, cached: Path) -> None:
    try:
        model.rename(cached)
    except OSError as error:
        # Another process may have been first, with the same files.
        if not cached.is_dir():
            raise ArtifactError(f"cannot write to the cache {cached}: {error}") from error
