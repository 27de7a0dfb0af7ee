"""The plans of models whose signature is of tensors, and of models that have no signature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scoring.protocol.arrays import typed_value
from scoring.protocol.frame import frame_of, frame_of_csv, frame_of_parquet
from scoring.protocol.protocol import (
    Csv,
    Language,
    Parquet,
    Records,
    RequestData,
    ScoringError,
    Split,
    schema_error,
)
from scoring.protocol.signature import TensorSpec
from scoring.protocol.table import Array, Block, Table, Tensors, table_of

if TYPE_CHECKING:
    import pandas as pd


class TensorPlan:
    """The plan of a signature of tensors: one without a name, or several with."""

    frame_columns: Any = None

    def __init__(self, tensors: tuple[TensorSpec, ...]) -> None:
        self._tensors = tensors
        self._named = tensors[0].name is not None

    def table(self, data: RequestData) -> Table:
        """Return the table; see `scoring.protocol.plan.Plan`."""
        if isinstance(data, Csv):
            raise ScoringError("the model takes tensors: send JSON")
        if isinstance(data, Language):
            raise schema_error("the model takes tensors: send inputs or instances")
        try:
            if isinstance(data, Split | Records):
                return self._of_frame(self._converted(frame_of(data)))
            if isinstance(data, Parquet):
                return self._of_frame(frame_of_parquet(data))
            return self._of_arrays(typed_value(data, self._tensors))
        except ScoringError:
            raise
        except Exception as error:  # numpy and pandas raise what they like
            raise schema_error(f"the request does not fit the signature: {error}") from error

    def _of_arrays(self, value: Any) -> Table:  # noqa: ANN401 - what `typed_value` returned
        if not self._named:
            if not isinstance(value, np.ndarray):
                raise schema_error("the model's input has no name: send one array")
            return Block((), check_tensor(value, self._tensors[0]))
        if isinstance(value, np.ndarray) and len(self._tensors) == 1:
            value = {self._tensors[0].name: value}
        if not isinstance(value, dict):
            raise schema_error("the model takes named tensors: send an object of arrays")
        self._refuse_missing(value)
        return Tensors({str(s.name): check_tensor(value[s.name], s) for s in self._tensors})

    def _of_frame(self, frame: pd.DataFrame) -> Table:
        if self._named:
            self._refuse_missing(frame.columns)
            return Tensors({str(s.name): tensor_of(frame[s.name], s) for s in self._tensors})
        spec = self._tensors[0]
        if frame.empty:
            raise schema_error("the request has no rows or no columns")
        if len(frame.columns) == 1:
            return Block((), tensor_of(frame[frame.columns[0]], spec))
        if spec.shape != (-1, len(frame.columns)):
            raise schema_error(
                f"the request has {len(frame.columns)} columns; the model takes {spec.shape}"
            )
        return Block((), check_tensor(frame.to_numpy(), spec))

    def _refuse_missing(self, there: Any) -> None:  # noqa: ANN401 - a mapping, or an Index
        missing = [spec.name for spec in self._tensors if spec.name not in there]
        if missing:
            raise schema_error(f"the request lacks the inputs {missing}")

    def _converted(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Convert the cells of a frame to the tensors' types; cells that are arrays come later."""
        import pandas as pd  # noqa: PLC0415 - costs 100 MB, and frames for tensors are rare

        if self._named:
            specs = {spec.name: spec for spec in self._tensors if spec.name in frame.columns}
        else:
            specs = dict.fromkeys(frame.columns, self._tensors[0])
        for name, spec in specs.items():
            try:
                if spec.dtype.kind == "S":
                    frame[name] = frame[name].map(lambda text: bytes(text, "utf8"))
                elif isinstance(frame[name].iloc[0], list):
                    continue
                elif spec.dtype.kind not in "UO" or not isinstance(
                    frame[name].dtype, pd.StringDtype
                ):
                    frame[name] = frame[name].astype(spec.dtype)
            except Exception as error:  # pandas raises what it likes
                raise ScoringError(
                    f"column {name!r} cannot be converted to {spec.dtype}: {error}"
                ) from error
        return frame


class OpenPlan:
    """The plan of a model without a signature: what came goes to the model."""

    frame_columns: Any = None

    def table(self, data: RequestData) -> Table:
        """Return the table; see `scoring.protocol.plan.Plan`."""
        if isinstance(data, Language):
            return table_of(dict(data.value))
        if isinstance(data, Split | Records):
            return table_of(frame_of(data))
        if isinstance(data, Csv):
            return table_of(frame_of_csv(data, None))
        if isinstance(data, Parquet):
            return table_of(frame_of_parquet(data))
        return table_of(typed_value(data, ()))


def check_tensor(values: Array, spec: TensorSpec) -> Array:
    """Return an array, if it is of the stated shape and type; ragged ones may be of any.

    Raises
    ------
    ScoringError
        It is not.
    """
    shape, found = spec.shape, values.shape
    if shape == (-1,) and spec.dtype == object:
        return values
    if -1 in shape[1:] and len(found) == 1 and values.dtype == object:
        return values
    fits = len(found) == len(shape) and all(
        expected in (-1, actual) for expected, actual in zip(shape, found, strict=True)
    )
    if not fits:
        raise schema_error(f"the input's shape is {found}; the model takes {shape}")
    same_kind = values.dtype.kind == spec.dtype.kind and spec.dtype.kind in "US"
    if values.dtype != spec.dtype and not same_kind:
        raise schema_error(f"the input is of {values.dtype}; the model takes {spec.dtype}")
    return values


def tensor_of(cells: pd.Series[Any], spec: TensorSpec) -> Array:
    """Return a column of single values, or of flat arrays, as the tensor it stands for.

    Raises
    ------
    ScoringError
        They do not make one of the stated shape.
    """
    shape = spec.shape
    if shape[0] != -1 or -1 in shape[1:]:
        raise schema_error(f"send the tensor of shape {shape} as inputs or instances")
    first = cells[0]
    if np.isscalar(first):
        if shape not in ((-1,), (-1, 1)):
            raise schema_error(f"the column holds single values; the model takes {shape}")
        return check_tensor(np.array(cells, dtype=spec.dtype).reshape(shape), spec)
    typed = isinstance(first, np.ndarray)
    if not typed and not (isinstance(first, list) and np.isscalar(first[0])):
        raise schema_error("the cells must be single values or flat arrays of them")
    try:
        made = np.vstack(cells.tolist()).reshape(shape)
        made = made if typed else made.astype(spec.dtype)
    except ValueError as error:
        raise schema_error(f"the column cannot be shaped to {shape}: {error}") from error
    if len(made) != len(cells):
        raise schema_error(f"the column cannot be shaped to {shape}")
    return made
