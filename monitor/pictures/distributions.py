"""How the columns of a window were distributed, in few bars: what page, report and metric show.

Panes are deleted once no window needs them. What stays of a closed window, besides what was
measured in it, is one row of counts (:class:`detectors.columns.side_by_side.Counted`), and once for
all windows over a reference how its columns are cut, with the reference's own rows
(:class:`detectors.columns.side_by_side.Bars`): a *cut*. The daemon holds the last of these rows,
and the store every one; pictures are put together where they are looked at.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from detectors.columns.side_by_side import Bars, Counted, Frame, SideBySide, beside, frame_of

if TYPE_CHECKING:
    from detectors.reference.reference import Reference
    from detectors.windows.window import ClosedWindow

log = logging.getLogger("kedge.store")

#: Cuts that are kept worked out: those of the versions that serve, and of the hours of a season.
CUTS_MAX: Final = 32
#: Columns of a window that are kept, in the order of their names.
COLUMNS_MAX: Final = 1_000

_Kept = TypeVar("_Kept", Bars, Counted)

_CUT: Final = msgspec.msgpack.Decoder(dict[str, Bars])
_COUNTS: Final = msgspec.msgpack.Decoder(dict[str, Counted])


@dataclass(frozen=True, slots=True)
class Distribution:
    """Counts of a window, and the cut that they are over.

    Parameters
    ----------
    cut
        Name of the cut: a digest of `cut_payload`.
    cut_payload, payload
        Both as the store keeps them.
    """

    cut: str
    cut_payload: bytes
    payload: bytes

    def columns(self) -> Columns:
        """Return the pictures of the window's columns."""
        return Columns(cut_of(self.cut_payload), counts_of(self.payload))


class Columns(Mapping[str, SideBySide]):
    """Columns of a window beside their reference, by name: each put together when asked for."""

    def __init__(self, cut: Mapping[str, Bars], counts: Mapping[str, Counted]) -> None:
        self._cut = cut
        self._counts = {name: one for name, one in counts.items() if name in cut}

    def __getitem__(self, name: str) -> SideBySide:
        return beside(self._cut[name], self._counts[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._counts)

    def __len__(self) -> int:
        return len(self._counts)


def cut_of(payload: bytes) -> Mapping[str, Bars]:
    """Read a cut, by column; empty, with a warning, if it cannot be read."""
    return _read(_CUT, payload)


def counts_of(payload: bytes) -> Mapping[str, Counted]:
    """Read the counts of a window, by column; empty, with a warning, if they cannot be read."""
    return _read(_COUNTS, payload)


def _read(decoder: msgspec.msgpack.Decoder[dict[str, _Kept]], payload: bytes) -> dict[str, _Kept]:
    try:
        return decoder.decode(payload)
    except msgspec.DecodeError as error:
        log.warning("the pictures of a window are damaged or of another Kedge: %s", error)
        return {}


class Distributions:
    """Makes the distributions of windows; what follows from a reference is made once."""

    def __init__(self) -> None:
        self._cuts: dict[str, tuple[str, bytes, Mapping[str, Frame]]] = {}

    def of(
        self,
        window: ClosedWindow,
        reference: Reference | None,
        part: Reference | None,
        columns: Collection[str] | None = None,
    ) -> Distribution | None:
        """Return how the columns of a window were distributed; None without a reference or rows.

        Parameters
        ----------
        part
            What columns are compared with, if that is not the whole `reference`.
        columns
            Those that are kept; by default all.
        """
        if reference is None or not window.pane.answered or (columns is not None and not columns):
            return None
        counts = window.pane.columns if part is None else window.pane.over(part).columns
        name, payload, frames = self._cut(part or reference)
        counted = {
            column: found
            for column in (frames if columns is None else sorted(columns))
            if column in frames
            and column in counts
            and (found := frames[column].count(counts[column])) is not None
        }
        return Distribution(name, payload, msgspec.msgpack.encode(counted))

    def _cut(self, reference: Reference) -> tuple[str, bytes, Mapping[str, Frame]]:
        found = self._cuts.get(reference.digest)
        if found is None:
            names = sorted(reference.columns)[:COLUMNS_MAX]
            every = {name: frame_of(reference.columns[name]) for name in names}
            frames = {name: frame for name, frame in every.items() if frame is not None}
            payload = msgspec.msgpack.encode({name: one.bars for name, one in frames.items()})
            found = hashlib.sha256(payload).hexdigest(), payload, frames
            if len(self._cuts) >= CUTS_MAX:
                del self._cuts[next(iter(self._cuts))]
            self._cuts[reference.digest] = found
        return found
