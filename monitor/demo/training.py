"""Training of the demo's two versions, and what the labels say of them."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.isotonic import IsotonicRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from monitor.demo.models import Version, is_wrong
from monitor.demo.rows import LABEL

#: A scikit-learn pipeline; the library has no types.
Model: TypeAlias = Any

SALARY_LEVELS: Final = ("0 - 20K", "20K - 40K", "40K - 60K", "60K+")


def train(version: Version, table: pd.DataFrame) -> Model:
    """Fit a version on labelled rows; under a second.

    A linear discriminant whose score an isotonic regression turns into a probability: a
    pipeline whose `predict` *is* the probability, so that what is served is one number a row.
    Like every linear model it trusts the scale of its inputs, which is what the story needs.
    """
    numbers = [column for column in version.columns if column != "salary_range"]
    model = make_pipeline(
        make_column_transformer(
            (OrdinalEncoder(categories=[list(SALARY_LEVELS)]), ["salary_range"]),
            (StandardScaler(), numbers),
        ),
        LinearDiscriminantAnalysis(n_components=1),
        IsotonicRegression(out_of_bounds="clip"),
    )
    return model.fit(table[list(version.columns)], table[LABEL])


def predict(
    version: Version,
    model: Model,
    table: pd.DataFrame,
) -> npt.NDArray[np.float64]:
    """Return the probability of repayment in [0, 1], shape ``(rows,)``."""
    return np.asarray(model.predict(table[list(version.columns)]), dtype=np.float64)


def error_ratio(probabilities: npt.NDArray[np.float64], table: pd.DataFrame) -> float:
    """Return the share of rows, in [0, 1], whose answer is not what came true; NaN of no rows."""
    wrong = [is_wrong(p, y) for p, y in zip(probabilities, table[LABEL], strict=True)]
    return sum(wrong) / len(wrong) if wrong else float("nan")
