"""The best that any test could do with the drifts of `benchmarks.streams`, in their first window.

Neyman and Pearson's test knows both distributions, the column, the direction and the size of the
drift, and the row at which it begins, and weighs them by the ratio of their likelihoods: no test
of the same level finds more. It is given the level that a whole budget of one false alarm in 100
windows leaves each of the nine columns, for which of them drifts nobody is told. The reference's
own error is counted as fewer rows, ``1 / (1/m + 1/n)``; of a value that the reference never met,
as Fisher's test of it.

Its power is what a detector may be measured by: where it is 40 %, nobody finds 70.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.random import Generator

from benchmarks.streams import (
    HUGE_ROWS,
    MISSING_SHARE,
    NAMES,
    PLAN_SHARES,
    REFERENCE_ROWS,
    SIZES,
    TRANSITION_WINDOWS,
    Size,
)
from collectors.batch import Floats

#: False alarms a window, over all columns.
LEVEL = 0.01
WINDOWS = 20_000
_CHUNK = 1_000

#: Logarithms of the likelihood ratio of so many windows of so many rows, without drift and with.
_Ratios: TypeAlias = tuple[Floats, Floats]


def best_possible(family: str, size: Size, window: int) -> float:
    """Share of such drifts that the best test finds in their first window.

    By simulation of :data:`WINDOWS` windows with drift and without: right to one in a hundred.
    """
    from scipy.stats import binom, hypergeom  # noqa: PLC0415 - only here

    amount, level = SIZES[family][size], LEVEL / len(NAMES)
    window = HUGE_ROWS if family.startswith("tiny") else window
    if family == "new category":
        new = np.arange(1, window + 1)
        rare = hypergeom(REFERENCE_ROWS + window, new, window).sf(new - 1) <= level
        return float(binom(window, amount).sf(new[rare][0] - 1))
    rows = round(1 / (1 / window + 1 / REFERENCE_ROWS))
    random = np.random.default_rng(0)
    chunks = [RATIOS[family](random, amount, rows, _CHUNK) for _ in range(WINDOWS // _CHUNK)]
    before, after = (np.concatenate(side) for side in zip(*chunks, strict=True))
    return float((after > np.quantile(before, 1 - level)).mean())


def _shift(random: Generator, shift: float, rows: int, windows: int) -> _Ratios:
    center, spread = rows * shift**2 / 2, shift * np.sqrt(rows)
    return random.normal(-center, spread, windows), random.normal(center, spread, windows)


def _progress(rows: int) -> Floats:
    return np.arange(rows) / (rows * TRANSITION_WINDOWS)


def _gradual(random: Generator, shift: float, rows: int, windows: int) -> _Ratios:
    share = _progress(rows)

    def ratio(values: Floats) -> Floats:
        odds = share * np.expm1(shift * values - shift**2 / 2)
        return np.asarray(np.log1p(odds).sum(axis=1))

    values, others = random.standard_normal((2, windows, rows))
    return ratio(values), ratio(others + shift * (random.random((windows, rows)) < share))


def _incremental(random: Generator, shift: float, rows: int, windows: int) -> _Ratios:
    return _shift(random, shift * float(np.sqrt((_progress(rows) ** 2).mean())), rows, windows)


def _spread(random: Generator, factor: float, rows: int, windows: int) -> _Ratios:
    squares, others = random.chisquare(rows, (2, windows))
    return squares, factor**2 * others


def _correlation(random: Generator, correlation: float, rows: int, windows: int) -> _Ratios:
    free = 1 - correlation**2

    def ratio(x: Floats, y: Floats) -> Floats:
        products = 2 * correlation * x * y - correlation**2 * (x**2 + y**2)
        return np.asarray(products.sum(axis=1) / (2 * free))

    x, y, z = random.standard_normal((3, windows, rows))
    return ratio(x, z), ratio(x, correlation * x + np.sqrt(free) * y)


def _frequencies(random: Generator, share: float, rows: int, windows: int) -> _Ratios:
    after = PLAN_SHARES.copy()
    after[[0, -1]] += (-share, share)
    logs = np.log(after / PLAN_SHARES)
    sides = (random.multinomial(rows, shares, windows) @ logs for shares in (PLAN_SHARES, after))
    return next(sides), next(sides)


def _missing(random: Generator, share: float, rows: int, windows: int) -> _Ratios:
    before, after = random.binomial(rows, [[MISSING_SHARE], [MISSING_SHARE + share]], (2, windows))
    return before, after


def _unit(random: Generator, share: float, rows: int, windows: int) -> _Ratios:
    far = float(np.log(100))

    def ratio(values: Floats) -> Floats:
        with np.errstate(divide="ignore"):
            odds = np.logaddexp(np.log(1 - share), np.log(share) + far * values - far**2 / 2)
        return np.asarray(odds.sum(axis=1))

    values, others = random.standard_normal((2, windows, rows))
    return ratio(values), ratio(others + far * (random.random((windows, rows)) < share))


def _heavy(random: Generator, shift: float, rows: int, windows: int) -> _Ratios:
    from scipy.stats import t  # noqa: PLC0415 - only here

    far = shift * 2 * float(t(1.5).ppf(0.75)) / 1.35

    def ratio(values: Floats) -> Floats:
        odds = np.log((1 + values**2 / 1.5) / (1 + (values - far) ** 2 / 1.5))
        return np.asarray(1.25 * odds.sum(axis=1))

    values, others = random.standard_t(1.5, (2, windows, rows))
    return ratio(values), ratio(others + far)


RATIOS: dict[str, Callable[[Generator, float, int, int], _Ratios]] = {
    "abrupt": _shift,
    "gradual": _gradual,
    "incremental": _incremental,
    "recurring": _shift,
    "variance only": _spread,
    "correlation only": _correlation,
    "category frequencies": _frequencies,
    "missing rate": _missing,
    "unit change": _unit,
    "tiny effect, huge windows": _shift,
    "heavy tails": _heavy,
}
