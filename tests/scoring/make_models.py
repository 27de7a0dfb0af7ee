"""Makes the models that the tests serve: ``python -m tests.scoring.make_models FOLDER [URI]``.

A process of its own, because importing mlflow costs seconds and warns. With the URI of a tracking
server, the same models are also registered there, under names that begin with ``scoring-``.
"""

# ruff: noqa: ANN401, PLC0415 - models are fed anything; pytest imports this file, and mlflow warns

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

COLUMNS = list("abcd")
#: Without it mlflow loads every model in a process of its own, to see what it imports.
NO_INFERENCE: dict[str, Any] = {"pip_requirements": ["scikit-learn"]}


def slow_model() -> Any:
    """Return a model that takes its time."""
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Slow(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # sklearn has no types
        n_features_in_ = len(COLUMNS)

        def fit(self, _features: Any, _labels: Any) -> Any:
            return self

        def predict(self, features: Any) -> Any:
            time.sleep(0.5)
            return np.zeros(len(features))

    return Slow()


def scale_model() -> Any:
    """Return a model that multiplies by a parameter, and needs mlflow to be loaded."""
    import mlflow

    class Scale(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined] # no types
        # A type hint would become a signature.
        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
            return model_input["a"] * params["factor"]

    return Scale()


def sklearn_models() -> dict[str, dict[str, Any]]:
    """Return the arguments of mlflow.sklearn.save_model by name."""
    import pandas as pd
    from mlflow.models import infer_signature
    from sklearn.linear_model import LinearRegression, LogisticRegression

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
            "sk_model": slow_model(),
            "signature": signature,
            "serialization_format": "cloudpickle",
        },
        "mixed": mixed_model(random),
    }


def mixed_model(random: np.random.Generator) -> dict[str, Any]:
    """Return a pipeline over columns of four types."""
    import pandas as pd
    from mlflow.models import infer_signature
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

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
    import mlflow
    import pandas as pd
    from mlflow.models import ModelSignature, infer_signature
    from mlflow.types import ParamSchema, ParamSpec

    for name, arguments in sklearn_models().items():
        mlflow.sklearn.save_model(path=str(folder / name), **NO_INFERENCE, **arguments)
    columns = infer_signature(pd.DataFrame({"a": [1.0]}), pd.Series([1.0]))
    params = ParamSchema([ParamSpec("factor", "double", 2.0)])
    mlflow.pyfunc.save_model(
        path=str(folder / "scale"),
        python_model=scale_model(),
        **NO_INFERENCE,
        signature=ModelSignature(columns.inputs, columns.outputs, params),
    )


def register(uri: str) -> None:
    """Register some of the models, two versions of one of them."""
    import mlflow

    mlflow.set_tracking_uri(uri)
    models = sklearn_models()
    versions = [("plain", "plain"), ("plain", "inverted"), ("plain", "plain"), ("plain", "plain")]
    versions += [("tensor", "tensor"), ("slow", "slow")]
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
