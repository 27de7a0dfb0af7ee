"""Shapes of the functions that measure a column, by what they are given of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collectors.batch import Ints
    from detectors.columns.category_counts import CategoryCounts
    from detectors.columns.profile import CategoryProfile, NumberProfile, VectorProfile
    from detectors.columns.vector_counts import VectorCounts
    from detectors.measurement import Estimate


class OfCells(Protocol):
    """Compares the cells of a window's numbers with the reference."""

    def __call__(self, profile: NumberProfile, cells: Ints, *, confidence: float) -> Estimate:
        """Measure."""


class OfShares(Protocol):
    """Compares rows per bin of the reference and of the window."""

    def __call__(self, expected: Ints, actual: Ints, *, confidence: float) -> Estimate:
        """Measure."""


class OfCategories(Protocol):
    """Compares a window's categories with the reference."""

    def __call__(
        self, profile: CategoryProfile, counts: CategoryCounts, *, confidence: float
    ) -> Estimate:
        """Measure."""


class OfVectors(Protocol):
    """Compares a window's vectors with the reference."""

    def __call__(
        self, profile: VectorProfile, counts: VectorCounts, *, confidence: float
    ) -> Estimate:
        """Measure."""
