"""PyTorch models loaded without mlflow, and asked as mlflow asks them.

A table goes in as one tensor of 32-bit floats, and comes back as a record a row; a tensor goes in
as it is. The model's own device is used, or the first GPU where PyTorch sees one, as mlflow does.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

from scoring.flavours.model_error import ModelLoadError
from scoring.protocol.table import Array, Block, Columns, Frame, Table

#: mlflow names its own module, whose reading half is Python's; that of others may be anything.
_PICKLES: Final = frozenset(("mlflow.pytorch.pickle_module", "cloudpickle", "pickle"))
_PICKLED, _EXPORTED, _PICKLE_NAME = "model.pth", "model.pt2", "pickle_module_info.txt"
#: Whoever sets it wants mlflow to decide what may be read.
_PICKLE_SWITCH: Final = "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"
_DEVICE: Final = "MLFLOW_DEFAULT_PREDICTION_DEVICE"
_COLUMN_AXES: Final = (1, 2)


def is_plain(data: Path) -> bool:
    """Tell whether a model asks for nothing that mlflow alone takes care of."""
    if _PICKLE_SWITCH in os.environ or find_spec("pytorch_forecasting") is not None:
        return False
    pickled, name = data / _PICKLED, data / _PICKLE_NAME
    if pickled.is_file():
        return name.is_file() and name.read_text(encoding="utf-8").strip() in _PICKLES
    return (data / _EXPORTED).is_file()


class TorchPredictor:
    """A module, called like any other model.

    Parameters
    ----------
    data
        The folder of the module's file.
    config
        What the model says of itself, of which ``device`` matters.

    Raises
    ------
    ModelLoadError
        PyTorch is not installed, or the model is for another device. The loaders raise what they
        like besides.
    """

    def __init__(self, data: Path, config: Mapping[str, Any]) -> None:
        try:
            import torch  # noqa: PLC0415 - gigabytes; only where such a model is served
        except ImportError as error:
            raise ModelLoadError(f"cannot load {data}: install torch to serve it") from error

        self._torch = torch
        # A team of threads costs more than a small batch; whoever has large ones says so.
        if threads := int(os.environ.get("OMP_NUM_THREADS") or 0):
            torch.set_num_threads(threads)
        first = "cuda" if torch.cuda.is_available() else "cpu"
        self._device = str(config.get("device") or os.environ.get(_DEVICE) or first)
        self._module = self._load(data)

    def _load(self, data: Path) -> Any:  # noqa: ANN401 - a module
        torch = self._torch
        if not (data / _PICKLED).is_file():
            module = torch.export.load(data / _EXPORTED).module()
            kind = torch.device(self._device).type
            for tensor in (*module.parameters(), *module.buffers()):
                # An exported graph stays where it was traced.
                if tensor.device.type != kind:
                    raise ModelLoadError(
                        f"{data} was exported for {tensor.device.type}, not for {kind}: "
                        f"set {_DEVICE}={tensor.device.type}"
                    )
            return module
        # Reading needs its module, not its function: such a pickle names parts of it.
        import cloudpickle  # noqa: F401, PLC0415 - see above

        module = torch.load(
            data / _PICKLED,
            pickle_module=pickle,
            weights_only=False,  # what loading a model is; see docs/security.md
        )
        module.eval()
        return module.to(device=self._device)

    def __call__(self, table: Table, _params: Mapping[str, Any]) -> Any:  # noqa: ANN401 - an array, or records
        """Return the outputs: a record a row for a table, an array for a tensor."""
        named = isinstance(table, Block) and bool(table.names)
        tabular = named or isinstance(table, Columns | Frame)
        torch = self._torch
        with torch.no_grad():
            given = torch.from_numpy(_array(table, tabular=tabular)).to(self._device)
            answered = self._module(given)
            if not isinstance(answered, torch.Tensor):
                raise TypeError(
                    f"the model must answer with one tensor, not with a {type(answered).__name__}"
                )
            values = answered.to("cpu").numpy()
        return _records(values, table.rows) if tabular else values


def _array(table: Table, *, tabular: bool) -> Array:
    if isinstance(table, Block):
        return table.values.astype(np.float32) if tabular else table.values
    if not isinstance(table, Columns | Frame):
        raise TypeError("send a table or one tensor without a name")
    columns = list(table.columns.values()) if isinstance(table, Columns) else []
    if columns and all(isinstance(c, np.ndarray) and c.dtype.kind in "biuf" for c in columns):
        return np.column_stack([np.asarray(c).astype(np.float32) for c in columns])
    values: Array = table.model_input().to_numpy(dtype=np.float32)
    return values


def _records(values: Array, rows: int) -> Sequence[Mapping[str, Any]]:
    """Return what a frame of the values would be as records: its columns have numbers for names."""
    if values.ndim not in _COLUMN_AXES:
        raise ValueError(f"a table needs an answer of one or two axes, not of {values.ndim}")
    if len(values) != rows:
        raise ValueError(f"the model answered {len(values)} rows to {rows}")
    cells = values.reshape(rows, -1)
    names = [str(place) for place in range(cells.shape[1])]
    return [dict(zip(names, row, strict=True)) for row in cells.tolist()]
