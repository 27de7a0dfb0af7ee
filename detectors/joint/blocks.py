"""How much correlations differ between blocks of rows, at every length of block, in one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from detectors.joint.counts import unzigzag, zigzag
from detectors.joint.profile import fisher_z, pair_count
from detectors.numerics.packing import (
    PackedArray,
    PackingError,
    pack_counts,
    pack_floats,
    unpack_counts,
    unpack_floats,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectors.batch import Floats, Ints
    from detectors.joint.scores import ScoreMatrix

#: Rows of the shortest blocks; each scale's blocks are two of the scale before.
BLOCK_ROWS = 64
#: The longest blocks have 2^20 rows.
SCALES_MAX = 15


class BlockScaleState(msgspec.Struct, array_like=True, frozen=True):
    """What is kept of one scale; a block that waits for its neighbour as `zigzag` writes it."""

    whole: int
    blocks: PackedArray
    sums: PackedArray
    squares: PackedArray
    single: PackedArray


BlockScalesState = list[BlockScaleState]


class BlockScale:
    """Fisher's z of the blocks of one length, added up.

    Attributes
    ----------
    whole
        Blocks.
    blocks, sums, squares
        Blocks in which a pair has a correlation, and sums of its Fisher's z and of its square.
        Shape ``(P,)`` each.
    """

    def __init__(self, columns: int) -> None:
        pairs = pair_count(columns)
        self.whole = 0
        self.blocks: Ints = np.zeros(pairs, np.int64)
        self.sums: Floats = np.zeros(pairs)
        self.squares: Floats = np.zeros(pairs)
        # Sums in the first column, products in the others.
        self._single: Ints = np.empty((0, columns, columns + 1), np.int64)

    def add(self, rows: int, blocks: Ints) -> Ints:
        """Add blocks of so many rows; return those of twice the length that are whole."""
        z = fisher_z(rows, blocks[..., 0], blocks[..., 1:])
        told = ~np.isnan(z)
        self.whole += len(blocks)
        self.blocks += told.sum(axis=0)
        z[~told] = 0
        self.sums += z.sum(axis=0)
        self.squares += (z**2).sum(axis=0)
        blocks = np.concatenate((self._single, blocks))
        pairs = len(blocks) // 2
        self._single = blocks[2 * pairs :].copy()
        return np.asarray(blocks[: 2 * pairs : 2] + blocks[1 : 2 * pairs : 2])

    def state(self) -> BlockScaleState:
        """Everything to go on from."""
        return BlockScaleState(
            self.whole,
            pack_counts(self.blocks),
            pack_floats(self.sums),
            pack_floats(self.squares),
            pack_counts(zigzag(self._single.ravel())),
        )

    @classmethod
    def of_state(cls, state: BlockScaleState, columns: int) -> BlockScale:
        """Go on from `state`.

        Raises
        ------
        PackingError
            If its parts contradict one another.
        """
        self = cls(columns)
        blocks, single = unpack_counts(state.blocks), unzigzag(unpack_counts(state.single))
        sums, squares = unpack_floats(state.sums), unpack_floats(state.squares)
        waiting = state.whole % 2
        sizes = {blocks.size, sums.size, squares.size}
        if sizes != {pair_count(columns)} or single.size != waiting * columns * (columns + 1):
            raise PackingError(f"blocks of another number of columns than {columns}")
        self.whole, self.blocks, self.sums, self.squares = state.whole, blocks, sums, squares
        self._single = single.reshape(waiting, columns, columns + 1)
        return self


class BlockScales:
    """Correlations of all blocks of 64, 128, 256, … consecutive rows.

    Parameters
    ----------
    columns
        p, number of columns.
    """

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._scales: list[BlockScale] = []

    def add(self, matrix: ScoreMatrix) -> None:
        """Count rows, scores of shape ``(p, rows)``; those behind the last whole block are lost."""
        whole = matrix.shape[1] // BLOCK_ROWS
        by_block = matrix[:, : whole * BLOCK_ROWS].reshape(self._columns, whole, BLOCK_ROWS)
        by_block = by_block.transpose(1, 0, 2)
        # Exact in single precision: blocks are short.
        products = by_block @ by_block.transpose(0, 2, 1)
        sums = by_block.sum(axis=2, keepdims=True)
        blocks: Ints = np.concatenate((sums, products), axis=2).astype(np.int64)
        for scale in range(SCALES_MAX):
            if not len(blocks):
                break
            if scale == len(self._scales):
                self._scales.append(BlockScale(self._columns))
            blocks = self._scales[scale].add(BLOCK_ROWS << scale, blocks)

    def scales(self) -> Iterator[tuple[int, BlockScale]]:
        """Rows of a block and what was counted, the shortest blocks first."""
        for number, scale in enumerate(self._scales):
            yield BLOCK_ROWS << number, scale

    def state(self) -> BlockScalesState:
        """Everything to go on from; equal rows give equal states."""
        return [scale.state() for scale in self._scales]

    @classmethod
    def of_state(cls, state: BlockScalesState, columns: int) -> BlockScales:
        """Go on from `state`.

        Raises
        ------
        PackingError
            If its parts contradict one another.
        """
        self = cls(columns)
        self._scales = [BlockScale.of_state(scale, columns) for scale in state]
        return self
