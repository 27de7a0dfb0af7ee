"""What a shadow is asked, made of logged columns, and what it answered: bytes in and out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from collectors.batch import Column, NumberColumn, VectorColumn
from collectors.labels import Scalar, scalar
from collectors.params import UNKEPT

_TRUTHS = {"true": True, "false": False, "1": True, "0": False}
_COLUMN_AXES = 1


class MissingInputsError(ValueError):
    """What the model takes is not among what was logged; the message names it."""


class AnswerError(ValueError):
    """An answer that does not hold one prediction a row."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a model takes, as its metadata says.

    Parameters
    ----------
    types
        Type of each column, by the names of the Open Inference Protocol; empty where the model has
        no signature, and is given whatever there is.
    optional
        Columns that may be left out.
    arrays
        It takes tensors: logged columns cannot be made into one.
    """

    types: Mapping[str, str]
    optional: frozenset[str] = frozenset()
    arrays: bool = False


def inputs_of(metadata: Mapping[str, Any]) -> Inputs:
    """Read ``inputs`` of the metadata that a Kedge server gives of its model.

    Examples
    --------
    >>> inputs_of({"inputs": [{"name": "age", "datatype": "FP64", "shape": [-1]}]}).types
    {'age': 'FP64'}
    """
    described = metadata.get("inputs") or []
    return Inputs(
        {str(one["name"]): str(one["datatype"]) for one in described},
        frozenset(
            str(one["name"])
            for one in described
            if one.get("parameters", {}).get("required") is False
        ),
        any(len(one["shape"]) != _COLUMN_AXES for one in described),
    )


def body_of(inputs: Inputs, features: Mapping[str, Column], params: str | None = None) -> bytes:
    """Return the body of a request for all rows of the features, as MLflow's ``dataframe_split``.

    A missing number or text goes as null. A number that the model takes as a text goes as it
    would be written; texts that it takes as numbers or truths go as those where they are some.
    `params` are those of the request, as JSON text.

    Raises
    ------
    MissingInputsError
        A column that the model needs is not there, it takes arrays, or the parameters of the
        request were too long to be kept: without them the answer would be to another question.

    Examples
    --------
    >>> import numpy as np
    >>> body_of(Inputs({"age": "INT64"}), {"age": NumberColumn(np.array([41.0, np.nan]))})
    b'{"dataframe_split":{"columns":["age"],"data":[[41],[null]]}}'
    """
    if inputs.arrays:
        raise MissingInputsError("the model takes arrays, and columns are logged")
    if params == UNKEPT:
        raise MissingInputsError("the request has params that are too long to be kept")
    missing = [
        name for name in inputs.types if name not in features and name not in inputs.optional
    ]
    if missing:
        raise MissingInputsError(f"the model takes {', '.join(missing)}, which is not logged")
    names = [name for name in inputs.types if name in features] or sorted(features)
    columns = [_written(features[name], inputs.types.get(name, "")) for name in names]
    data = list(zip(*columns, strict=True))
    body: dict[str, Any] = {"dataframe_split": {"columns": names, "data": data}}
    if params is not None:
        body["params"] = msgspec.Raw(params.encode())
    return msgspec.json.encode(body)


def answers_of(body: bytes, rows: int) -> list[Scalar | None]:
    """Return a prediction a row; None where one is no number and no text.

    A prediction of one element (``[0.5]``, ``{"p": 0.5}``) counts as that element.

    Raises
    ------
    AnswerError
        It holds no predictions, or another number of them.

    Examples
    --------
    >>> answers_of(b'{"predictions": [1, [0.5], "gold", [0.1, 0.9]]}', 4)
    [1.0, 0.5, 'gold', None]
    """
    try:
        answer = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise AnswerError(f"the answer is not JSON: {error}") from error
    predictions = answer.get("predictions") if isinstance(answer, dict) else None
    if not isinstance(predictions, list) or len(predictions) != rows:
        raise AnswerError(f"the answer does not hold {rows} predictions")
    return [scalar(_only(one)) for one in predictions]


def _only(prediction: object) -> object:
    match prediction:
        case [only]:
            return only
        case dict() if len(prediction) == 1:
            return next(iter(prediction.values()))
    return prediction


def _written(column: Column, datatype: str) -> Sequence[Any]:
    if isinstance(column, NumberColumn):
        return [_number(value, datatype) for value in column.values.tolist()]
    if isinstance(column, VectorColumn):
        rows = zip(column.values.tolist(), column.there().tolist(), strict=True)
        return [row if is_there else None for row, is_there in rows]
    if datatype == "BOOL":
        return [None if text is None else _TRUTHS.get(text.lower(), text) for text in column.values]
    if not datatype:
        # Nobody says what the model takes: truths are logged as texts, and were truths.
        return [{"true": True, "false": False}.get(text or "", text) for text in column.values]
    return list(column.values)


def _number(value: float, datatype: str) -> Any:  # noqa: ANN401 - as JSON has it
    if value != value:  # noqa: PLR0124 - NaN
        return None
    whole = value.is_integer()
    if datatype == "BOOL" and value in (0.0, 1.0):
        return bool(value)
    if datatype == "BYTES":
        return str(int(value)) if whole else str(value)
    return int(value) if whole and "INT" in datatype else value
