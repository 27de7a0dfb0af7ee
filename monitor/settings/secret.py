"""Where the daemon's settings have always found secrets; they are `collectors.secret`'s."""

from __future__ import annotations

from collectors.secret import Secret, SecretUnreadableError

__all__ = ["Secret", "SecretUnreadableError"]
