"""ONNX models run by onnxruntime without mlflow, with mlflow's rules of inputs and outputs.

A table goes to a single input as one array, to several as an array a column; the outputs come
back as one record a row. Tensors go and come by name. Doubles become floats where the graph
wants those.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from scoring.protocol.table import Array, Block, Columns, Frame, Table, Tensors

_CPU: Final = "CPUExecutionProvider"
_FLOAT: Final = "tensor(float)"


def is_plain(flavour: Mapping[str, Any]) -> bool:
    """Tell whether a model asks for nothing that mlflow alone takes care of."""
    return not flavour.get("onnx_session_options")


class OnnxPredictor:
    """A session, called like any other model.

    Parameters
    ----------
    providers
        Those that the model names; those that are not there are passed over, and the processor
        comes last.
    """

    def __init__(self, path: Path, providers: Sequence[Any] | str | None) -> None:
        import onnxruntime  # noqa: PLC0415 - only where such a model is served

        stated = [providers] if isinstance(providers, str) else list(providers or ())
        there = set(onnxruntime.get_available_providers())
        usable = [name for name in stated if isinstance(name, str) and name in there]
        options = onnxruntime.SessionOptions()
        # A team of threads costs more than a small batch; whoever has large ones says so.
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or 0)
        self._session = onnxruntime.InferenceSession(
            str(path), sess_options=options, providers=usable or [_CPU]
        )
        self._inputs = [(given.name, given.type) for given in self._session.get_inputs()]
        self._outputs = [given.name for given in self._session.get_outputs()]

    def __call__(self, table: Table, _params: Mapping[str, Any]) -> Any:  # noqa: ANN401 - records, or arrays by name
        """Return the outputs: a record a row for a table, arrays by name for tensors."""
        feeds, tabular = self._feeds(table)
        for name, kind in self._inputs:
            values = feeds.get(name)
            if kind == _FLOAT and values is not None and values.dtype == np.float64:
                feeds[name] = values.astype(np.float32)
        answered = self._session.run(self._outputs, feeds)
        if not tabular:
            return dict(zip(self._outputs, answered, strict=True))
        columns = [np.asarray(output).reshape(-1).tolist() for output in answered]
        return [
            dict(zip(self._outputs, cells, strict=True)) for cells in zip(*columns, strict=True)
        ]

    def _feeds(self, table: Table) -> tuple[dict[str, Array], bool]:
        """Return what goes to the inputs, and whether it came as a table."""
        first = self._inputs[0][0]
        if isinstance(table, Tensors):
            return dict(table.arrays), False
        if isinstance(table, Block):
            if len(self._inputs) == 1:
                return {first: table.values}, bool(table.names)
            if not table.names:
                raise ValueError(f"send the inputs {[name for name, _ in self._inputs]} by name")
            columns = dict(zip(table.names, table.values.T, strict=True))
            return {name: columns[name] for name, _ in self._inputs}, True
        if not isinstance(table, Columns | Frame):
            raise TypeError("send a table or tensors")
        frame = table.model_input()
        if len(self._inputs) == 1:
            return {first: frame.to_numpy()}, True
        return {name: frame[name].to_numpy() for name, _ in self._inputs}, True
