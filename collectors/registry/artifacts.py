"""Single files that are kept with a model version in MLflow: where they go, stored and fetched.

A file's address is kept in a tag of the version. It is one of

* ``mlflow-artifacts:/PATH``: the MLflow server hands it out, whatever store stands behind;
* ``file:///PATH``: a folder of this machine, or one shared with it;

followed by ``#sha256=HEX``, the checksum of the file: the address and what is to be found there
are written in one tag, at once, and a file that was changed behind our back is noticed.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from collectors.registry.answers import Reason, bare_uri
from collectors.registry.client import MlflowRegistry, RegistryError, RegistryPermanentError

#: For a whole file, up or down.
TRANSFER_TIMEOUT_S: Final = 60.0
#: Where files of versions go whose own artifacts MLflow does not hand out, below its store's root.
APART: Final = "kedge"
_PROXY: Final = "/api/2.0/mlflow-artifacts/artifacts"
_CHECKSUM: Final = "sha256="
_PROXIED, _FILE = "mlflow-artifacts", "file"


class ArtifactAddressError(ValueError):
    """An address of a file that names none we can fetch; the message says what one looks like."""


@dataclass(frozen=True, slots=True)
class ArtifactAddress:
    """Where a file is, and what is to be found there.

    Parameters
    ----------
    scheme
        ``mlflow-artifacts`` or ``file``.
    path
        Below the root of the server's artifact store, or absolute; not quoted.
    sha256
        Checksum of the file, in hex; empty where nobody stated one.
    """

    scheme: str
    path: str
    sha256: str = ""

    def __str__(self) -> str:
        root = "//" if self.scheme == _FILE else ""
        checksum = f"#{_CHECKSUM}{self.sha256}" if self.sha256 else ""
        return f"{self.scheme}:{root}/{quote(self.path.lstrip('/'))}{checksum}"


def parse_artifact_address(text: str) -> ArtifactAddress:
    """Read an address.

    Raises
    ------
    ArtifactAddressError
        It is of another kind, or leads out of the store.

    Examples
    --------
    >>> parse_artifact_address("mlflow-artifacts:/1/models/m-8f/artifacts/kedge/a%20b").path
    '1/models/m-8f/artifacts/kedge/a b'
    >>> str(parse_artifact_address("file:///srv/r.kedge#sha256=00ff"))
    'file:///srv/r.kedge#sha256=00ff'
    """
    parts = urlsplit(text)
    path, fragment = unquote(parts.path), parts.fragment
    checksum = fragment.removeprefix(_CHECKSUM).lower() if _CHECKSUM in fragment else ""
    local = parts.scheme == _FILE and parts.netloc in ("", "localhost")
    if not (local or parts.scheme == _PROXIED) or ".." in path.split("/") or not path.strip("/"):
        raise ArtifactAddressError(
            f'cannot fetch "{bare_uri(text)}": expected "mlflow-artifacts:/PATH" or '
            f'"file:///PATH", with "#{_CHECKSUM}HEX" behind it'
        )
    return ArtifactAddress(parts.scheme, path if local else path.strip("/"), checksum)


def artifact_place(folder_uri: str, model: str, version: str, name: str) -> ArtifactAddress:
    """Choose where a file goes that belongs to a version.

    Beside the version's own artifacts, where the server hands those out or they are in a folder
    of this machine; otherwise (``s3:``, ``gs:`` and so on need clients and rights of their own)
    the server keeps the file apart from them.

    Parameters
    ----------
    folder_uri
        Where the version's artifacts are (`MlflowRegistry.download_uri`).

    Examples
    --------
    >>> artifact_place("mlflow-artifacts:/1/8f/artifacts/model", "m", "7", "r.kedge").path
    '1/8f/artifacts/model/kedge/r.kedge'
    >>> str(artifact_place("s3://models/m", "m", "7", "r.kedge"))
    'mlflow-artifacts:/kedge/m/7/r.kedge'
    """
    parts = urlsplit(folder_uri)
    folder = unquote(parts.path)
    if parts.scheme == _PROXIED:
        return ArtifactAddress(_PROXIED, f"{folder.strip('/')}/{APART}/{name}")
    if parts.scheme in ("", _FILE) and parts.netloc in ("", "localhost") and Path(folder).is_dir():
        return ArtifactAddress(_FILE, str(Path(folder).absolute() / APART / name))
    # A model's name may hold what a path must not.
    return ArtifactAddress(_PROXIED, f"{APART}/{quote(model, safe='')}/{version}/{name}")


class RegistryArtifacts:
    """Stores and fetches single files; no attempt is repeated here."""

    def __init__(self, registry: MlflowRegistry) -> None:
        self._registry = registry

    async def store(self, address: ArtifactAddress, data: bytes) -> ArtifactAddress:
        """Write a file, read it back, and return its address with the checksum.

        Raises
        ------
        RegistryError
            It could not be written, or what came back is not what was sent.
        """
        if address.scheme == _FILE:
            await asyncio.to_thread(_write, Path(address.path), data)
        else:
            await self._registry.exchange(
                "PUT",
                f"{_PROXY}/{quote(address.path)}",
                body=data,
                timeout_s=TRANSFER_TIMEOUT_S,
            )
        stored = ArtifactAddress(address.scheme, address.path, _sha256(data))
        await self.fetch(stored, bytes_max=len(data))
        return stored

    async def fetch(self, address: ArtifactAddress, *, bytes_max: int) -> bytes:
        """Return a file's bytes, checked.

        Raises
        ------
        RegistryError
            It is not there, cannot be had at present, is too large, or has another checksum.
        """
        if address.scheme == _FILE:
            data = await asyncio.to_thread(_read, Path(address.path), bytes_max)
        else:
            data = await self._registry.exchange(
                "GET",
                f"{_PROXY}/{quote(address.path)}",
                answer_bytes_max=bytes_max,
                timeout_s=TRANSFER_TIMEOUT_S,
            )
        if address.sha256 and _sha256(data) != address.sha256:
            raise RegistryPermanentError(
                f"the file at {address} has the checksum {_sha256(data)}: it was changed or "
                "damaged; store it again",
                "answer",
            )
        return data


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(dir=path.parent, prefix=".kedge-")
        try:
            with os.fdopen(number, "wb") as file:
                file.write(data)
            # Whoever may read the model may read what belongs to it.
            Path(name).chmod(path.parent.stat().st_mode & 0o666)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _unusable("write", path, error) from error


def _read(path: Path, bytes_max: int) -> bytes:
    try:
        # Whoever may write tags chooses the path: a pipe or a device would never end.
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(number, "rb") as file:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise RegistryPermanentError(f"cannot read {path}: it is no file", "invalid")
            data = file.read(bytes_max + 1)
    except OSError as error:
        raise _unusable("read", path, error) from error
    if len(data) > bytes_max:
        raise RegistryPermanentError(f"{path} is longer than {bytes_max} bytes", "answer")
    return data


def _unusable(what: str, path: Path, error: OSError) -> RegistryError:
    reason: Reason = "missing" if isinstance(error, FileNotFoundError) else "invalid"
    return RegistryPermanentError(f"cannot {what} {path}: {error.strerror}", reason)
