"""A freshly loaded model checked and warmed before a request meets it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from scoring.answering.score import score
from scoring.flavours.model import Model
from scoring.protocol.protocol import JSON_TYPE
from scoring.protocol.signature import ColumnSpec, ColumnType, Signature, TensorSpec

#: How often a model is timed when it is warmed, and for how long at most.
WARM_CALLS: Final = 10
WARM_S_MAX: Final = 0.5
#: A made-up row is not made for inputs of more values than this.
MADE_UP_VALUES_MAX: Final = 100_000

_MADE_UP: Final[Mapping[ColumnType, Any]] = {
    "boolean": False,
    "integer": 0,
    "long": 0,
    "float": 0.0,
    "double": 0.0,
    "string": "",
    "datetime": "2000-01-01T00:00:00",
}


class ModelCheckError(RuntimeError):
    """A model that loaded does not score its own example."""


def check_example(model: Model) -> None:
    """Score the example that was stored with the model, if there is one.

    Raises
    ------
    ModelCheckError
        The answer was not 200.
    """
    if model.example is None:
        return
    answer = score(model, JSON_TYPE, model.example)
    if answer.status != HTTPStatus.OK:
        raise ModelCheckError(
            f"the model answers {answer.status} to its own input example: "
            f"{answer.body.decode(errors='replace')}"
        )


def warm(model: Model) -> float | None:
    """Score the example, or a made-up row, so that the first caller does not wait for imports.

    Returns
    -------
    float or None
        Milliseconds that a request takes, the second slowest of a few calls: what a caller sees
        on a bad day. None where nothing could be scored: a made-up row may well be refused.
    """
    body = model.example or made_up_request(model.signature)
    if body is None or score(model, JSON_TYPE, body).status != HTTPStatus.OK:
        return None
    times_ms: list[float] = []
    ends = time.perf_counter() + WARM_S_MAX
    while len(times_ms) < WARM_CALLS and time.perf_counter() < ends:
        began = time.perf_counter()
        score(model, JSON_TYPE, body)
        times_ms.append((time.perf_counter() - began) * 1000)
    return sorted(times_ms)[-2] if len(times_ms) > 1 else max(times_ms, default=None)


def made_up_request(signature: Signature) -> bytes | None:
    """Return a request of one row of zeros that fits a signature; None if that is not possible.

    Examples
    --------
    >>> made_up_request(Signature((ColumnSpec("age", "long"), ColumnSpec("name", "string"))))
    b'{"dataframe_split": {"columns": ["age", "name"], "data": [[0, ""]]}}'
    """
    columns = [spec for spec in signature.inputs if isinstance(spec, ColumnSpec)]
    tensors = [spec for spec in signature.inputs if isinstance(spec, TensorSpec)]
    if columns and all(spec.type in _MADE_UP for spec in columns):
        split: dict[str, Any] = {"data": [[_MADE_UP[spec.type] for spec in columns]]}
        if columns[0].name is not None:
            split = {"columns": [spec.name for spec in columns], **split}
        return json.dumps({"dataframe_split": split}).encode()
    if tensors and all(spec.dtype.kind in "biuf" for spec in tensors):
        values = [_zeros([abs(length) for length in spec.shape]) for spec in tensors]
        named = {str(spec.name): value for spec, value in zip(tensors, values, strict=True)}
        inputs = values[0] if tensors[0].name is None else named
        body = json.dumps({"inputs": inputs}).encode()
        return body if len(body) < MADE_UP_VALUES_MAX else None
    return None


def _zeros(shape: list[int]) -> Any:  # noqa: ANN401 - a number, or lists of them
    return [_zeros(shape[1:]) for _ in range(shape[0])] if shape else 0
