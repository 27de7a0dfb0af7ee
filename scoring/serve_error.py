"""Why a server did not start."""

from __future__ import annotations


class ServeError(RuntimeError):
    """The server did not start; the message is one line that says why and what to do."""
