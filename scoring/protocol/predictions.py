"""What a model answered, as plain JSON values, in the forms that MLflow gives them."""

from __future__ import annotations

import base64
import json
from typing import Any


def plain_predictions(predictions: object) -> object:
    """Return predictions as lists, dicts and scalars: a frame as records, an array nested.

    Nothing but attributes is asked of a value, so that numpy and pandas are not imported here.

    Raises
    ------
    TypeError
        Something in it has no form in JSON.

    Examples
    --------
    >>> import numpy as np
    >>> plain_predictions(np.array([[0.25, 0.75]]))
    [[0.25, 0.75]]
    """
    if hasattr(predictions, "to_frame"):
        # MLflow makes a frame of a series, so that its records have a key.
        return plain_predictions(predictions.to_frame())
    if hasattr(predictions, "columns") and hasattr(predictions, "to_dict"):
        return _plain(predictions.to_dict(orient="records"))
    return _plain(predictions)


def _plain(value: Any) -> Any:  # noqa: ANN401 - any value a model may return
    if isinstance(value, dict):
        return {_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist") and hasattr(value, "dtype"):
        # numpy's arrays and scalars; its float64 is a float whose repr is not JSON.
        return _plain_array(value)
    return _plain_scalar(value)


def _key(key: Any) -> str:  # noqa: ANN401 - the same
    if key is None or isinstance(key, bool | float):
        return json.dumps(key)
    return str(key)


def _plain_array(value: Any) -> Any:  # noqa: ANN401 - a numpy array or scalar
    if value.dtype.kind in "biuf":
        # Arrays of numbers, the common case, are plain when they are listed.
        return value.tolist()
    # Times come out as Python's, those of nanoseconds as whole numbers: so with MLflow.
    return _plain(value.tolist())


def _plain_scalar(value: Any) -> Any:  # noqa: ANN401 - the same
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, bytes | bytearray):
        return base64.encodebytes(value).decode()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "model_dump"):
        return _plain(value.model_dump())
    raise TypeError(f"the model answered with a {type(value).__name__}, which JSON cannot carry")
