"""Which reference a version is compared with: a file for all, a file each, or the first events.

A file that is missing or damaged is not an end: the version's drift is then unknown, which never
acts, and the daemon says so once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from collectors.batch import ERROR_STATUS_MIN, ColumnKind, PredictionBatch, Schema
from detectors.reference import Reference, ReferenceBuilder
from detectors.reference_file import ReferenceError as BadReference
from detectors.reference_file import dump, load

log = logging.getLogger("kedge.references")

#: A missing file is looked for again after this long: it may be written while Kedge runs.
LOOK_AGAIN_S = 30.0

#: Names of what is kept in the store while the first events are collected, and after.
COLLECTING, COLLECTED = "reference-collecting", "reference-collected"


class References(Protocol):
    """What the engine asks of the references."""

    def of(self, version: str) -> Reference | None:
        """Return the reference of a version; None when there is none (yet)."""

    def collect(self, batch: PredictionBatch) -> PredictionBatch | None:
        """Take what a reference in the making needs; return the rows left for the windows."""

    def schema(self) -> Schema | None:
        """Columns to decode; None to learn them from the log."""

    def restore(self, states: Mapping[str, bytes]) -> None:
        """Take up what the store kept."""

    def changed(self) -> Mapping[str, bytes | None]:
        """Return what to write to the store since the last call."""


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

    def of(self, version: str) -> Reference | None:
        """Return the reference of a version, read from its file at first use."""
        # A version comes out of a log: it may name a file, never a way to another folder.
        if "/" in version or version.startswith("."):
            return None
        path = Path(self._path.replace("{version}", version))
        if path in self._loaded:
            return self._loaded[path]
        if self._clock() - self._missing.get(path, -LOOK_AGAIN_S) < LOOK_AGAIN_S:
            return None
        return self._read(path)

    def collect(self, batch: PredictionBatch) -> PredictionBatch:
        """Return the batch: nothing is collected."""
        return batch

    def schema(self) -> Schema | None:
        """Columns of every reference file there is, the first file's kind where they differ."""
        pattern = Path(self._path.replace("{version}", "*"))
        columns: dict[str, ColumnKind] = {}
        for path in sorted(pattern.parent.glob(pattern.name)):
            reference = self._loaded.get(path) or self._read(path)
            if reference is not None:
                columns = {**reference.schema().columns, **columns}
        return Schema(columns) if columns else None

    def restore(self, states: Mapping[str, bytes]) -> None:
        """Do nothing: files are read again."""

    def changed(self) -> Mapping[str, bytes | None]:
        """Return nothing: files are not kept twice."""
        return {}

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
            return reference
        return None

    def _complain(self, path: Path, what: str) -> None:
        if path not in self._missing:
            log.warning("the reference %s %s; drift is unknown until it is there", path, what)
        self._missing[path] = self._clock()


class FirstEvents:
    """The first events of the log are the reference, and enter no window.

    Parameters
    ----------
    events
        Rows to collect; the row that reaches the number is the last of the reference, wherever
        the log was cut into chunks.
    """

    def __init__(
        self, events: int, points_max: int, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._events = events
        self._clock = clock
        self._builder: ReferenceBuilder | None = ReferenceBuilder(points_max)
        self._reference: Reference | None = None
        self._changed: set[str] = set()

    def of(self, version: str) -> Reference | None:  # noqa: ARG002 - one for all versions
        """Return the reference, once it is complete."""
        return self._reference

    def collect(self, batch: PredictionBatch) -> PredictionBatch | None:
        """Take rows until the reference is complete; return those behind it."""
        if self._builder is None:
            return batch
        wanted = self._events - self._builder.rows
        # Rows of failed requests tell nothing of what is normal: they neither enter nor count.
        answered = np.cumsum(batch.status < ERROR_STATUS_MIN)
        end = int(np.searchsorted(answered, wanted)) + 1
        self._builder.add(batch.take(slice(0, end)).answered().columns)
        self._changed.add(COLLECTING)
        if self._builder.rows < self._events:
            return None
        self._reference = self._builder.build(self._clock(), f"first {self._events} events")
        self._builder = None
        self._changed.add(COLLECTED)
        log.info("the first %d events are the reference from here on", self._events)
        return batch.take(slice(end, None)) if end < batch.rows else None

    def schema(self) -> Schema | None:
        """Columns of the reference once there is one."""
        return self._reference.schema() if self._reference is not None else None

    def restore(self, states: Mapping[str, bytes]) -> None:
        """Go on collecting where the last commit left off."""
        if COLLECTED in states:
            self._reference, self._builder = load(states[COLLECTED]), None
        elif COLLECTING in states:
            self._builder = ReferenceBuilder.decode(states[COLLECTING])

    def changed(self) -> Mapping[str, bytes | None]:
        """Return the reference as it stands, when it changed since the last call."""
        changed, self._changed = self._changed, set()
        if not changed:
            return {}
        if self._builder is not None:
            return {COLLECTING: self._builder.encode()}
        if self._reference is None or COLLECTED not in changed:
            return {}
        return {COLLECTING: None, COLLECTED: dump(self._reference)}


class NoReference:
    """No reference at all: latency, errors and throughput are watched, drift is unknown."""

    def of(self, version: str) -> Reference | None:  # noqa: ARG002 - the protocol's
        """Return None."""
        return None

    def collect(self, batch: PredictionBatch) -> PredictionBatch:
        """Return the batch."""
        return batch

    def schema(self) -> Schema | None:
        """Return None: columns are learned, so that missing values are counted all the same."""
        return None

    def restore(self, states: Mapping[str, bytes]) -> None:
        """Do nothing."""

    def changed(self) -> Mapping[str, bytes | None]:
        """Return nothing."""
        return {}
