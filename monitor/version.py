"""Kedge's version, read from what is installed, so that it is written in one place."""

from __future__ import annotations

from importlib import metadata

VERSION = metadata.version("kedge")
