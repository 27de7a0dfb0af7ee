"""References from files: one for all versions, or a file for each."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from collectors.batch import ColumnKind, PredictionBatch, Schema
from detectors.columns.reference_error import ReferenceError as BadReference
from detectors.reference.reference import Reference
from detectors.reference.reference_file import load

log = logging.getLogger("kedge.references")

#: A missing file is looked for again after this long: it may be written while Kedge runs.
LOOK_AGAIN_S = 30.0
#: Files that are not there and yet remembered: their names come out of a log.
MISSING_MAX = 1_000


class FileReferences:
    """References from files, one for all versions or one each.

    Parameters
    ----------
    path
        File of the reference; ``{version}`` in its name stands for the version.
    """

    def __init__(self, path: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._loaded: dict[Path, Reference] = {}
        self._missing: dict[Path, float] = {}
        self._troubles: dict[Path, str] = {}

    def of(self, version: str) -> Reference | None:
        """Return the reference of a version, read from its file at first use."""
        if not _names_a_file(version):
            return None
        path = self._file(version)
        if path in self._loaded:
            return self._loaded[path]
        if self._clock() - self._missing.get(path, -LOOK_AGAIN_S) < LOOK_AGAIN_S:
            return None
        return self._read(path)

    def trouble(self, version: str) -> str:
        """Say what is wrong with the file of a version."""
        if not _names_a_file(version):
            return f"a version {version!r} names no reference file"
        return self._troubles.get(self._file(version), "")

    def collect(self, batch: PredictionBatch) -> PredictionBatch:
        """Return the batch: nothing is collected."""
        return batch

    def renewed(self) -> bool:
        """Return False: what a file holds is known once it is asked for."""
        return False

    def schema(self) -> Schema | None:
        """Columns of every reference file there is, the first file's kind where they differ."""
        pattern = Path(self._path.replace("{version}", "*"))
        columns: dict[str, ColumnKind] = {}
        dimensions: dict[str, int] = {}
        for path in sorted(pattern.parent.glob(pattern.name)):
            reference = self._loaded.get(path) or self._read(path)
            if reference is not None:
                schema = reference.schema()
                columns = {**schema.columns, **columns}
                dimensions = {**schema.dimensions, **dimensions}
        return Schema(columns, dimensions) if columns else None

    def restore(self, states: Mapping[str, bytes]) -> None:
        """Do nothing: files are read again."""

    def changed(self) -> Mapping[str, bytes | None]:
        """Return nothing: files are not kept twice."""
        return {}

    def _file(self, version: str) -> Path:
        return Path(self._path.replace("{version}", version))

    def _read(self, path: Path) -> Reference | None:
        try:
            reference = load(path.read_bytes())
        except FileNotFoundError:
            self._complain(path, "is missing")
        except (OSError, BadReference) as error:
            self._complain(path, f"cannot be used: {error}")
        else:
            self._loaded[path] = reference
            self._missing.pop(path, None)
            self._troubles.pop(path, None)
            return reference
        return None

    def _complain(self, path: Path, what: str) -> None:
        if path not in self._missing:
            log.warning("the reference %s %s; drift is unknown until it is there", path, what)
        while len(self._missing) >= MISSING_MAX:
            oldest = next(iter(self._missing))
            del self._missing[oldest], self._troubles[oldest]
        self._missing[path] = self._clock()
        self._troubles[path] = f"{path} {what}"


def _names_a_file(version: str) -> bool:
    """Tell whether a version may stand in a name; out of a log, it must lead to no other folder."""
    return "/" not in version and not version.startswith(".")
