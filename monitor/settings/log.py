"""``[log]``: what the daemon says on standard error."""

from __future__ import annotations

from dataclasses import dataclass

from collectors.log_output import LogFormat, LogLevel


@dataclass(frozen=True, slots=True)
class LogSettings:
    """``[log]``: what the daemon says on standard error."""

    format: LogFormat = "auto"
    """How lines look: ``plain``, or ``ecs``, JSON in the Elastic Common Schema; ``auto`` is plain
    on a terminal and ecs otherwise. Colours obey ``NO_COLOR`` and ``FORCE_COLOR``."""

    level: LogLevel = "info"
    """The least grave lines that are written."""
