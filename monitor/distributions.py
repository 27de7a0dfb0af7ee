"""How the columns of a window were distributed, in few bins: what reports are drawn from.

Panes are deleted once no window needs them. What stays of a closed window, besides what was
measured in it, is one row of counts: at most :data:`detectors.histogram.BINS_MAX` a column. Where
the bins lie, and the reference's rows in them, are kept once for a reference (a *cut*).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from detectors.histogram import Histogram, histogram, new_names
from detectors.profile import VectorProfile

if TYPE_CHECKING:
    from detectors.reference import Reference
    from detectors.window import ClosedWindow

#: Cuts that are kept worked out: those of the versions that serve, and of the hours of a season.
CUTS_MAX: Final = 32
#: Columns of a window that are kept, in the order of their names.
COLUMNS_MAX: Final = 1_000


class CutColumn(msgspec.Struct, array_like=True, frozen=True):
    """A column of a cut; `kind`, `labels`, `rows`, `missing`, `invalid` as of a histogram."""

    kind: str
    labels: list[str]
    rows: list[int]
    missing: int
    invalid: int


class CountedColumn(msgspec.Struct, array_like=True, frozen=True):
    """A column of a window.

    Parameters
    ----------
    rows
        Per bin of the cut.
    missing, invalid
        Rows without a value, and with one of a wrong type.
    new
        Rows by name of values that the reference does not know: of the most frequent few.
    """

    rows: list[int]
    missing: int
    invalid: int
    new: dict[str, int] = {}


@dataclass(frozen=True, slots=True)
class Distribution:
    """Counts of a window, and the cut that they are over.

    Parameters
    ----------
    cut
        Name of the cut: the digest of the reference.
    cut_payload, payload
        Both as the store keeps them.
    """

    cut: str
    cut_payload: bytes
    payload: bytes


_CUTS: Final = msgspec.msgpack.Decoder(dict[str, CutColumn])
_COUNTS: Final = msgspec.msgpack.Decoder(dict[str, CountedColumn])


def cut_of(payload: bytes) -> Mapping[str, CutColumn]:
    """Read a cut, by column.

    Raises
    ------
    msgspec.DecodeError
        It is none.
    """
    return _CUTS.decode(payload)


def counts_of(payload: bytes) -> Mapping[str, CountedColumn]:
    """Read the counts of a window, by column.

    Raises
    ------
    msgspec.DecodeError
        They are none.
    """
    return _COUNTS.decode(payload)


class Distributions:
    """Makes the distributions of windows; what follows from a reference is made once."""

    def __init__(self) -> None:
        self._cuts: dict[str, tuple[bytes, Mapping[str, Histogram]]] = {}

    def of(
        self, window: ClosedWindow, reference: Reference | None, part: Reference | None
    ) -> Distribution | None:
        """Return how the columns of a window were distributed.

        None without a reference, and of a window of a segment: those are as many as one likes.

        Parameters
        ----------
        part
            What columns are compared with, if that is not the whole `reference`.
        """
        if reference is None or window.segment:
            return None
        beside = part or reference
        columns = window.pane.columns if part is None else window.pane.over(part).columns
        payload, cuts = self._cut(beside)
        counted = {}
        for name, cut in cuts.items():
            counts = columns.get(name)
            rows = None if counts is None else cut.count(counts)
            if counts is None or rows is None:
                continue
            counted[name] = CountedColumn(
                rows.tolist(), counts.missing, counts.invalid, dict(new_names(counts))
            )
        return Distribution(beside.digest, payload, msgspec.msgpack.encode(counted))

    def _cut(self, reference: Reference) -> tuple[bytes, Mapping[str, Histogram]]:
        found = self._cuts.get(reference.digest)
        if found is None:
            names = sorted(reference.columns)[:COLUMNS_MAX]
            cuts = {
                name: histogram(profile)
                for name in names
                if not isinstance(profile := reference.columns[name], VectorProfile)
                and profile.rows
            }
            found = _encoded(cuts), cuts
            if len(self._cuts) >= CUTS_MAX:
                self._cuts.clear()
            self._cuts[reference.digest] = found
        return found


def _encoded(cuts: Mapping[str, Histogram]) -> bytes:
    return msgspec.msgpack.encode(
        {
            name: CutColumn(cut.kind, list(cut.labels), cut.rows.tolist(), cut.missing, cut.invalid)
            for name, cut in cuts.items()
        }
    )
