"""Finding where values fall among the points of a reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.columns.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Callable

#: Enough points for a table.
POINTS = 1_000

SHAPES: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "even": lambda random: random.random(POINTS),
    "normal, on a lattice": lambda random: random.normal(size=4 * POINTS).round(3),
    "a long tail": lambda random: random.lognormal(sigma=2.0, size=POINTS),
    "most in one place": lambda random: np.append(random.random(POINTS), random.random(200) * 1e12),
    "hardly apart": lambda random: 1e15 + np.arange(POINTS) * 0.125,
    "with infinities": lambda random: np.append(random.normal(size=POINTS), [-np.inf, np.inf]),
    "very large": lambda random: random.normal(size=POINTS) * 2e307,
    "very small": lambda random: random.normal(size=POINTS) * 5e-324 * 1e4,
    "too far apart to measure": lambda random: (np.arange(POINTS) - POINTS / 2) * 3e305,
}


def by_comparing(points: np.ndarray, values: np.ndarray) -> list[int]:
    left, right = points.searchsorted(values, "left"), points.searchsorted(values, "right")
    return [int(cell) for cell in left + right]


def used(points: np.ndarray) -> Grid:
    grid = Grid(points)
    grid.cells(np.sort(np.concatenate((points, points, points))))
    return grid


@pytest.mark.parametrize("shape", SHAPES)
def test_a_grid_in_use_finds_the_cells_that_comparisons_say(shape: str) -> None:
    random = np.random.default_rng(3)
    points = np.unique(SHAPES[shape](random))
    between = points[:-1] / 2 + points[1:] / 2
    ends = [-np.inf, -1.7e308, -0.0, 0.0, 5e-324, 1.7e308, np.inf]
    values = np.concatenate((points, np.nextafter(points, np.inf), between, ends))
    values = np.sort(values[~np.isnan(values)])

    cells = used(points).cells(values)

    assert cells.tolist() == by_comparing(points, values)


@given(st.integers(0, 2**32), st.lists(st.floats(allow_nan=False), max_size=50))
def test_any_value_falls_in_its_cell(seed: int, anywhere: list[float]) -> None:
    random = np.random.default_rng(seed)
    points = np.unique(random.normal(scale=10.0 ** random.integers(-5, 5), size=POINTS))
    values = np.sort(np.append(random.choice(points, 50), anywhere))

    cells = used(points).cells(values)

    assert cells.tolist() == by_comparing(points, values)


@pytest.mark.parametrize("size", [0, 1, 2, 40_000, 70_000])
def test_grids_of_any_size_number_their_cells_alike(size: int) -> None:
    points = np.arange(float(size))
    values = np.sort(np.concatenate((points, points + 0.5, [-1.0])))

    cells = used(points).cells(values)

    assert cells.tolist() == by_comparing(points, values)
