"""What makes a folder a model, the one way in which loading one fails, and what is told of it."""

from __future__ import annotations

from typing import Final

#: The file that MLflow puts into each.
MLMODEL: Final = "MLmodel"


class ModelLoadError(RuntimeError):
    """The model in a folder cannot be loaded; the message says which and what to do."""


#: Characters of another's error that the caller gets to see: enough for "contains NaN".
MODEL_ERROR_MAX: Final = 300


def told(error: object) -> str:
    """Return what a caller is told of an error: the first line, and no more than fits there."""
    lines = str(error).strip().splitlines() or [""]
    return lines[0][:MODEL_ERROR_MAX]
