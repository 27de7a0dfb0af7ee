"""Sums and products of the rows' scores over several columns: exact, additive, order-free."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from detectors.numerics.packing import PackedArray, PackingError, pack_counts, unpack_counts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collectors.batch import Column, Ints
    from detectors.joint.scores import ScoreMatrix, ScoreTables

#: Rows and batches that wait to be looked up together: few large look-ups are cheaper.
_WAITING_ROWS_MIN = 512
_WAITING_BATCHES_MAX = 64
#: Multiplications in one product of matrices: above it, numpy's would start threads.
_PRODUCT_MAX = 1 << 18
#: Rows whose products add up exactly in single precision.
_EXACT_ROWS = 2_048


class JointState(msgspec.Struct, array_like=True, frozen=True):
    """What `JointCounts` keeps in the store.

    Parameters
    ----------
    digest
        Of the tables of scores.
    sums, products
        Signed, as `zigzag` writes them; of the products the upper triangle.
    """

    digest: str
    rows: int
    sums: PackedArray
    products: PackedArray


class JointCounts:
    """Rows, sums and products of scores: all that the correlations of a window rest on.

    A row without any of the columns counts with scores of 0.

    Parameters
    ----------
    tables
        Of the reference.

    Attributes
    ----------
    tables
        What scores were looked up in.
    """

    __slots__ = ("_products", "_rows", "_sums", "_waiting", "_waiting_rows", "tables")

    def __init__(self, tables: ScoreTables) -> None:
        self.tables = tables
        self._rows = 0
        # Made with the first rows: many panes of many versions may never have any.
        self._sums: Ints | None = None
        self._products: Ints | None = None
        self._waiting: list[tuple[Mapping[str, Column], int]] = []
        self._waiting_rows = 0

    @property
    def rows(self) -> int:
        """Rows, whatever is missing in them."""
        return self._rows + self._waiting_rows

    def add(self, columns: Mapping[str, Column], rows: int) -> None:
        """Count `rows` rows of these columns, which are not to change any more."""
        watched = self.tables.tables
        self._waiting.append(
            ({name: column for name, column in columns.items() if name in watched}, rows)
        )
        self._waiting_rows += rows
        if self._waiting_rows >= _WAITING_ROWS_MIN or len(self._waiting) >= _WAITING_BATCHES_MAX:
            self._settle()

    def merge(self, other: JointCounts) -> None:
        """Add what `other` holds.

        Raises
        ------
        ValueError
            If its scores are of other tables.
        """
        if other.tables.digest != self.tables.digest:
            raise ValueError("cannot add products of scores from different tables")
        rows, sums, products = other.moments()
        self._add(rows, sums, products)

    def moments(self) -> tuple[int, Ints, Ints]:
        """Rows, sums of the scores, shape ``(p,)``, and of their products, shape ``(p, p)``."""
        self._settle()
        size = len(self.tables.tables)
        if self._sums is None or self._products is None:
            return self._rows, np.zeros(size, np.int64), np.zeros((size, size), np.int64)
        return self._rows, self._sums, self._products

    def state(self) -> JointState:
        """Everything to go on from; equal counts give equal states."""
        rows, sums, products = self.moments()
        triangle = products[np.triu_indices(sums.size)]
        return JointState(
            self.tables.digest, rows, pack_counts(zigzag(sums)), pack_counts(zigzag(triangle))
        )

    @classmethod
    def of_state(cls, state: JointState, tables: ScoreTables) -> JointCounts:
        """Go on from `state`, whose scores are of `tables`.

        Raises
        ------
        PackingError
            If they are not, or the parts contradict one another.
        """
        self = cls(tables)
        size = len(tables.tables)
        upper = np.triu_indices(size)
        sums = unzigzag(unpack_counts(state.sums))
        triangle = unzigzag(unpack_counts(state.products))
        if state.digest != tables.digest or sums.size != size or triangle.size != upper[0].size:
            raise PackingError("products of scores of other columns")
        products = np.zeros((size, size), np.int64)
        products[upper] = triangle
        products.T[upper] = triangle
        self._add(state.rows, sums, products)
        return self

    def restored(self, state: JointState) -> JointCounts:
        """Go on from `state` if its scores are of the same tables, and else from none.

        Raises
        ------
        PackingError
            If its parts contradict one another.
        """
        if state.digest != self.tables.digest:
            return JointCounts(self.tables)
        return JointCounts.of_state(state, self.tables)

    def _settle(self) -> None:
        if not self._waiting:
            return
        matrix = self.tables.matrix(self._waiting)
        self._waiting.clear()
        self._waiting_rows = 0
        self._add(matrix.shape[1], *products_of(matrix))

    def _add(self, rows: int, sums: Ints, products: Ints) -> None:
        self._rows += rows
        if self._sums is None or self._products is None:
            self._sums, self._products = sums.copy(), products.copy()
        else:
            self._sums += sums
            self._products += products


def products_of(matrix: ScoreMatrix) -> tuple[Ints, Ints]:
    """Add up scores ``(p, rows)``, exactly: sums ``(p,)`` and products ``(p, p)``."""
    size = len(matrix)
    sums = matrix.sum(axis=1, dtype=np.float64).astype(np.int64)
    products = np.zeros((size, size), np.int64)
    step = min(_EXACT_ROWS, rows_together(size))
    for start in range(0, matrix.shape[1], step):
        part = matrix[:, start : start + step]
        products += (part @ part.T).astype(np.int64)
    return sums, products


def rows_together(columns: int) -> int:
    """Rows to multiply at a time, so that no thread is started for it."""
    return max(1, _PRODUCT_MAX // max(1, columns * columns))


def zigzag(values: Ints) -> Ints:
    """Write signed numbers as unsigned ones, small ones as small ones: 0, -1, 1, -2, … in order."""
    return np.where(values < 0, -2 * values - 1, 2 * values)


def unzigzag(values: Ints) -> Ints:
    """Return what `zigzag` was given."""
    return np.where(values % 2 == 1, -(values + 1) // 2, values // 2)
