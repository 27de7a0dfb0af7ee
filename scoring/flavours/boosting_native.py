"""LightGBM and XGBoost models loaded without mlflow, and asked as mlflow asks them."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from scoring.flavours.model_error import ModelLoadError
from scoring.flavours.sklearn_native import Estimator, read_estimator, trial_rows
from scoring.protocol.predictions import plain_predictions
from scoring.protocol.signature import Signature

#: What a flavour that names no class holds.
_BOOSTERS: Final = {"lightgbm": "lightgbm.basic.Booster", "xgboost": "xgboost.core.Booster"}


def load(path: Path, library: str, flavour: Mapping[str, Any], signature: Signature) -> Estimator:
    """Load a model of one of the two libraries from its file.

    Raises
    ------
    ModelLoadError
        The class is not one of the library's; the loaders raise what they like besides.
    """
    stated = str(flavour.get("model_class") or _BOOSTERS[library])
    if not stated.startswith(f"{library}."):
        raise ModelLoadError(f"{path} is of {stated}, which is no class of {library}")
    booster = stated == _BOOSTERS[library]
    if library == "lightgbm":
        import lightgbm  # noqa: PLC0415 - only where such a model is served

        model: Any = lightgbm.Booster(model_file=path) if booster else read_estimator(path, flavour)
        predict: Callable[[Any], Any] = model.predict
    else:
        model = _class(stated)()
        model.load_model(path)
        predict = _of_matrices(model) if booster else model.predict
    return Estimator(predict, _takes_arrays(predict, signature), by_row=True)


def _class(stated: str) -> Any:  # noqa: ANN401 - a class
    module, _, name = stated.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _of_matrices(booster: Any) -> Callable[[Any], Any]:  # noqa: ANN401 - an untyped library's
    import xgboost  # noqa: PLC0415 - only where such a model is served

    names = booster.feature_names

    def predict(rows: Any) -> Any:  # noqa: ANN401 - an array or a frame
        # A frame has names, which are compared; an array is given those of the training.
        own = None if hasattr(rows, "columns") else names
        return booster.predict(xgboost.DMatrix(rows, feature_names=own))

    return predict


def _takes_arrays(predict: Callable[[Any], Any], signature: Signature) -> bool:
    """Tell from a trial whether the model answers to arrays what it answers to frames."""
    names = [getattr(spec, "name", None) for spec in signature.inputs]
    doubles = all(getattr(spec, "type", None) == "double" for spec in signature.inputs)
    if not names or None in names or not doubles:
        return False
    import pandas as pd  # noqa: PLC0415 - both libraries have brought it in

    rows = trial_rows(len(names))
    try:
        with warnings.catch_warnings():
            # A model that warns at arrays would do so with every request.
            warnings.simplefilter("error")
            found = plain_predictions(predict(rows))
        return found == plain_predictions(predict(pd.DataFrame(rows, columns=pd.Index(names))))
    except Exception:  # noqa: BLE001 - the model's own code: whatever it is, it gets frames
        return False
