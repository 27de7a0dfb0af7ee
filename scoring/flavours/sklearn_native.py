"""scikit-learn models loaded without mlflow, and what may be done with them for speed.

A model that was trained on a frame remembers the names of its columns, and wants a frame again:
two thirds of the time of a small prediction go into making it and taking it apart. Where all its
parts are scikit-learn's own, none of them picks columns by name, and the names come in the order
of the training, the names say nothing: they are forgotten, and the model takes arrays. A trial
on both kinds of input must give equal answers, or the names stay.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from scoring.flavours.model_error import ModelLoadError
from scoring.protocol.predictions import plain_predictions
from scoring.protocol.signature import Signature
from scoring.protocol.table import Array

#: Parts that look at names, or hand the input to a function that may.
_BY_NAME: Final = frozenset(("ColumnTransformer", "FunctionTransformer"))
#: What an estimator that makes frames of its results remembers.
_OUTPUT_CONFIG: Final = "_sklearn_output_config"
_NAMES: Final = "feature_names_in_"
#: A model of more parts (trees are parts) is not looked through to its end, and left as it is.
PARTS_MAX: Final = 20_000
TRIAL_ROWS: Final = 16
_TRIAL_SEED: Final = 7


@dataclass(frozen=True, slots=True)
class Estimator:
    """A loaded estimator.

    Parameters
    ----------
    predict
        Its function of prediction, whichever the model was stored with.
    takes_arrays
        Whether an array does where all columns are doubles.
    by_row
        Whether all parts are scikit-learn's own: they look at each row by itself.
    """

    predict: Callable[[Any], Any]
    takes_arrays: bool
    by_row: bool


def load(path: Path, flavour: Mapping[str, Any], function: str, signature: Signature) -> Estimator:
    """Load an estimator from its file.

    Raises
    ------
    ModelLoadError
        The file is of a kind that MLflow does not write; the loaders raise what they like besides.
    """
    estimator = read_estimator(path, flavour)
    predict = getattr(estimator, function)
    parts = list(_parts(estimator))
    own = len(parts) < PARTS_MAX and all(_is_own(part) for part in parts)
    if not hasattr(estimator, _NAMES):
        # A model that says neither is a pipeline of foreign parts, which may look at names.
        return Estimator(predict, hasattr(estimator, "n_features_in_"), own)
    names = [getattr(spec, "name", None) for spec in signature.inputs]
    doubles = all(getattr(spec, "type", None) == "double" for spec in signature.inputs)
    if not own or not doubles or list(estimator.feature_names_in_) != names:
        return Estimator(predict, takes_arrays=False, by_row=own)
    return Estimator(predict, _forgets_names(predict, parts, names), own)


def read_estimator(path: Path, flavour: Mapping[str, Any]) -> Any:  # noqa: ANN401 - an estimator
    """Read a file in one of the forms that MLflow stores estimators in.

    Raises
    ------
    ModelLoadError
        It is of another form; the readers raise what they like besides.
    """
    kind = flavour.get("serialization_format", "pickle")
    if kind == "skops":
        import skops.io  # noqa: PLC0415 - brings in scikit-learn

        return skops.io.load(path, trusted=flavour.get("skops_trusted_types") or [])
    if kind not in ("pickle", "cloudpickle"):
        raise ModelLoadError(f"{path} is stored as {kind!r}, which is not known")
    if kind == "cloudpickle":
        # Reading needs its module, not its function: such a pickle names parts of it.
        import cloudpickle  # noqa: F401, PLC0415 - see above
    with path.open("rb") as file:
        return pickle.load(file)  # noqa: S301 - what loading a model is; see docs/security.md


def _parts(estimator: object) -> Iterator[Any]:
    """Yield an estimator and all estimators within it."""
    seen: set[int] = set()
    waiting: list[Any] = [estimator]
    while waiting and len(seen) < PARTS_MAX:
        value = waiting.pop()
        if id(value) in seen:
            continue
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            waiting.extend(value)
        elif isinstance(value, np.ndarray):
            waiting.extend(value.flat if value.dtype == object else ())
        elif hasattr(value, "predict") or hasattr(value, "transform"):
            seen.add(id(value))
            yield value
            waiting.extend(getattr(value, "__dict__", {}).values())


def _is_own(part: object) -> bool:
    return type(part).__module__.startswith("sklearn.")


def trial_rows(width: int) -> Array:
    """Return made-up rows of doubles, shape ``(TRIAL_ROWS, width)``: always the same ones."""
    return np.random.default_rng(_TRIAL_SEED).normal(size=(TRIAL_ROWS, width))


def _forgets_names(
    predict: Callable[[Any], Any], parts: Sequence[Any], names: Sequence[Any]
) -> bool:
    """Make the parts forget the columns' names; False, and all is as before, if that matters."""
    if any(type(part).__name__ in _BY_NAME or hasattr(part, _OUTPUT_CONFIG) for part in parts):
        return False
    import pandas as pd  # noqa: PLC0415 - scikit-learn has brought it in

    rows = trial_rows(len(names))
    frame = pd.DataFrame(rows, columns=pd.Index(names))
    kept = [(part, vars(part)[_NAMES]) for part in parts if _NAMES in getattr(part, "__dict__", ())]
    try:
        expected = plain_predictions(predict(frame))
        for part, _ in kept:
            del vars(part)[_NAMES]
        if plain_predictions(predict(rows)) == expected:
            return True
    except Exception:  # noqa: BLE001, S110 - the model's own code: whatever it is, names stay
        pass
    for part, remembered in kept:
        vars(part)[_NAMES] = remembered
    return False
