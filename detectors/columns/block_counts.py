"""Second moments of the counts of blocks of rows, at every length of block, in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import numpy.typing as npt

from detectors.numerics.packing import PackedArray, PackingError, pack_counts, unpack_counts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectors.batch import Ints

Codes = npt.NDArray[np.uint8]

#: Rows of the shortest blocks; each scale's blocks are two of the scale before.
BLOCK_ROWS = 32
#: The longest blocks have 2^20 rows.
SCALES_MAX = 16
#: Rows that wait, a byte each, to be counted together: a call costs a little for every scale.
_WAITING_MAX = 32_768


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Counts of the blocks of one length, added up.

    Parameters
    ----------
    rows
        Rows of a block.
    blocks
        Number of blocks.
    sums
        Rows per bin over all the blocks, shape ``(J,)``.
    products
        Sum over blocks of the products of their counts, shape ``(J, J)``.
    """

    rows: int
    blocks: int
    sums: Ints
    products: Ints


class ScaleState(msgspec.Struct, array_like=True, frozen=True):
    """What is kept of one scale: the upper triangle of the products, and a block without a pair."""

    blocks: int
    sums: PackedArray
    products: PackedArray
    single: PackedArray


class BlockState(msgspec.Struct, array_like=True, frozen=True):
    """What `BlockCounts` keeps in the store."""

    bins: int
    tail: bytes
    scales: list[ScaleState]


class BlockCounts:
    """Counts the bins of rows in blocks of 32, 64, 128, … consecutive rows.

    Exact, and the same however the rows are cut into calls: whole numbers all along. The rows
    behind the last whole block wait. Memory: ``8 J (J + 2)`` bytes a scale and 32 kB: 70 kB with
    16 bins.

    Parameters
    ----------
    bins
        J, at most 256.

    Examples
    --------
    >>> counts = BlockCounts(2)
    >>> counts.add(np.repeat(np.array([0, 1], np.uint8), 32))
    >>> [(one.rows, one.blocks, one.sums.tolist()) for one in counts.moments()]
    [(32, 2, [32, 32]), (64, 1, [32, 32])]
    """

    def __init__(self, bins: int) -> None:
        self.bins = bins
        self._waiting: list[Codes] = []
        self._waiting_rows = 0
        self._scales: list[_ScaleCounts] = []

    def add(self, codes: Codes) -> None:
        """Count rows, each given as its bin, in ``[0, J)``."""
        self._waiting.append(codes)
        self._waiting_rows += codes.size
        if self._waiting_rows >= _WAITING_MAX:
            self._settle()

    def moments(self) -> Iterator[Moments]:
        """Tell what was counted, the shortest blocks first."""
        self._settle()
        for number, scale in enumerate(self._scales):
            yield Moments(BLOCK_ROWS << number, scale.blocks, scale.sums, scale.products)

    def state(self) -> BlockState:
        """Everything to go on from; equal rows give equal states."""
        tail = self._settle()
        return BlockState(self.bins, tail.tobytes(), [scale.state() for scale in self._scales])

    @classmethod
    def of_state(cls, state: BlockState) -> BlockCounts:
        """Go on from `state`.

        Raises
        ------
        PackingError
            If its parts contradict one another.
        """
        self = cls(state.bins)
        tail = np.frombuffer(state.tail, np.uint8)
        if tail.size >= BLOCK_ROWS or (tail >= state.bins).any():
            raise PackingError("rows that wait for a block are too many, or of no bin")
        self._scales = [_ScaleCounts.of_state(scale, state.bins) for scale in state.scales]
        self.add(tail)
        return self

    def _settle(self) -> Codes:
        """Count the whole blocks; return the rows behind the last one, which go on waiting."""
        codes = np.concatenate([np.empty(0, np.uint8), *self._waiting])
        blocks = codes.size // BLOCK_ROWS
        tail = codes[blocks * BLOCK_ROWS :].copy()
        self._waiting, self._waiting_rows = [tail], tail.size
        first = np.repeat(np.arange(0, blocks * self.bins, self.bins), BLOCK_ROWS)
        cells = first + codes[: blocks * BLOCK_ROWS]
        counts = np.bincount(cells, minlength=blocks * self.bins).reshape(blocks, self.bins)
        for scale in range(SCALES_MAX):
            if not len(counts):
                break
            if scale == len(self._scales):
                self._scales.append(_ScaleCounts(self.bins))
            counts = self._scales[scale].add(counts)
        return tail


class _ScaleCounts:
    """The moments of one scale, and the counts of a block that waits for its neighbour."""

    def __init__(self, bins: int) -> None:
        self.blocks = 0
        self.sums: Ints = np.zeros(bins, np.int64)
        self.products: Ints = np.zeros((bins, bins), np.int64)
        self._single: Ints = np.empty((0, bins), np.int64)

    def add(self, counts: Ints) -> Ints:
        """Add blocks, shape ``(blocks, J)``; return those of twice the length that are whole."""
        self.blocks += len(counts)
        self.sums += counts.sum(axis=0)
        # In floating point because numpy multiplies whole numbers slowly; exact all the same,
        # since one call's products stay below 2^53.
        real = counts.astype(np.float64)
        self.products += (real.T @ real).astype(np.int64)
        counts = np.concatenate((self._single, counts))
        pairs = len(counts) // 2
        self._single = counts[2 * pairs :].copy()
        return counts[: 2 * pairs : 2] + counts[1 : 2 * pairs : 2]

    def state(self) -> ScaleState:
        triangle = self.products[np.triu_indices(self.sums.size)]
        return ScaleState(
            self.blocks,
            pack_counts(self.sums),
            pack_counts(triangle),
            pack_counts(self._single.ravel()),
        )

    @classmethod
    def of_state(cls, state: ScaleState, bins: int) -> _ScaleCounts:
        self = cls(bins)
        upper = np.triu_indices(bins)
        sums, triangle = unpack_counts(state.sums), unpack_counts(state.products)
        single = unpack_counts(state.single)
        waiting = state.blocks % 2
        if sums.size != bins or triangle.size != upper[0].size or single.size != waiting * bins:
            raise PackingError(f"moments of another number of bins than {bins}")
        self.blocks, self.sums = state.blocks, sums
        self.products[upper] = triangle
        self.products.T[upper] = triangle
        self._single = single.reshape(waiting, bins)
        return self
