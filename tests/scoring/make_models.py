"""Makes the models that the tests serve: ``python -m tests.scoring.make_models FOLDER [URI]``.

A process of its own, because importing mlflow costs seconds and warns. With the URI of a tracking
server, the same models are also registered there, under names that begin with ``scoring-``.
"""

# ruff: noqa: ANN401 - models are fed whatever scikit-learn and mlflow feed them

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ParamSchema, ParamSpec
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

COLUMNS = list("abcd")
#: Without it mlflow loads every model in a process of its own, to see what it imports.
NO_INFERENCE: dict[str, Any] = {"pip_requirements": ["scikit-learn"]}


class Slow(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # sklearn has no types
    """Takes its time."""

    def fit(self, features: Any, _labels: Any) -> Slow:
        self.n_features_in_ = np.shape(features)[1]
        return self

    def predict(self, features: Any) -> Any:
        time.sleep(0.5)
        return np.zeros(len(features))


class Scale(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined] # mlflow has no types
    """Multiplies by a parameter, and needs mlflow to be loaded."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        return model_input["a"] * params["factor"]


def sklearn_models() -> dict[str, dict[str, Any]]:
    """Return the arguments of mlflow.sklearn.save_model by name."""
    random = np.random.default_rng(7)
    frame = pd.DataFrame(random.normal(size=(200, 4)), columns=COLUMNS)
    labels = (frame["a"] + frame["b"] > 0).astype(int)
    signature = infer_signature(frame, labels.to_numpy())
    plain = LogisticRegression().fit(frame.to_numpy(), labels)
    inverted = LogisticRegression().fit(frame.to_numpy(), 1 - labels)
    tensors = infer_signature(frame.to_numpy(), plain.predict_proba(frame.to_numpy()))
    broken = LinearRegression().fit(frame.to_numpy(), labels)
    broken.intercept_ = float("nan")
    framed = LogisticRegression().fit(frame, labels)
    example = {"signature": signature, "input_example": frame.head(2)}
    return {
        "plain": {"sk_model": plain, **example},
        "inverted": {"sk_model": inverted, **example},
        "framed": {"sk_model": framed, **example},
        "tensor": {
            "sk_model": plain,
            "signature": tensors,
            "pyfunc_predict_fn": "predict_proba",
            "serialization_format": "pickle",
        },
        "unsigned": {"sk_model": framed},
        "nan": {"sk_model": broken, "signature": signature},
        "slow": {
            "sk_model": Slow().fit(frame.to_numpy(), labels),
            "signature": signature,
            "serialization_format": "cloudpickle",
        },
        "mixed": mixed_model(random),
    }


def mixed_model(random: np.random.Generator) -> dict[str, Any]:
    """Return a pipeline over columns of four types."""
    frame = pd.DataFrame(
        {
            "age": random.integers(18, 90, 200),
            "income": random.normal(size=200),
            "city": random.choice(["Oslo", "Rome"], 200),
            "member": random.choice([True, False], 200),
        }
    )
    encoder = ColumnTransformer(
        [("city", OneHotEncoder(handle_unknown="ignore"), ["city"])], remainder="passthrough"
    )
    model = make_pipeline(encoder, LogisticRegression())
    model.fit(frame, (frame["city"] == "Rome").astype(int))
    return {
        "sk_model": model,
        "signature": infer_signature(frame, np.array([1])),
        "serialization_format": "cloudpickle",
    }


def save(folder: Path) -> None:
    """Write every model to a folder of its own."""
    for name, arguments in sklearn_models().items():
        mlflow.sklearn.save_model(path=str(folder / name), **NO_INFERENCE, **arguments)
    columns = infer_signature(pd.DataFrame({"a": [1.0]}), pd.Series([1.0]))
    params = ParamSchema([ParamSpec("factor", "double", 2.0)])
    mlflow.pyfunc.save_model(
        path=str(folder / "scale"),
        python_model=Scale(),
        **NO_INFERENCE,
        signature=ModelSignature(columns.inputs, columns.outputs, params),
    )


def register(uri: str) -> None:
    """Register some of the models, two versions of one of them."""
    mlflow.set_tracking_uri(uri)
    models = sklearn_models()
    versions = [("plain", "plain"), ("plain", "inverted"), ("plain", "plain"), ("plain", "plain")]
    versions.append(("tensor", "tensor"))
    for registered, name in versions:
        with mlflow.start_run():
            mlflow.sklearn.log_model(
                name="model",
                registered_model_name=f"scoring-{registered}",
                **NO_INFERENCE,
                **models[name],
            )


if __name__ == "__main__":
    if len(sys.argv) > 2:
        register(sys.argv[2])
    else:
        save(Path(sys.argv[1]))
