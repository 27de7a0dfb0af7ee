"""Artifacts that the MLflow tracking server hands out: listed and downloaded over its REST API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import quote, unquote, urlsplit

import aiohttp

from scoring.artifacts.tracking import Tracking

#: A model with more files, or more bytes in them, is not fetched.
FILES_MAX: Final = 10_000
BYTES_MAX: Final = 16 * 1024**3
DEPTH_MAX: Final = 16
LISTING_BYTES_MAX: Final = 8 * 1024 * 1024
#: Between two pieces of an answer, not for a whole file: models may be large.
READ_TIMEOUT_S: Final = 30.0
_API: Final = "/api/2.0/mlflow-artifacts/artifacts"
_PIECE_BYTES: Final = 1024 * 1024


class ArtifactError(RuntimeError):
    """A model's files cannot be had; the message says which, and what went wrong."""


async def download(tracking: Tracking, uri: str, folder: Path) -> None:
    """Download all files below an ``mlflow-artifacts:`` address to a folder that is made.

    Raises
    ------
    ArtifactError
        The server does not answer as it should, or the model is over a limit.
    """
    root = unquote(urlsplit(uri).path).strip("/")
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=READ_TIMEOUT_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout, headers=tracking.headers()) as session:
            left = BYTES_MAX
            async for relative in _files(session, tracking.uri, root):
                url = f"{tracking.uri}{_API}/{quote(f'{root}/{relative}')}"
                left -= await _fetch(session, url, folder / relative, left)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise ArtifactError(
            f"cannot download {uri} from {tracking.uri}: {error or type(error).__name__}"
        ) from error


async def _files(session: aiohttp.ClientSession, base: str, root: str) -> AsyncIterator[str]:
    """Yield the paths of all files below `root`, relative to it."""
    folders, found = [""], 0
    while folders:
        folder = folders.pop()
        for entry in await _listing(session, base, f"{root}/{folder}".rstrip("/")):
            path = f"{folder}/{_plain_name(entry)}".lstrip("/")
            found += 1
            if found > FILES_MAX or path.count("/") >= DEPTH_MAX:
                raise ArtifactError(f"{root} has over {FILES_MAX} files or {DEPTH_MAX} levels")
            if entry.get("is_dir"):
                folders.append(path)
            else:
                yield path


def _plain_name(entry: Mapping[str, Any]) -> str:
    """Return the name in a listing, which must not lead out of the folder it is listed in."""
    name = str(entry.get("path", ""))
    if name in ("", ".", "..") or any(sign in name for sign in ("/", "\\", "\0")):
        raise ArtifactError(f"the tracking server lists a file named {name!r}")
    return name


async def _listing(session: aiohttp.ClientSession, base: str, path: str) -> list[Mapping[str, Any]]:
    async with session.get(
        f"{base}{_API}", params={"path": path}, allow_redirects=False
    ) as response:
        body = b""
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > LISTING_BYTES_MAX:
                raise ArtifactError(f"the list of {path} is over {LISTING_BYTES_MAX} bytes")
        if response.status != HTTPStatus.OK:
            raise ArtifactError(f"cannot list {path} at {base}: {response.status} {body[:300]!r}")
    try:
        files = json.loads(body).get("files", [])
        return [dict(entry) for entry in files]
    except (AttributeError, TypeError, ValueError) as error:
        raise ArtifactError(f"{base} lists {path} in a way that MLflow does not") from error


async def _fetch(session: aiohttp.ClientSession, url: str, target: Path, left: int) -> int:
    """Download a file; return its size in bytes, at most `left`."""
    size = 0
    async with session.get(url, allow_redirects=False) as response:
        if response.status != HTTPStatus.OK:
            raise ArtifactError(f"cannot download {url}: {response.status}")
        with _made(target) as file:
            async for piece in response.content.iter_chunked(_PIECE_BYTES):
                size += len(piece)
                if size > left:
                    raise ArtifactError(f"the model at {url} is over {BYTES_MAX} bytes")
                # Off the event loop, which serves requests while a large model arrives.
                await asyncio.to_thread(file.write, piece)
    return size


def _made(target: Path) -> BinaryIO:
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.open("xb")
