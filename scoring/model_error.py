"""What makes a folder a model, and the one way in which loading one fails."""

from __future__ import annotations

from typing import Final

#: The file that MLflow puts into each.
MLMODEL: Final = "MLmodel"


class ModelLoadError(RuntimeError):
    """The model in a folder cannot be loaded; the message says which and what to do."""
