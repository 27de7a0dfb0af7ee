"""Streams of rows with known drift, and quiet ones that look like it to tools that assume much.

Every stream is a reference and what came right after it, made of one seed. Columns are made of
standard normal numbers (the "latents"), one a column and row, that a family lets depend on one
another or move; so every family treats numbers, counts, missing values and categories alike.

Quiet families, in which nothing changes: `QUIET`. Drifting ones, in three sizes: `DRIFTS`; what a
size means stands beside each in `SIZES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.random import Generator

from collectors.batch import CategoryColumn, Column, Floats, Ints, NumberColumn

Size: TypeAlias = Literal["small", "medium", "large"]

REFERENCE_ROWS = 20_000
#: Rows of a daily cycle: a reference has four, and a window is a small part of one.
CYCLE_ROWS = 5_000
#: Weight of a row's predecessor in autocorrelated streams.
AUTOCORRELATION = 0.9
#: Mean rows of a session, and the share of the variance that is the user's.
SESSION_ROWS, USER_SHARE = 20, 0.9
SMALL_REFERENCE_ROWS = 500
#: Rows of a window in the family of tiny effects.
HUGE_ROWS = 100_000
#: Windows over which gradual and incremental drifts come, and that recurring ones last.
TRANSITION_WINDOWS, RECURRING_WINDOWS = 5, 4

#: Columns, and the latents behind them; the prediction follows the score.
NAMES = ("score", "amount", "age", "clicks", "income", "answered", "plan", "country", "prediction")
PLANS = ("free", "basic", "gold", "staff")
PLAN_SHARES = np.array([0.5, 0.3, 0.15, 0.05])
COUNTRIES = 20
MISSING_SHARE = 0.05

#: What the sizes mean, by family; sd are those of the column without drift.
SIZES: dict[str, dict[Size, float]] = {
    "abrupt": {"small": 0.2, "medium": 0.5, "large": 1.0},  # shift of the mean, sd
    "gradual": {"small": 0.2, "medium": 0.5, "large": 1.0},  # the same, in ever more rows
    "incremental": {"small": 0.2, "medium": 0.5, "large": 1.0},  # the same, ever farther
    "recurring": {"small": 0.2, "medium": 0.5, "large": 1.0},  # the same, on and off
    "variance only": {"small": 1.15, "medium": 1.4, "large": 2.0},  # factor of the sd
    "correlation only": {"small": 0.3, "medium": 0.6, "large": 0.9},  # correlation, from 0
    "category frequencies": {"small": 0.05, "medium": 0.1, "large": 0.2},  # rows of other values
    "new category": {"small": 0.01, "medium": 0.05, "large": 0.2},  # rows of it
    "missing rate": {"small": 0.03, "medium": 0.1, "large": 0.3},  # more rows without a value
    "unit change": {"small": 0.02, "medium": 0.1, "large": 1.0},  # rows in a unit 100 times finer
    "tiny effect, huge windows": {"small": 0.02, "medium": 0.05, "large": 0.1},  # sd
    "heavy tails": {
        "small": 0.2,
        "medium": 0.5,
        "large": 1.0,
    },  # shift, interquartile ranges / 1.35
}


@dataclass(frozen=True, slots=True)
class Stream:
    """A reference, and the rows that follow it.

    Parameters
    ----------
    family
        Key of :data:`QUIET` or :data:`DRIFTS`.
    size
        None of quiet streams.
    reference, rows
        Columns by name.
    window
        Rows of a window; `rows` are a whole number of windows.
    begins
        Row of `rows` from which on it drifts, at the beginning of a window; None of quiet streams.
    drifted
        Columns whose distribution changes, or for a change of correlation those that take part.
    """

    family: str
    size: Size | None
    reference: Mapping[str, Column]
    rows: Mapping[str, Column]
    window: int
    begins: int | None = None
    drifted: tuple[str, ...] = ()


def quiet(
    family: str, seed: int, *, window: int = 500, windows: int = 20, reference: int = REFERENCE_ROWS
) -> Stream:
    """Make a quiet stream; a family that fixes the reference's length disregards `reference`."""
    random = np.random.default_rng([seed, window])
    if family == "small reference":
        reference = SMALL_REFERENCE_ROWS
    columns = QUIET[family](random, reference + windows * window)
    before, after = _split(columns, reference)
    return Stream(family, None, before, after, window)


def drifting(
    family: str,
    size: Size,
    seed: int,
    *,
    window: int = 500,
    windows: int = 20,
    reference: int = REFERENCE_ROWS,
) -> Stream:
    """Make a stream of independent rows that drifts from its middle window on.

    Windows of the family of tiny effects have :data:`HUGE_ROWS` rows, whatever `window` says.
    """
    window = HUGE_ROWS if family.startswith("tiny") else window
    random = np.random.default_rng([seed, window])
    begins = windows // 2 * window
    latents = _latents(random, reference + windows * window)
    after = np.arange(windows * window) - begins
    drift = _Drift(random, SIZES[family][size], window, after, slice(reference, None))
    changed, drifted = DRIFTS[family](drift, latents)
    before, rows = _split(changed, reference)
    return Stream(family, size, before, rows, window, begins, drifted)


def _split(columns: Mapping[str, Column], rows: int) -> tuple[dict[str, Column], dict[str, Column]]:
    before = {name: column.take(slice(0, rows)) for name, column in columns.items()}
    return before, {name: column.take(slice(rows, None)) for name, column in columns.items()}


def _latents(random: Generator, rows: int) -> Floats:
    return random.standard_normal((rows, len(NAMES)))


def _columns(latents: Floats) -> dict[str, Column]:
    """Make the columns of standard normal latents, shape ``(rows, len(NAMES))``."""
    score, amount, age, clicks, income, answered, plan, country, prediction = latents.T
    return {
        "score": NumberColumn(score.copy()),
        "amount": NumberColumn(np.exp(3 + amount).round(2)),
        "age": NumberColumn((40 + 12 * age).round()),
        "clicks": NumberColumn(_cut(clicks, np.array([0.6, 0.25, 0.1, 0.04, 0.01])).astype(float)),
        "income": NumberColumn(
            np.where(_cut(answered, np.array([MISSING_SHARE, 1.0])), np.exp(10 + income), np.nan)
        ),
        "plan": _named(_cut(plan, PLAN_SHARES), PLANS),
        "country": _named(_cut(country, 1 / np.arange(1, COUNTRIES + 1)), _countries(COUNTRIES)),
        "prediction": NumberColumn(0.6 * score + 0.8 * prediction),
    }


def _cut(latent: Floats, shares: Floats) -> Ints:
    """Cut a standard normal latent into classes of about these shares, which need not add to 1."""
    from scipy.special import ndtri  # noqa: PLC0415 - only here

    upto = np.cumsum(shares / shares.sum())[:-1]
    return np.asarray(ndtri(upto).searchsorted(latent), np.int64)


def _named(codes: Ints, names: tuple[str, ...]) -> CategoryColumn:
    return CategoryColumn(np.array(names, dtype=object)[codes].tolist())


def _countries(number: int) -> tuple[str, ...]:
    return tuple(f"c{one:04}" for one in range(number))


def _season(random: Generator, rows: int) -> dict[str, Column]:
    """Let each latent swing by one sd of its noise, at a phase of its own."""
    phases = random.uniform(0, 2 * np.pi, len(NAMES))
    swing = np.sin(2 * np.pi * np.arange(rows)[:, None] / CYCLE_ROWS + phases)
    return _columns((_latents(random, rows) + swing) / np.sqrt(1.5))


def _autocorrelated(random: Generator, rows: int) -> dict[str, Column]:
    from scipy.signal import lfilter  # noqa: PLC0415 - only here

    warm_up = 200
    noise = _latents(random, rows + warm_up) * np.sqrt(1 - AUTOCORRELATION**2)
    series = np.asarray(lfilter([1.0], [1.0, -AUTOCORRELATION], noise, axis=0), np.float64)
    return _columns(series[warm_up:])


def _sessions(random: Generator, rows: int) -> dict[str, Column]:
    users = np.cumsum(random.random(rows) < 1 / SESSION_ROWS)
    user = _latents(random, rows)[users]
    own = np.sqrt(1 - USER_SHARE) * _latents(random, rows)
    return _columns(np.sqrt(USER_SHARE) * user + own)


def _few_valued(random: Generator, rows: int) -> dict[str, Column]:
    """Two to five values a column, some of them in one row of a thousand."""
    latents = _latents(random, rows)
    columns: dict[str, Column] = {}
    for number, name in enumerate(NAMES):
        shares = np.array([1.0, 0.5, 0.1, 0.02, 0.001][: 2 + number % 4])
        codes = _cut(latents[:, number], shares)
        named = name in ("plan", "country")
        columns[name] = _named(codes, _countries(5)) if named else NumberColumn(codes.astype(float))
    return columns


def _heavy_tails(random: Generator, rows: int) -> dict[str, Column]:
    """Numbers without a mean, and a category of thousands of values."""
    columns = _columns(_latents(random, rows))
    names = random.zipf(1.3, rows)
    columns["score"] = NumberColumn(random.standard_t(1.5, rows))
    columns["amount"] = NumberColumn(random.pareto(0.8, rows))
    columns["income"] = NumberColumn(np.exp(4 * random.standard_normal(rows)))
    columns["prediction"] = NumberColumn(random.standard_cauchy(rows))
    columns["country"] = CategoryColumn([f"c{name}" for name in names.tolist()])
    return columns


#: Nothing changes in these.
QUIET: dict[str, Callable[[Generator, int], dict[str, Column]]] = {
    "independent normal": lambda random, rows: _columns(_latents(random, rows)),
    "seasonality": _season,
    "autocorrelated rows": _autocorrelated,
    "sessions": _sessions,
    "few-valued columns": _few_valued,
    "small reference": lambda random, rows: _columns(_latents(random, rows)),
    "heavy tails": _heavy_tails,
}


@dataclass(frozen=True, slots=True)
class _Drift:
    """What a family needs to let the latents drift.

    Parameters
    ----------
    size
        In the unit that :data:`SIZES` states.
    after
        Rows since the drift began, of each row behind the reference; negative before.
    rows
        Where in the latents those rows are.
    """

    random: Generator
    size: float
    window: int
    after: Ints
    rows: slice

    def chosen(self, share: float | Floats) -> np.typing.NDArray[np.bool_]:
        """Choose this share of the drifting rows at random."""
        return (self.after >= 0) & (self.random.random(self.after.size) < share)

    @property
    def progress(self) -> Floats:
        """From 0 at the beginning to 1 after :data:`TRANSITION_WINDOWS`."""
        return np.clip(self.after / (TRANSITION_WINDOWS * self.window), 0.0, 1.0)


_Drifted: TypeAlias = tuple[dict[str, Column], tuple[str, ...]]
_SCORE, _INCOME, _PLAN = NAMES.index("score"), NAMES.index("income"), NAMES.index("plan")
_FOLLOWING = ("score", "prediction")


def _shifted(drift: _Drift, latents: Floats, share: float | Floats) -> _Drifted:
    latents[drift.rows, _SCORE] += drift.size * drift.chosen(share)
    return _columns(latents), _FOLLOWING


def _incremental(drift: _Drift, latents: Floats) -> _Drifted:
    latents[drift.rows, _SCORE] += drift.size * drift.progress
    return _columns(latents), _FOLLOWING


def _recurring(drift: _Drift, latents: Floats) -> _Drifted:
    on = drift.after // (RECURRING_WINDOWS * drift.window) % 2 == 0
    return _shifted(drift, latents, on.astype(float))


def _variance(drift: _Drift, latents: Floats) -> _Drifted:
    latents[drift.rows, _SCORE] *= np.where(drift.after >= 0, drift.size, 1.0)
    return _columns(latents), _FOLLOWING


def _correlation(drift: _Drift, latents: Floats) -> _Drifted:
    rows = latents[drift.rows]
    mixed = drift.size * rows[:, _SCORE] + np.sqrt(1 - drift.size**2) * rows[:, _INCOME]
    rows[:, _INCOME] = np.where(drift.after >= 0, mixed, rows[:, _INCOME])
    return _columns(latents), ("score", "income")


def _frequencies(drift: _Drift, latents: Floats) -> _Drifted:
    """Let the most frequent plan's customers take the rarest one."""
    rows = latents[drift.rows, _PLAN]
    free = _cut(rows, PLAN_SHARES) == 0
    moved = free & drift.chosen(drift.size / PLAN_SHARES[0])
    rows[moved] = np.inf
    return _columns(latents), ("plan",)


def _new_category(drift: _Drift, latents: Floats) -> _Drifted:
    columns = _columns(latents)
    new = np.zeros(len(latents), bool)
    new[drift.rows] = drift.chosen(drift.size)
    codes = np.where(new, len(PLANS), _cut(latents[:, _PLAN], PLAN_SHARES))
    columns["plan"] = _named(codes, (*PLANS, "trial"))
    return columns, ("plan",)


def _missing(drift: _Drift, latents: Floats) -> _Drifted:
    rows = latents[drift.rows, NAMES.index("answered")]
    rows[drift.chosen(drift.size / (1 - MISSING_SHARE))] = -np.inf
    return _columns(latents), ("income",)


def _unit(drift: _Drift, latents: Floats) -> _Drifted:
    latents[drift.rows, NAMES.index("amount")] += np.log(100) * drift.chosen(drift.size)
    return _columns(latents), ("amount",)


def _heavy_shift(drift: _Drift, latents: Floats) -> _Drifted:
    columns = _heavy_tails(drift.random, len(latents))
    values = drift.random.standard_t(1.5, len(latents))
    low, high = np.quantile(values[: drift.rows.start], [0.25, 0.75])
    values[drift.rows] += (high - low) / 1.35 * drift.size * (drift.after >= 0)
    columns["score"] = NumberColumn(values)
    return columns, ("score",)


#: These drift, from independent rows.
DRIFTS: dict[str, Callable[[_Drift, Floats], _Drifted]] = {
    "abrupt": lambda drift, latents: _shifted(drift, latents, 1.0),
    "gradual": lambda drift, latents: _shifted(drift, latents, drift.progress),
    "incremental": _incremental,
    "recurring": _recurring,
    "variance only": _variance,
    "correlation only": _correlation,
    "category frequencies": _frequencies,
    "new category": _new_category,
    "missing rate": _missing,
    "unit change": _unit,
    "tiny effect, huge windows": lambda drift, latents: _shifted(drift, latents, 1.0),
    "heavy tails": _heavy_shift,
}
