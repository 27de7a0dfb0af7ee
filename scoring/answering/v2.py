"""The Open Inference Protocol, version 2: tensors in and out as JSON. No I/O.

A signature of columns takes a tensor a column, or one tensor of two axes whose second one is the
columns; a signature of tensors takes its tensors. The rules of the signature then hold as they do
for MLflow's protocol. The binary extension is not spoken.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
import numpy as np

from scoring.answering.score import Answer
from scoring.flavours.model import Model
from scoring.flavours.model_error import told as told_of
from scoring.protocol.predictions import plain_predictions
from scoring.protocol.protocol import (
    JSON_TYPE,
    Arrays,
    RequestData,
    ScoringError,
    Split,
    decode_json,
)
from scoring.protocol.signature import ColumnSpec, ColumnType, TensorSpec
from scoring.protocol.table import Array

logger = logging.getLogger("kedge.scoring")

#: The protocol's names of numpy's types; BYTES are strings.
DTYPES: Final[Mapping[str, np.dtype[Any]]] = {
    "BOOL": np.dtype(np.bool_),
    **{f"UINT{bits}": np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": np.dtype(f"int{bits}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"float{bits}") for bits in (16, 32, 64)},
}
_NAMES: Final = {dtype: name for name, dtype in DTYPES.items()}
_COLUMN_TYPES: Final[Mapping[ColumnType, str]] = {
    "boolean": "BOOL",
    "integer": "INT32",
    "long": "INT64",
    "float": "FP32",
    "double": "FP64",
}
#: What a number of JSON may be for each kind of type: a fraction is no integer.
_KINDS: Final = {"b": "b", "u": "iu", "i": "iu", "f": "iuf"}
#: The name of the output of a model that names none.
OUTPUT: Final = "output-1"
_MATRIX_AXES: Final = 2


class Tensor(msgspec.Struct):
    """A tensor of a request; `data` is flat in row-major order, or nested."""

    name: str
    shape: list[int]
    datatype: str
    data: Any


class Asked(msgspec.Struct):
    """The name of an output that is wanted."""

    name: str


class Request(msgspec.Struct):
    """The body of a request to infer."""

    inputs: list[Tensor]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[Asked] | None = None


class V2Error(ScoringError):
    """An error in the body that the protocol gives it."""

    def body(self) -> bytes:
        """Return the one key that it has."""
        return json.dumps({"error": str(self)}).encode()


def in_v2(error: ScoringError) -> V2Error:
    """Return an error as this protocol tells it."""
    return error if isinstance(error, V2Error) else V2Error(str(error), status=error.status)


def infer(model: Model, name: str, version: str, body: bytes) -> Answer:
    """Return the answer to the body of ``POST …/infer``; it raises nothing."""
    table = None
    try:
        request = read_request(body)
        table = model.plan.table(_data(model, request.inputs))
        params = model.params(_params(request))
        try:
            predicted = model.predict(table, params)
            outputs = _outputs(predicted, request.outputs)
            plain = plain_predictions(predicted)
        except ScoringError:
            raise
        except Exception as error:
            raise V2Error(f"the model failed: {type(error).__name__}: {told_of(error)}") from error
        answer: dict[str, Any] = {"model_name": name, "model_version": version}
        if request.id:
            answer["id"] = request.id
        rendered = json.dumps({**answer, "outputs": outputs}, allow_nan=False).encode()
        return Answer(HTTPStatus.OK, JSON_TYPE, rendered, table, plain, request.parameters or None)
    except ScoringError as error:
        told = in_v2(error)
        return Answer(told.status, JSON_TYPE, told.body(), table)
    except Exception:
        # A fault of ours. The caller gets no traceback; the log of the server does.
        logger.exception("could not infer")
        told = V2Error("the server failed to infer", status=HTTPStatus.INTERNAL_SERVER_ERROR)
        return Answer(told.status, JSON_TYPE, told.body(), table)


def read_request(body: bytes) -> Request:
    """Read the body of a request.

    Raises
    ------
    ScoringError
        It is no JSON, or not of the protocol's shape.
    """
    try:
        request = msgspec.convert(decode_json(body), Request)
    except msgspec.ValidationError as error:
        raise V2Error(f"the request is not one of the protocol: {error}") from error
    names = [tensor.name for tensor in request.inputs]
    if not names or len(set(names)) < len(names):
        raise V2Error("the request must have inputs, each of a name of its own")
    return request


def _params(request: Request) -> dict[str, Any]:
    """Return the request's parameters; those that the signature does not state are dropped."""
    return request.parameters or {}


def array_of(tensor: Tensor) -> Array:
    """Return a tensor as an array of its type and shape; of objects for BYTES.

    Raises
    ------
    V2Error
        The type is not known, or the data are not of the type and the shape.
    """
    dtype = DTYPES.get(tensor.datatype)
    if dtype is None and tensor.datatype != "BYTES":
        raise V2Error(
            f"input {tensor.name!r}: datatype {tensor.datatype!r} is not known; "
            f"send one of {', '.join(DTYPES)}, BYTES"
        )
    size = math.prod(tensor.shape)
    if any(length < 0 for length in tensor.shape) or not isinstance(tensor.data, list):
        raise V2Error(f"input {tensor.name!r} must have a shape and an array of data")
    try:
        values = _texts(tensor.data) if dtype is None else _numbers(tensor.data, dtype)
    except (OverflowError, TypeError, ValueError) as error:
        raise V2Error(f"input {tensor.name!r} is not of type {tensor.datatype}: {error}") from error
    if values.size != size:
        raise V2Error(
            f"input {tensor.name!r} has {values.size} values; its shape {tensor.shape} has {size}"
        )
    return values.reshape(tensor.shape)


def _numbers(data: list[Any], dtype: np.dtype[Any]) -> Array:
    found = np.array(data)
    if dtype == np.uint64 and found.dtype == np.float64:
        # Beside small numbers, numpy takes those beyond a signed integer for fractions.
        found = np.array(data, dtype=object)
        if all(type(value) is int for value in found.ravel()):
            return found.astype(dtype)
    if found.size and found.dtype.kind not in _KINDS[dtype.kind]:
        raise ValueError(f"its values are of another kind ({found.dtype})")
    with np.errstate(over="ignore"):
        made = np.array(data, dtype=dtype)
    if dtype.kind == "f" and (np.isinf(made) & ~np.isinf(found)).any():
        raise OverflowError("a value is too large for it")
    return made


def _texts(data: list[Any]) -> Array:
    flat: list[Any] = []
    waiting: list[Any] = [data]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(reversed(value))
        elif isinstance(value, str):
            flat.append(value)
        else:
            raise TypeError("BYTES are sent as strings")
    array = np.empty(len(flat), dtype=object)
    array[:] = flat
    return array


def _data(model: Model, tensors: Sequence[Tensor]) -> RequestData:
    """Return tensors in the form that the model's plan reads."""
    arrays = {tensor.name: array_of(tensor) for tensor in tensors}
    inputs = model.signature.inputs
    names = [spec.name for spec in inputs]
    if not inputs or isinstance(inputs[0], TensorSpec):
        # mlflow reads lists; an array keeps the shape of what is empty, and its own type.
        values = arrays if model.native else {n: array.tolist() for n, array in arrays.items()}
        alone = len(values) == 1 and names in ([], [None])
        return Arrays(next(iter(values.values())) if alone else values, by_row=False)
    first = next(iter(arrays.values()))
    by_place = len(arrays) == 1 and first.ndim == _MATRIX_AXES and next(iter(arrays)) not in names
    if by_place:
        if first.shape[1] != len(names):
            raise V2Error(f"the input has {first.shape[1]} columns; the model takes {len(names)}")
        return Split(None if names[0] is None else [str(name) for name in names], first.tolist())
    return _columns(arrays)


def _columns(arrays: Mapping[str, Array]) -> Split:
    rows = max(len(array) if array.ndim else 1 for array in arrays.values())
    if any(array.size != rows for array in arrays.values()):
        raise V2Error("the inputs must each be a column, of shape [rows] or [rows, 1]")
    cells = [array.ravel().tolist() for array in arrays.values()]
    return Split(list(arrays), [list(row) for row in zip(*cells, strict=True)])


def _outputs(predicted: Any, asked: Sequence[Asked] | None) -> list[dict[str, Any]]:  # noqa: ANN401 - whatever a model returns
    if hasattr(predicted, "columns") and hasattr(predicted, "to_dict"):
        named = {str(name): predicted[name].to_numpy() for name in predicted.columns}
    elif isinstance(predicted, Mapping):
        named = {str(name): np.asarray(value) for name, value in predicted.items()}
    else:
        named = {OUTPUT: np.asarray(predicted)}
    if asked:
        missing = [output.name for output in asked if output.name not in named]
        if missing:
            raise V2Error(f"the model has no outputs {missing}; it has {list(named)}")
        named = {output.name: named[output.name] for output in asked}
    return [_output(name, array) for name, array in named.items()]


def _output(name: str, array: Array) -> dict[str, Any]:
    datatype = _NAMES.get(array.dtype, "BYTES")
    data = array.ravel().tolist()
    if datatype == "BYTES":
        data = [str(value) for value in data]
    elif array.dtype.kind == "f":
        # NaN and the infinities are no JSON.
        data = [value if math.isfinite(value) else None for value in data]
    return {"name": name, "shape": list(array.shape), "datatype": datatype, "data": data}


def metadata(model: Model, name: str, version: str) -> dict[str, Any]:
    """Return what the protocol says of a model."""
    return {
        "name": name,
        "versions": [version],
        "platform": "mlflow",
        "inputs": _all_described(model.signature.inputs, "input"),
        "outputs": _all_described(model.signature.outputs, "output"),
    }


def _all_described(
    specs: Sequence[ColumnSpec] | Sequence[TensorSpec], side: str
) -> list[dict[str, Any]]:
    described: Sequence[ColumnSpec | TensorSpec] = specs
    return [_described(spec, place, side) for place, spec in enumerate(described)]


def _described(spec: ColumnSpec | TensorSpec, place: int, side: str) -> dict[str, Any]:
    if isinstance(spec, TensorSpec):
        name = spec.name or f"{side}-{place + 1}"
        return {
            "name": name,
            "datatype": _NAMES.get(spec.dtype, "BYTES"),
            "shape": list(spec.shape),
        }
    name = spec.name or f"column-{place + 1}"
    described = {"name": name, "datatype": _COLUMN_TYPES.get(spec.type, "BYTES"), "shape": [-1]}
    return described if spec.required else described | {"parameters": {"required": False}}
