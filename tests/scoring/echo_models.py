"""Makes models that answer with what they were given.

``python -m tests.scoring.echo_models FOLDER`` makes them. What two servers make of a request is
equal only if a model cannot tell them apart. A process of its own, because importing mlflow costs
seconds and warns.
"""

# ruff: noqa: ANN401, PLC0415 - models are fed anything; pytest imports this file, and mlflow warns

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

NO_INFERENCE: dict[str, Any] = {"pip_requirements": ["scikit-learn"]}
TYPES = ("integer", "long", "float", "double", "boolean", "string", "datetime", "binary")


def described() -> Any:
    """Return a function that describes any input of a model in JSON: types, labels, values."""

    # Within a function, so that it is stored with the model and not by the name of this module.
    def describe(value: Any) -> Any:
        import numpy as np
        import pandas as pd

        if isinstance(value, pd.DataFrame):
            columns = [[str(value.dtypes.iloc[i]), describe(value.iloc[:, i].tolist())]
                       for i in range(value.shape[1])]  # fmt: skip
            return ["frame", repr(list(value.columns)), repr(list(value.index)), columns]
        if isinstance(value, np.ndarray):
            return ["array", str(value.dtype), list(value.shape), repr(value.tolist())]
        if isinstance(value, dict):
            return ["object", [[str(key), describe(item)] for key, item in value.items()]]
        if isinstance(value, list):
            return ["list", [describe(item) for item in value]]
        return [type(value).__name__, repr(value)]

    return describe


def echoing_estimator() -> Any:
    """Return an estimator of scikit-learn's kind."""
    from sklearn.base import BaseEstimator

    describe = described()

    class Echo(BaseEstimator):  # type: ignore[misc] # sklearn has no types
        def fit(self, _features: Any, _labels: Any) -> Any:
            return self

        def predict(self, features: Any) -> Any:
            return describe(features)

    return Echo()


def echoing_python_model() -> Any:
    """Return a Python model, which mlflow asks."""
    import mlflow

    describe = described()

    class Echo(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined] # no types
        # A type hint would become a signature.
        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
            return [describe(model_input), repr(params)]

    return Echo()


def hinted_python_model() -> Any:
    """Return a Python model whose signature is its type hints."""
    import mlflow
    import pydantic

    class Message(pydantic.BaseModel):
        role: str
        length: int | None = None

    class Hinted(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined] # no types
        def predict(self, model_input, params=None):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
            return [repr(item) for item in model_input]

    Hinted.predict.__annotations__["model_input"] = list[Message]
    return Hinted()


def save(folder: Path) -> None:
    """Write every model to a folder of its own."""
    import mlflow
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
    from mlflow.types.schema import Array, Map, Object, Property

    columns: list[Any] = [ColSpec(kind, kind, required=kind != "string") for kind in TYPES]
    tensors: list[Any] = [
        TensorSpec(np.dtype("float64"), (-1, 2), "pair"),
        TensorSpec(np.dtype("int32"), (-1,), "count"),
    ]
    estimators: dict[str, Any] = {
        "columns": ModelSignature(Schema(columns)),
        "unnamed": ModelSignature(Schema([ColSpec("double"), ColSpec("string")])),
        "tensors": ModelSignature(Schema(tensors)),
        "open": False,
    }
    for name, signature in estimators.items():
        mlflow.sklearn.save_model(
            echoing_estimator(),
            str(folder / name),
            signature=signature,
            serialization_format="cloudpickle",
            **NO_INFERENCE,
        )
    nested: list[Any] = [
        ColSpec(Array(DataType.double), "list"),
        ColSpec(Object([Property("x", DataType.long)]), "object", required=False),
        ColSpec(Map(DataType.string), "map", required=False),
    ]
    params = ParamSchema(
        [ParamSpec("factor", "double", 2.0), ParamSpec("tags", "string", ["a"], (-1,))]
    )
    mlflow.pyfunc.save_model(
        str(folder / "nested"),
        python_model=echoing_python_model(),
        signature=ModelSignature(Schema(nested), None, params),
        **NO_INFERENCE,
    )
    mlflow.pyfunc.save_model(
        str(folder / "hinted"), python_model=hinted_python_model(), **NO_INFERENCE
    )


if __name__ == "__main__":
    save(Path(sys.argv[1]))
