"""Traffic of a model with two versions: what can happen to its world, and to a version.

Both versions are nonlinear in columns that depend on one another, and alike but not the same. What
happens is a :class:`How`, and when is a :class:`Scenario`; the kinds stand in `WORLDS`,
`REGRESSIONS` and `BEYOND`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
from numpy.random import Generator

from collectors.batch import CategoryColumn, Column, Floats, NumberColumn, PredictionBatch
from detectors.reference.reference import Reference, ReferenceBuilder

MODEL, OLD, NEW = "m", "1", "2"
REFERENCE_ROWS = 20_000
LENGTH_S = 300.0
#: Windows of version 1 before version 2 comes, of version 2 before a world that drifts late, and
#: altogether.
ALONE, SETTLED, WINDOWS = 4, 8, 15
#: What the versions take for a missing number.
DEFAULT = -2.0
PLANS = np.array(["free", "basic", "gold"])
PLAN_SHARES = np.array([0.5, 0.3, 0.2])
COLUMNS = ("amount", "age", "income", "clicks", "ratio", "shard", "plan")


@dataclass(frozen=True, slots=True)
class How:
    """What is done to the rows of a window; everything as it always was by default.

    Parameters
    ----------
    together, shift, gold, correlation, cents, missing
        Of the inputs: plans that go with the amounts, each as frequent as before; amount and age
        moved, so many standard deviations; rows that turn gold; a
        correlation of income and clicks; amount in cents; share of rows without an amount.
    bias, factor, blind, noise, mixed
        Of the version's answers: added, multiplied; a column it does not see any more; noise; plans
        taken for one another.
    irrelevant
        Power of the column that no version depends on, above 1.
    slow, failing
        Latency, times; share of requests that fail.
    """

    together: bool = False
    shift: float = 0.0
    gold: float = 0.0
    correlation: float = 0.5
    cents: bool = False
    missing: float = 0.0
    bias: float = 0.0
    factor: float = 1.0
    blind: str = ""
    noise: float = 0.0
    mixed: bool = False
    irrelevant: float = 0.0
    slow: float = 1.0
    failing: float = 0.002


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens when; windows count from 0.

    Parameters
    ----------
    begins
        First window of it.
    ramp
        Windows over which it comes.
    only_new
        Whether it happens to version 2 alone.
    canary
        Whether version 1 goes on answering half of the requests.
    """

    how: How
    begins: int = SETTLED
    ramp: int = 0
    only_new: bool = False
    canary: bool = False

    def at(self, window: int, version: str) -> How:
        """Return what is done to a window of a version."""
        if window < self.begins or (self.only_new and version != NEW):
            return How()
        if not self.ramp:
            return self.how
        share = min(1.0, (window - self.begins + 1) / self.ramp)
        return replace(How(), shift=self.how.shift * share, gold=self.how.gold * share)


#: Something else than the version: a rollback is wrong.
WORLDS: Mapping[str, Scenario] = {
    "inputs shift": Scenario(How(shift=0.8)),
    "inputs shift slowly": Scenario(How(shift=1.0), ramp=6),
    "inputs shift under both versions": Scenario(How(shift=0.8), canary=True),
    "inputs shift as the version comes": Scenario(How(shift=0.8), begins=ALONE),
    "other customers": Scenario(How(gold=0.7)),
    "other customers as the version comes": Scenario(How(gold=0.7), begins=ALONE),
    "a correlation changes": Scenario(How(correlation=-0.8)),
    "a column in cents": Scenario(How(cents=True)),
    "a column goes missing": Scenario(How(missing=0.8), begins=ALONE),
    "all are slow and fail": Scenario(How(slow=8.0, failing=0.15), begins=ALONE, canary=True),
}
_since = partial(Scenario, begins=ALONE, only_new=True)
#: The version itself, from its deployment on: a rollback is right.
REGRESSIONS: Mapping[str, Scenario] = {
    "answers too high": _since(How(bias=0.8)),
    "answers too high, canary": _since(How(bias=0.8), canary=True),
    "answers scaled": _since(How(factor=2.0)),
    "blind to a column": _since(How(blind="amount")),
    "noise in the answers": _since(How(noise=2.5)),
    "plans mixed up": _since(How(mixed=True, bias=0.3)),
    "too high, an irrelevant column drifts": _since(How(bias=0.8, irrelevant=1.0)),
    "slow": _since(How(slow=8.0)),
    "slow, canary": _since(How(slow=8.0), canary=True),
    "fails": _since(How(failing=0.15)),
}
#: What cannot be told: a rollback would be right in the first two, and is wrong in the third.
BEYOND: Mapping[str, Scenario] = {
    "answers too high, late": Scenario(How(bias=0.8), only_new=True),
    "answers too high, late, canary": Scenario(How(bias=0.8), only_new=True, canary=True),
    "plans go with amounts as the version comes": Scenario(How(together=True), begins=ALONE),
}


def inputs(random: Generator, rows: int, how: How) -> dict[str, Floats]:
    """Draw the numbers of a window; the plan stands for itself as 0, 1 or 2."""
    common, *own = random.normal(0, 1, (6, rows))
    amount = 0.6 * common + 0.8 * own[0] + how.shift
    age = 0.4 * common + 0.9 * own[1] + how.shift
    income = own[2]
    clicks = how.correlation * income + np.sqrt(1 - how.correlation**2) * own[3]
    gone = random.random(rows) < how.missing
    plan = random.choice(3, rows, p=PLAN_SHARES).astype(np.float64)
    if how.together:
        plan = np.sort(plan)[amount.argsort().argsort()]
    plan[random.random(rows) < how.gold] = 2.0
    return {
        "amount": np.where(gone, np.nan, amount * (100.0 if how.cents else 1.0)),
        "age": age,
        "income": income,
        "clicks": clicks,
        "ratio": np.exp(0.5 * own[4]),
        "shard": random.random(rows) ** (1 + how.irrelevant),
        "plan": plan,
    }


def answers(random: Generator, weights: Floats, columns: Mapping[str, Floats], how: How) -> Floats:
    """Return what a version answers: nonlinear, with an interaction and steps."""
    seen = {name: np.nan_to_num(column, nan=DEFAULT) for name, column in columns.items()}
    if how.blind:
        seen[how.blind] = np.zeros_like(seen[how.blind])
    plan = seen["plan"]
    plan = (plan + 1) % 3 if how.mixed else plan
    score = (
        weights[0] * seen["amount"]
        + weights[1] * np.tanh(seen["age"])
        + weights[2] * seen["income"] * seen["clicks"]
        + weights[3] * np.log1p(seen["ratio"])
        + weights[4] * plan
    )
    noise = how.noise * random.normal(0, 1, score.size) if how.noise else 0.0
    said: Floats = how.factor * score + how.bias + noise
    return said


def columns_of(numbers: Mapping[str, Floats], prediction: Floats) -> dict[str, Column]:
    """Return them as a log brings them."""
    found: dict[str, Column] = {
        name: NumberColumn(values) for name, values in numbers.items() if name != "plan"
    }
    found["plan"] = CategoryColumn(PLANS[numbers["plan"].astype(np.intp)].tolist())
    found["prediction"] = NumberColumn(prediction)
    return found


@lru_cache(maxsize=2)
def versions_of(seed: int) -> Mapping[str, tuple[Floats, Reference]]:
    """Make both versions, alike but not the same, and a reference of each."""
    random = np.random.default_rng([seed, 0])
    weights = random.uniform(0.5, 1.0, 5)
    made = {}
    for version in (OLD, NEW):
        own = weights * random.uniform(0.95, 1.05, 5)
        numbers = inputs(random, REFERENCE_ROWS, How())
        builder = ReferenceBuilder()
        builder.add(columns_of(numbers, answers(random, own, numbers, How())))
        made[version] = own, builder.build(0.0, f"version {version}")
    return made


def numbers_of(batch: PredictionBatch) -> dict[str, Floats]:
    """Return the numbers of a window's rows, as `inputs` drew them."""
    found = {}
    for name in COLUMNS:
        column = batch.columns[name]
        if isinstance(column, NumberColumn):
            found[name] = column.values
        elif isinstance(column, CategoryColumn):
            found[name] = np.array([PLANS.tolist().index(value) for value in column.values], float)
    return found


def batch_of(  # noqa: PLR0917 - what a window is made of
    random: Generator, weights: Floats, how: How, version: str, begins: float, rows: int
) -> PredictionBatch:
    """Make the rows of a window."""
    numbers = inputs(random, rows, how)
    prediction = answers(random, weights, numbers, how)
    return PredictionBatch(
        model=MODEL,
        version=version,
        role="live",
        latency_kind="model",
        ts=np.sort(begins + random.random(rows) * LENGTH_S * 0.999),
        latency_ms=random.lognormal(3, 0.3, rows) * how.slow,
        status=np.where(random.random(rows) < how.failing, 500, 200),
        weight=np.ones(rows),
        columns=columns_of(numbers, prediction),
    )
