"""Bodies of requests and answers of scoring servers: rows of features, and predictions.

Known are MLflow's four shapes (``dataframe_split``, ``dataframe_records``, ``instances``,
``inputs``), tensors of the Open Inference Protocol, Seldon's ``data`` (``ndarray``, ``tensor``),
plain arrays and objects, and CSV without a header.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from collectors.formats.event_line import Unusable
from collectors.formats.json_record import parsed
from collectors.formats.options import ColumnNames
from collectors.formats.tensors import is_tensors, tensor_rows

Row = Mapping[str, Any]

#: Texts that stand for a missing value in a table, as pandas has them.
MISSING = frozenset(
    {"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "<NA>", "#N/A", "NaT", "-nan", "n/a"}
)
#: Keys under which MLflow's protocol has the rows.
_SHAPES = ("dataframe_split", "dataframe_records", "instances", "inputs")
_ERROR_KEYS = frozenset({"error", "error_code", "error_message", "detail", "ErrorCode"})


def body(value: object) -> object:
    """Return what a body holds that is logged as text, or as the JSON it is.

    Raises
    ------
    Unusable
        The text is no JSON.
    """
    return parsed(value) if isinstance(value, str) else value


def feature_rows(value: object, names: ColumnNames) -> list[Row]:
    """Rows of features in the body of a request.

    Raises
    ------
    Unusable
        It has no shape that is known.

    Examples
    --------
    >>> feature_rows({"dataframe_split": {"columns": ["age"], "data": [[41]]}}, ColumnNames())
    [{'age': 41}]
    >>> feature_rows({"instances": [[41, 52.5]]}, ColumnNames(features=("age", "income")))
    [{'age': 41, 'income': 52.5}]
    """
    if isinstance(value, dict):
        return _rows_of_object(value, names.features)
    if not isinstance(value, list):
        raise Unusable("wrong_type")
    if value and not any(isinstance(one, dict | list) for one in value):
        return [_row(value, names.features)]  # one row, bare
    return [_row(one, names.features) for one in value]


def params_of(value: object) -> Any:  # noqa: ANN401 - JSON
    """Parameters beside the rows in the body of a request; None without any.

    Examples
    --------
    >>> params_of({"inputs": [[41]], "params": {"top_k": 3}})
    {'top_k': 3}
    >>> params_of({"params": 3.5, "age": 41}) is None  # a row
    True
    """
    if not isinstance(value, Mapping) or not any(key in value for key in _SHAPES):
        return None
    return value.get("parameters" if is_tensors(value.get("inputs")) else "params")


def predictions(value: object, names: ColumnNames) -> list[Any] | None:
    """Predictions in the body of an answer; None where it tells of an error.

    Raises
    ------
    Unusable
        It has no shape that is known.

    Examples
    --------
    >>> predictions({"predictions": [0.83, [0.12], {"score": 0.4}]}, ColumnNames())
    [0.83, 0.12, 0.4]
    """
    if value is None:
        return None
    if isinstance(value, dict):
        found = _answers_of_object(value)
        if found is None:
            return None
    else:
        found = value if isinstance(value, list) else [value]
    return [_one(answer, names.prediction) for answer in found]


def csv_rows(text: str, names: Sequence[str]) -> list[Row]:
    r"""Rows of CSV text without a header.

    Examples
    --------
    >>> csv_rows("41,gold\n23,\n", ["age"])
    [{'age': 41.0, '1': 'gold'}, {'age': 23.0, '1': None}]
    """
    return [_row([cell(text) for text in cells], names) for cells in split_csv(text)]


def split_csv(text: str) -> list[list[str]]:
    """Cells of each line of CSV text.

    Raises
    ------
    Unusable
        It is none.
    """
    try:
        return [cells for cells in csv.reader(io.StringIO(text, newline="")) if cells]
    except csv.Error as error:
        raise Unusable("malformed") from error


def cell(text: str) -> str | float | None:
    """Return what a cell of a table holds: nothing, a number, or its text."""
    text = text.strip()
    if text in MISSING:
        return None
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) and "_" not in text else text


def _rows_of_object(value: Mapping[str, Any], names: Sequence[str]) -> list[Row]:
    for key in _SHAPES:
        if key in value:
            return _rows_of_known(value[key], names)
    data = value.get("data")
    if isinstance(data, dict):
        return _rows_of_seldon(data, names)
    if isinstance(data, list):
        return _rows_of_known({"data": data, "columns": value.get("columns")}, names)
    return [value]


def _rows_of_known(value: object, names: Sequence[str]) -> list[Row]:
    if is_tensors(value):
        return list(tensor_rows(value, names))  # type: ignore[arg-type] # what is_tensors says
    if isinstance(value, list):
        return [_row(one, names) for one in value]
    if not isinstance(value, dict):
        raise Unusable("wrong_type")
    if isinstance(value.get("data"), list):
        return [_row(one, value.get("columns") or names) for one in value["data"]]
    return _rows_of_columns(value)


def _rows_of_columns(columns: Mapping[str, Any]) -> list[Row]:
    """Rows of an object of columns; one row if its values are no columns of one length."""
    lists = [one for one in columns.values() if isinstance(one, list)]
    if not lists or len(lists) < len(columns) or len(set(map(len, lists))) > 1:
        return [columns]
    return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]


def _rows_of_seldon(data: Mapping[str, Any], names: Sequence[str]) -> list[Row]:
    given = data.get("names")
    if isinstance(given, list) and given:
        names = [str(name) for name in given]
    if isinstance(data.get("ndarray"), list):
        return [_row(one, names) for one in data["ndarray"]]
    tensor = data.get("tensor")
    if not isinstance(tensor, dict):
        raise Unusable("wrong_type")
    one = {"name": "0", "shape": tensor.get("shape"), "data": tensor.get("values")}
    rows = tensor_rows([one], names)
    return [_row(list(row.values()), names) for row in rows]


def _row(value: object, names: object) -> Row:
    """Name the values of a row; without a name, by position."""
    if isinstance(value, dict):
        return value
    known = [str(name) for name in names] if isinstance(names, list | tuple) else []
    values = value if isinstance(value, list) else [value]
    return {(known[i] if i < len(known) else str(i)): one for i, one in enumerate(values)}


def _answers_of_object(value: Mapping[str, Any]) -> list[Any] | None:
    for key in ("predictions", "outputs", "instances"):
        if key in value:
            return _answers_of_known(value[key])
    data = value.get("data")
    if isinstance(data, dict):
        return list(_rows_of_seldon(data, ()))
    if isinstance(data, list):
        return data
    return None if value.keys() & _ERROR_KEYS else [value]


def _answers_of_known(value: object) -> list[Any]:
    if is_tensors(value):
        tensors: list[Mapping[str, Any]] = value  # type: ignore[assignment] # what is_tensors says
        rows = tensor_rows(tensors, ())
        # One tensor alone is the prediction, of however many parts; several are parts by name.
        return [list(row.values()) for row in rows] if len(tensors) == 1 else list(rows)
    if isinstance(value, dict):
        return list(_rows_of_columns(value))
    return value if isinstance(value, list) else [value]


def _one(answer: object, choice: str) -> object:
    """Return the part that was asked for, or the only one there is."""
    if isinstance(answer, dict):
        if choice in answer:
            answer = answer[choice]
        elif len(answer) == 1:
            answer = next(iter(answer.values()))
    return answer[0] if isinstance(answer, list) and len(answer) == 1 else answer
