"""The parameters of a request (``params``) against those that a signature states. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from scoring.protocol.protocol import ScoringError
from scoring.protocol.signature import ColumnType, ParamSpec

#: What a scalar of each type may be in JSON: never a wider type than the one stated.
_ACCEPTED: Final[Mapping[ColumnType, tuple[type, ...]]] = {
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "string": (str,),
    "binary": (),
}


def check_params(params: object, specs: tuple[ParamSpec, ...] | None) -> dict[str, Any]:
    """Return the parameters for the model: those given, and defaults for the rest.

    Names that the signature does not state are dropped, and everything is when it states none.

    Raises
    ------
    ScoringError
        INVALID_PARAMETER_VALUE: not an object, or a value of a wrong type.
    """
    if specs is None:
        return {}
    if params is None:
        params = {}
    if not isinstance(params, dict):
        raise _invalid("params must be an object")
    # A default was checked when the model was made.
    return {
        spec.name: _checked(params[spec.name], spec) if spec.name in params else spec.default
        for spec in specs
    }


def _checked(value: object, spec: ParamSpec) -> object:
    if spec.shape is None:
        return _scalar(value, spec)
    if not isinstance(value, list) or _axes(value, spec) != 1:
        raise _invalid(f"parameter {spec.name!r} must be an array of {spec.type}")
    return [_scalar(item, spec) for item in value]


def _axes(value: list[Any], spec: ParamSpec) -> int:
    try:
        return np.array(value).ndim
    except ValueError as error:
        # MLflow fails inside here, and says so with this code.
        raise ScoringError(f"parameter {spec.name!r} is no array: {error}") from error


def _scalar(value: object, spec: ParamSpec) -> object:
    if value is None:
        return None
    if spec.type == "datetime":
        return _time(value, spec)
    accepted = _ACCEPTED[spec.type]
    if not isinstance(value, accepted) or (isinstance(value, bool) and bool not in accepted):
        raise _invalid(f"parameter {spec.name!r} must be a {spec.type}")
    return float(value) if isinstance(value, int) and float in accepted else value


def _time(value: Any, spec: ParamSpec) -> object:  # noqa: ANN401 - any JSON
    try:
        time = np.datetime64(value).item()
    except (TypeError, ValueError) as error:
        raise _invalid(f"parameter {spec.name!r} must be a datetime: {error}") from error
    if isinstance(time, int):
        raise _invalid(f"parameter {spec.name!r} must be a datetime that Python can hold")
    return time


def _invalid(message: str) -> ScoringError:
    return ScoringError(message, code="INVALID_PARAMETER_VALUE")
