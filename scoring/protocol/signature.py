"""A model's signature as its MLmodel file states it: columns or tensors, and parameters. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

#: ``other`` is any of MLflow's nested types (array, object, map, any): handed to the model as it
#: came, and checked by mlflow itself where the model runs through mlflow.pyfunc.
ColumnType: TypeAlias = Literal[
    "boolean", "integer", "long", "float", "double", "string", "binary", "datetime", "other"
]
_COLUMN_TYPES: frozenset[str] = frozenset(get_args(ColumnType))


class SignatureError(ValueError):
    """The signature in an MLmodel file is not one that MLflow writes."""


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """One column that the model takes; `name` is None where columns are told apart by place."""

    name: str | None
    type: ColumnType
    required: bool = True


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One array that the model takes; -1 in `shape` stands for any length."""

    name: str | None
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ParamSpec:
    """One parameter of inference; `shape` is None for a scalar."""

    name: str
    type: ColumnType
    default: object
    shape: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes.

    Parameters
    ----------
    inputs
        All columns or all tensors, all named or all unnamed; empty when the model states none,
        and then any input goes to the model as it came.
    params
        None when the model states none: parameters of a request are then ignored.
    outputs
        What it answers with, as far as it is stated; nothing is checked against it.
    """

    inputs: tuple[ColumnSpec, ...] | tuple[TensorSpec, ...] = ()
    params: tuple[ParamSpec, ...] | None = None
    outputs: tuple[ColumnSpec, ...] | tuple[TensorSpec, ...] = ()


def parse_signature(mlmodel: Mapping[str, Any]) -> Signature:
    """Read the ``signature`` entry of a parsed MLmodel file.

    Raises
    ------
    SignatureError
        It is there and cannot be read.
    """
    stated = mlmodel.get("signature") or {}
    try:
        inputs = json.loads(stated.get("inputs") or "[]")
        params = json.loads(stated.get("params") or "null")
        return Signature(
            _inputs(inputs),
            None if params is None else tuple(_param(entry) for entry in params),
            _inputs(json.loads(stated.get("outputs") or "[]")),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SignatureError(f"cannot read the model's signature: {error!r}") from error


def _inputs(entries: list[dict[str, Any]]) -> tuple[ColumnSpec, ...] | tuple[TensorSpec, ...]:
    if entries and entries[0]["type"] == "tensor":
        return tuple(_tensor(entry) for entry in entries)
    return tuple(
        ColumnSpec(entry.get("name"), _type(entry["type"]), entry.get("required", True))
        for entry in entries
    )


def _tensor(entry: dict[str, Any]) -> TensorSpec:
    spec = entry["tensor-spec"]
    dtype: npt.DTypeLike = spec["dtype"]
    return TensorSpec(entry.get("name"), np.dtype(dtype), tuple(spec["shape"]))


def _param(entry: dict[str, Any]) -> ParamSpec:
    shape = entry.get("shape")
    return ParamSpec(
        entry["name"],
        _type(entry["type"]),
        entry.get("default"),
        None if shape is None else tuple(shape),
    )


def _type(name: str) -> ColumnType:
    # The closed set is checked, which mypy cannot see.
    return name if name in _COLUMN_TYPES else "other"  # type: ignore[return-value]
