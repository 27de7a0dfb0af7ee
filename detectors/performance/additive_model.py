"""What a quantity is expected to be, from how each column is distributed: an additive model.

The mean of ``y = mean + sum_k f_k(x_k)`` over a window depends on the columns' distributions one
by one, and these are what a pane counts: so an expected prediction, or an expected loss, costs a
window nothing more than a product of shares and effects, and adds up like all the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from detectors.columns.category_counts import CategoryCounts
from detectors.columns.number_counts import NumberCounts
from detectors.columns.profile import CategoryProfile, NumberProfile
from detectors.measurement import Estimate, untold

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collectors.batch import Floats, Ints
    from detectors.columns.column_counts import ColumnCounts
    from detectors.columns.profile import Profile
    from detectors.joint.row_sample import RowSample

#: Bins of a number column, cut at quantiles; missing values have one more.
BINS = 16
#: Values of a category column with an effect of their own; the others share one.
NAMES = 24
#: Rows of the mean that are added to each bin: pulls the effect of a rare bin towards 0.
SHRINKAGE = 10.0
#: Rows that a fit needs.
ROWS_MIN = 200
_ROUNDS_MAX = 15
_SETTLED = 1e-4

_Codes: TypeAlias = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class NumberEffect:
    """Effect of a number column on the mean.

    Parameters
    ----------
    edges
        Ends of the bins ``(a, b]``, ascending, shape ``(E,)``; open at both ends.
    values
        Effect of each bin, and of a missing value last, shape ``(E + 2,)``.
    errors
        Standard error of each, shape ``(E + 2,)``.
    """

    edges: Floats
    values: Floats
    errors: Floats

    def codes(self, values: Floats) -> _Codes:
        """Bin of each value; NaN sorts behind the last edge, and one further."""
        return self.edges.searchsorted(values) + np.isnan(values)

    def rows(self, profile: NumberProfile, upto: Ints, missing: int) -> Ints:
        """Rows per bin, from those up to each cell of the profile's grid."""
        return np.append(profile.rows_by_edges(self.edges, upto), missing)


@dataclass(frozen=True, slots=True, eq=False)
class CategoryEffect:
    """Effect of a category column on the mean.

    Parameters
    ----------
    names
        Values with an effect of their own.
    values
        Effect of each, of all others, and of a missing value, shape ``(len(names) + 2,)``.
    errors
        Standard error of each.
    """

    names: tuple[str, ...]
    values: Floats
    errors: Floats

    def codes(self, values: list[str | None]) -> _Codes:
        """Bin of each value."""
        bins: dict[str | None, int] = {name: index for index, name in enumerate(self.names)}
        bins[None] = len(bins) + 1
        return np.array([bins.get(value, len(self.names)) for value in values], np.intp)

    def rows(self, profile: CategoryProfile, known: Ints, other: int, missing: int) -> Ints:
        """Rows per bin, from counts of the values that the profile names."""
        place = {name: index for index, name in enumerate(profile.values)}
        own = np.array([known[place[name]] if name in place else 0 for name in self.names])
        rest = int(known.sum()) + other - int(own.sum())
        return np.concatenate((own, [rest, missing])).astype(np.int64)


Effect: TypeAlias = NumberEffect | CategoryEffect


@dataclass(frozen=True, slots=True, eq=False)
class AdditiveModel:
    """A quantity as a mean and an effect of each column.

    Parameters
    ----------
    mean
        Of the quantity in the reference.
    rows
        Rows that it was fitted to.
    spread
        Standard deviation of the quantity in the reference.
    explained
        Share of its variance that the effects explain, in rows they were not fitted to, in
        ``[0, 1]``: 0 where they tell nothing.
    effects
        By column.
    noise
        Model of the squares of what the effects leave: rows of one kind may vary more than those
        of another, and a window may hold more of them. None for a model of squares itself.
    """

    mean: float
    rows: int
    spread: float
    explained: float
    effects: Mapping[str, Effect]
    noise: AdditiveModel | None = None

    def shifts(
        self, counts: Mapping[str, ColumnCounts], profiles: Mapping[str, Profile]
    ) -> dict[str, tuple[float, float]]:
        """By how much each column's drift moves the mean, and the standard error of that.

        A column without rows, or of another kind than it was, moves nothing.
        """
        found = {}
        for name, effect in self.effects.items():
            difference = _difference(effect, counts.get(name), profiles.get(name))
            if difference is not None:
                moved = float(difference @ effect.values)
                found[name] = (moved, math.sqrt(float(difference**2 @ effect.errors**2)))
        return found

    def expected(
        self,
        counts: Mapping[str, ColumnCounts],
        profiles: Mapping[str, Profile],
        *,
        rows: int,
        confidence: float,
    ) -> Estimate:
        """Estimate the window's mean, as if the quantity still depended on the columns as before.

        The bounds hold for the mean over the window's own rows, where the effects do add up:
        normal law, of the rows' own variance that no column explains, of the reference's mean
        and of the effects. Untold with no rows, or with no column to go by.

        Parameters
        ----------
        rows
            Of the window.
        confidence
            Of both bounds together, in ``(0, 1)``.
        """
        shifts = self.shifts(counts, profiles)
        if not rows or not shifts:
            return untold(rows)
        value = self.mean + sum(moved for moved, _ in shifts.values())
        variance = self._unexplained(counts, profiles) / rows + self.spread**2 / self.rows
        variance += sum(error**2 for _, error in shifts.values())
        margin = NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt(variance)
        return Estimate(value, value - margin, value + margin, rows)

    def _unexplained(
        self, counts: Mapping[str, ColumnCounts], profiles: Mapping[str, Profile]
    ) -> float:
        """Variance of a row of the window that no column explains."""
        overall = self.spread**2 * (1 - self.explained)
        if self.noise is None:
            return overall
        shifts = self.noise.shifts(counts, profiles)
        # An additive model of squares may fall below what any row varies by: a tenth stays.
        return max(self.noise.mean + sum(moved for moved, _ in shifts.values()), overall / 10)

    def importances(self, profiles: Mapping[str, Profile]) -> dict[str, float]:
        """Share of each column in the variance of all effects, in the reference; they add up to 1.

        All 0 where no column has an effect that shows in rows it was not fitted to.
        """
        variances = {}
        for name, effect in self.effects.items():
            shares = _reference_shares(effect, profiles.get(name))
            if shares is not None:
                mean = float(shares @ effect.values)
                variances[name] = float(shares @ (effect.values - mean) ** 2)
        total = sum(variances.values())
        if not total or not self.explained:
            return dict.fromkeys(variances, 0.0)
        return {name: variance / total for name, variance in variances.items()}


def fit(sample: RowSample, quantity: Floats, without: frozenset[str]) -> AdditiveModel | None:
    """Fit an additive model by backfitting [1]_, with shrunken means of bins as smoothers.

    Parameters
    ----------
    sample
        Rows of the reference.
    quantity
        What to explain, shape ``(sample.rows,)``; NaN where it is not known.
    without
        Columns to leave out, such as the quantity's own.

    Returns
    -------
    AdditiveModel or None
        None of fewer than :data:`ROWS_MIN` known rows.

    References
    ----------
    .. [1] Buja, Hastie, Tibshirani, "Linear smoothers and additive models", Annals of Statistics
       17(2), 1989.
    """
    known = np.flatnonzero(np.isfinite(quantity))
    if known.size < ROWS_MIN:
        return None
    blank = _blank_effects(sample, known, without)
    codes = {name: _codes(effect, sample, name)[known] for name, effect in blank.items()}
    model, residual = _fitted(quantity[known], blank, codes)
    noise, _ = _fitted(residual**2, blank, codes)
    explained = _explained_elsewhere(quantity[known], codes, _sizes(blank))
    return replace(model, explained=explained, noise=noise)


def _fitted(
    y: Floats, blank: Mapping[str, Effect], codes: Mapping[str, _Codes]
) -> tuple[AdditiveModel, Floats]:
    """Return a model of `y`, not yet tried on other rows, and what it leaves of it."""
    effects, residual = _backfit(y, codes, _sizes(blank))
    spread = float(residual.std())
    model = AdditiveModel(
        mean=float(y.mean()),
        rows=y.size,
        spread=float(y.std()),
        explained=0.0,
        effects={
            name: _filled(blank[name], effects[name], spread, np.bincount(codes[name]))
            for name in blank
        },
    )
    return model, residual


def _sizes(effects: Mapping[str, Effect]) -> dict[str, int]:
    return {name: effect.values.size for name, effect in effects.items()}


def _blank_effects(sample: RowSample, known: _Codes, without: frozenset[str]) -> dict[str, Effect]:
    none = np.empty(0)
    blank: dict[str, Effect] = {}
    for name, values in sample.numbers.items():
        present = np.sort(values[known][~np.isnan(values[known])])
        if name not in without and present.size:
            ranks = np.ceil(np.arange(1, BINS) / BINS * present.size).astype(np.int64) - 1
            # A bin ends at each quantile, and at the largest value none is left above.
            edges = np.unique(present[ranks])
            blank[name] = NumberEffect(edges, np.zeros(edges.size + 2), none)
    for name, texts in sample.categories.items():
        if name not in without:
            seen, counts = np.unique(
                [text for row in known if (text := texts[row]) is not None], return_counts=True
            )
            order = np.lexsort((seen, -counts))[:NAMES]
            names = tuple(str(seen[index]) for index in order)
            blank[name] = CategoryEffect(names, np.zeros(len(names) + 2), none)
    return blank


def _codes(effect: Effect, sample: RowSample, name: str) -> _Codes:
    if isinstance(effect, NumberEffect):
        return effect.codes(sample.numbers[name])
    return effect.codes(sample.categories[name])


def _backfit(
    y: Floats, codes: Mapping[str, _Codes], sizes: Mapping[str, int]
) -> tuple[dict[str, Floats], Floats]:
    """Return the effects, centred, and what they leave of `y`."""
    residual = y - y.mean()
    effects = {name: np.zeros(size) for name, size in sizes.items()}
    rows = {name: np.bincount(codes[name], minlength=size) for name, size in sizes.items()}
    scale = float(np.abs(residual).max()) or 1.0
    for _ in range(_ROUNDS_MAX):
        moved = 0.0
        for name, effect in effects.items():
            part = residual + effect[codes[name]]
            sums = np.bincount(codes[name], part, minlength=sizes[name])
            fresh = sums / (rows[name] + SHRINKAGE)
            fresh -= float(rows[name] @ fresh) / y.size
            residual = part - fresh[codes[name]]
            moved = max(moved, float(np.abs(fresh - effect).max()))
            effects[name] = fresh
        if moved <= _SETTLED * scale:
            break
    return effects, residual


def _explained_elsewhere(y: Floats, codes: Mapping[str, _Codes], sizes: Mapping[str, int]) -> float:
    """Share of the variance of every second row that effects fitted to the others explain."""
    fitted, tried = slice(0, None, 2), slice(1, None, 2)
    effects, _ = _backfit(y[fitted], {name: code[fitted] for name, code in codes.items()}, sizes)
    guess = y[fitted].mean() + sum(effects[name][code[tried]] for name, code in codes.items())
    variance = float(y[tried].var())
    if not variance:
        return 0.0
    return max(0.0, 1 - float(np.mean((y[tried] - guess) ** 2)) / variance)


def _filled(effect: Effect, values: Floats, spread: float, rows: Ints) -> Effect:
    padded = np.zeros(values.size)
    padded[: rows.size] = rows
    errors = spread / np.sqrt(padded + SHRINKAGE)
    if isinstance(effect, NumberEffect):
        return NumberEffect(effect.edges, values, errors)
    return CategoryEffect(effect.names, values, errors)


def _difference(
    effect: Effect, counts: ColumnCounts | None, profile: Profile | None
) -> Floats | None:
    """Shares of the window less those of the reference, per bin; None where either has no rows."""
    expected = _reference_shares(effect, profile)
    actual = _window_rows(effect, counts, profile)
    if expected is None or actual is None or not actual.sum():
        return None
    return np.asarray(actual / actual.sum() - expected, np.float64)


def _reference_shares(effect: Effect, profile: Profile | None) -> Floats | None:
    rows: Ints
    match effect, profile:
        case NumberEffect(), NumberProfile():
            missing = profile.missing + profile.invalid
            rows = effect.rows(profile, reference_upto(profile), missing)
        case CategoryEffect(), CategoryProfile():
            missing = profile.missing + profile.invalid
            rows = effect.rows(profile, profile.counts, profile.other, missing)
        case _:
            return None
    return np.asarray(rows / rows.sum(), np.float64) if rows.sum() else None


def _window_rows(
    effect: Effect, counts: ColumnCounts | None, profile: Profile | None
) -> Ints | None:
    match effect, counts, profile:
        case NumberEffect(), NumberCounts(), NumberProfile():
            return effect.rows(profile, counts.upto(), counts.missing + counts.invalid)
        case CategoryEffect(), CategoryCounts(), CategoryProfile():
            missing = counts.missing + counts.invalid
            return effect.rows(profile, counts.known, counts.other, missing)
        case _:
            return None


def reference_upto(profile: NumberProfile) -> Ints:
    """Rows of a reference up to each cell of its own grid, shape ``(2K + 1,)``."""
    upto = np.zeros(2 * profile.points.size + 1, np.int64)
    upto[1::2] = np.cumsum(profile.counts)
    upto[2::2] = upto[1::2]
    return upto
