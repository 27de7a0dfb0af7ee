"""Reference files that were fetched, kept on the disk under their checksum."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from monitor.whole_file import write_whole

log = logging.getLogger("kedge.references")

#: Files that are kept, the ones used last; of 8 MB at most if they were built as by default.
FILES_MAX: Final = 50
_SUFFIX: Final = ".kedge"
#: Says which file is whose, by model and version.
NOTED: Final = "versions.json"
#: Before the name of an alias, where it stands in place of a version.
ALIAS: Final = "@"


class ReferenceCache:
    """A folder of reference files.

    What cannot be read, or is not what its name says, is not there; what cannot be written is
    fetched again after a restart. Neither is an end.
    """

    def __init__(self, folder: Path, files_max: int = FILES_MAX) -> None:
        self._folder = folder
        self._files_max = files_max

    def get(self, sha256: str) -> bytes | None:
        """Return the file with a checksum; None when it is not there whole."""
        path = self._path(sha256)
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        return data if hashlib.sha256(data).hexdigest() == sha256 else None

    def put(self, data: bytes) -> str:
        """Keep a file, and return its checksum; the ones used longest ago give way."""
        sha256 = hashlib.sha256(data).hexdigest()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(self._path(sha256), data)
            self._limit()
        except OSError as error:
            log.warning("a reference is not kept in %s: %s", self._folder, error)
        return sha256

    def note(self, model: str, version: str, what: str) -> None:
        """Note which file is a version's; of ``"@ALIAS"``, which version that is.

        A replay finds them by it while the registry is away. The :data:`FILES_MAX` noted last
        are kept of each model.
        """
        noted = self._noted()
        versions = noted.setdefault(model, {})
        if versions.get(version) == what:
            return
        versions.pop(version, None)
        versions[version] = what
        for old in [one for one in versions if not one.startswith(ALIAS)][: -self._files_max]:
            del versions[old]
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(self._folder / NOTED, json.dumps(noted, indent=1).encode())
        except OSError as error:
            log.warning("whose a reference is was not noted in %s: %s", self._folder, error)

    def noted(self, model: str) -> Mapping[str, str]:
        """Return what was noted of a model."""
        return self._noted().get(model, {})

    def _noted(self) -> dict[str, dict[str, str]]:
        try:
            return msgspec.json.decode(
                (self._folder / NOTED).read_bytes(), type=dict[str, dict[str, str]]
            )
        except (OSError, msgspec.DecodeError):
            return {}

    def _path(self, sha256: str) -> Path:
        return self._folder / f"{sha256}{_SUFFIX}"

    def _limit(self) -> None:
        files = sorted(
            self._folder.glob(f"*{_SUFFIX}"), key=lambda path: path.stat().st_mtime, reverse=True
        )
        for path in files[self._files_max :]:
            with contextlib.suppress(OSError):
                path.unlink()
