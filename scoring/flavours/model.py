"""A model folder as MLflow writes it, loaded.

scikit-learn, LightGBM, XGBoost, ONNX and PyTorch are loaded natively, the rest through mlflow.

Loading a model runs code from its files: pickles do by nature, and the list of types that a
skops file may hold stands in the model's own MLmodel. Load models that you trust.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, TypeAlias

from scoring.flavours import boosting_native, onnx_native, sklearn_native, torch_native
from scoring.flavours.model_error import MLMODEL, ModelLoadError
from scoring.protocol.params import check_params
from scoring.protocol.plan import Plan, compile_plan
from scoring.protocol.rows import RowReader, row_reader
from scoring.protocol.signature import Signature, SignatureError, parse_signature
from scoring.protocol.table import Table

__all__ = ["Model", "ModelLoadError", "load_model"]

#: An MLmodel file is a few kilobytes; a longer one is not one.
MLMODEL_BYTES_MAX: Final = 4 * 1024 * 1024


#: What the server asks of a loaded model, whatever its flavour: predictions (an array, a frame,
#: a list) for a table and parameters.
Predictor: TypeAlias = Callable[[Table, Mapping[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded model.

    Parameters
    ----------
    plan
        Makes the model's table of the data of a request.
    predict
        Not safe for several threads at once: that is the model's own affair, and not every
        model takes care of it.
    example
        The body of a request that was stored with the model, JSON; None if there is none.
    mlflow_version
        The MLflow that wrote the model; empty if it did not say.
    reader
        Reads plain requests quickly; None where all of them go through the plan.
    by_row
        Whether the flavour answers to each row by itself, as far as is known without a trial.
    accidents
        Whether MLflow's accidents are repeated; see docs/scoring.md.
    inputs_only
        Whether of JSON only ``inputs`` is read, as MLflow does for a model of type hints.
    native
        Whether it is asked without mlflow, which would otherwise check the parameters.
    """

    signature: Signature
    plan: Plan
    predict: Predictor
    example: bytes | None = None
    mlflow_version: str = ""
    reader: RowReader | None = None
    by_row: bool = False
    accidents: bool = False
    inputs_only: bool = False
    native: bool = True

    @property
    def param_names(self) -> frozenset[str]:
        """Names of the parameters that the signature states."""
        return frozenset(spec.name for spec in self.signature.params or ())

    def params(self, params: object) -> Any:  # noqa: ANN401 - checked by mlflow unless native
        """Return the parameters of a request, checked by `scoring.protocol.params.check_params`."""
        return check_params(params, self.signature.params) if self.native else params


def load_model(folder: Path, *, accidents: bool = False) -> Model:
    """Load the model in a folder that has an MLmodel file.

    Raises
    ------
    ModelLoadError
        There is none, it is broken, its libraries are not installed, or its code raised.
    """
    mlmodel = _read_mlmodel(folder)
    try:
        signature = parse_signature(mlmodel)
        loaded = _load_flavour(folder, mlmodel, signature)
        plan = loaded.plan or compile_plan(signature, arrays=loaded.takes_arrays, wraps=accidents)
    except ModelLoadError:
        raise
    except SignatureError as error:
        raise ModelLoadError(f"{folder}: {error}") from error
    except Exception as error:  # a model's own code may raise anything at all
        raise ModelLoadError(
            f"cannot load the model in {folder}: {type(error).__name__}: {error}"
        ) from error
    return Model(
        signature,
        plan,
        loaded.predict,
        _example(folder, mlmodel),
        str(mlmodel.get("mlflow_version", "")),
        row_reader(signature, plan.frame_columns) if loaded.plan is None else None,
        loaded.by_row,
        accidents,
        inputs_only=_is_hinted(mlmodel),
        native=loaded.plan is None,
    )


def _read_mlmodel(folder: Path) -> Mapping[str, Any]:
    path = folder / MLMODEL
    try:
        with path.open("rb") as file:
            text = file.read(MLMODEL_BYTES_MAX + 1)
    except OSError as error:
        raise ModelLoadError(
            f"{folder} is no MLflow model: cannot read {MLMODEL}: {error.strerror}"
        ) from error
    if len(text) > MLMODEL_BYTES_MAX:
        raise ModelLoadError(f"{path} is longer than {MLMODEL_BYTES_MAX} bytes")
    try:
        import yaml  # noqa: PLC0415 - only the scoring extra installs it
    except ImportError as error:
        raise ModelLoadError("cannot read models: install kedge[scoring]") from error
    try:
        mlmodel = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ModelLoadError(f"{path} is not YAML: {error}") from error
    if not isinstance(mlmodel, dict) or not isinstance(mlmodel.get("flavors"), dict):
        raise ModelLoadError(f"{path} names no flavors: it was not written by MLflow")
    return mlmodel


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A model in memory: how to ask it, whether it takes arrays, whether it goes row by row.

    Parameters
    ----------
    plan
        Of a model that mlflow asks; None: that of its signature.
    """

    predict: Predictor
    takes_arrays: bool
    by_row: bool
    plan: Plan | None = None


def _load_flavour(folder: Path, mlmodel: Mapping[str, Any], signature: Signature) -> _Loaded:
    pyfunc = mlmodel["flavors"].get("python_function") or {}
    name = str(pyfunc.get("loader_module", "")).removeprefix("mlflow.")
    flavour = mlmodel["flavors"].get(name)
    # A model with code of its own needs mlflow to put that on the path.
    if not flavour or flavour.get("code") or pyfunc.get("code") or _is_nested(signature):
        return _through_pyfunc(folder, mlmodel, signature)
    if name == "sklearn":
        path = _inside(folder, str(flavour["pickled_model"]))
        function = str(pyfunc.get("predict_fn") or "predict")
        return _of_estimator(sklearn_native.load(path, flavour, function, signature))
    # Parameters of a request reach these through mlflow alone.
    if name in ("lightgbm", "xgboost") and not signature.params:
        path = _inside(folder, str(flavour["data"]))
        return _of_estimator(boosting_native.load(path, name, flavour, signature))
    if name == "onnx" and onnx_native.is_plain(flavour):
        path = _inside(folder, str(flavour["data"]))
        predict = onnx_native.OnnxPredictor(path, flavour.get("providers"))
        return _Loaded(predict, takes_arrays=True, by_row=True)
    if name == "pytorch" and not signature.params:
        path = _inside(folder, str(flavour["model_data"]))
        if torch_native.is_plain(path):
            module = torch_native.TorchPredictor(path, pyfunc.get("config") or {})
            return _Loaded(module, takes_arrays=True, by_row=True)
    return _through_pyfunc(folder, mlmodel, signature)


def _of_estimator(estimator: sklearn_native.Estimator) -> _Loaded:
    predict = _sklearn_predictor(estimator.predict)
    return _Loaded(predict, estimator.takes_arrays, estimator.by_row)


def _inside(folder: Path, name: str) -> Path:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ModelLoadError(f"{folder / MLMODEL} names a file outside of it: {name!r}")
    return path


def _sklearn_predictor(predict: Callable[[Any], Any]) -> Predictor:
    def call(table: Table, _params: Mapping[str, Any]) -> Any:  # noqa: ANN401 - as the model
        return predict(table.model_input())

    return call


def _is_nested(signature: Signature) -> bool:
    """Whether an input or a parameter holds arrays or objects, which mlflow alone checks."""
    stated = (*signature.inputs, *(signature.params or ()))
    return any(getattr(spec, "type", None) == "other" for spec in stated)


def _is_hinted(mlmodel: Mapping[str, Any]) -> bool:
    """Whether the signature was made of the type hints of the model's code."""
    return bool(mlmodel.get("is_signature_from_type_hint"))


def _through_pyfunc(folder: Path, mlmodel: Mapping[str, Any], signature: Signature) -> _Loaded:
    if find_spec("mlflow") is None:
        raise ModelLoadError(
            f"the model in {folder} has no native loader here: install mlflow to serve it"
        )
    from scoring.flavours import pyfunc  # noqa: PLC0415 - 100 MB and seconds; only where it is needed

    model = pyfunc.PyfuncModel(folder)
    plan: Plan = pyfunc.PyfuncPlan(signature, model.schema)
    if _is_hinted(mlmodel):
        plan = pyfunc.HintedPlan(plan)
    return _Loaded(model, takes_arrays=False, by_row=False, plan=plan)


def _example(folder: Path, mlmodel: Mapping[str, Any]) -> bytes | None:
    """Return the stored example request. A model without one is no worse a model."""
    name = (mlmodel.get("saved_input_example_info") or {}).get("serving_input_path")
    try:
        return _inside(folder, str(name)).read_bytes() if name else None
    except (OSError, ModelLoadError):
        return None
