"""The one way in which loading a model fails."""

from __future__ import annotations


class ModelLoadError(RuntimeError):
    """The model in a folder cannot be loaded; the message says which and what to do."""
