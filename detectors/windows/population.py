"""Populations: what is watched by itself, all traffic of a version or one segment of it.

A population goes by one name, wherever a version did when there was nothing else: panes, windows,
rules and references are kept by it, and need not know of segments. The name of all of a version's
traffic is the version's. That of a segment holds a NUL, which no version does
(:func:`collectors.text.clean_text`), so no version can be taken for a segment.
"""

from __future__ import annotations

from typing import Final

_MARK: Final = "\0"


def population(version: str, segment: str = "") -> str:
    """Return the name of a segment of a version, or of all its traffic.

    Examples
    --------
    >>> population("7"), split(population("7", "country=DE")), split("7")
    ('7', ('7', 'country=DE'), ('7', ''))
    """
    return f"{version}{_MARK}{segment}" if segment else version


def split(name: str) -> tuple[str, str]:
    """Return version and segment of a population; the segment is empty for all traffic."""
    version, _, segment = name.partition(_MARK)
    return version, segment


def is_segment(name: str) -> bool:
    """Whether a population is a segment, and not all traffic of a version."""
    return _MARK in name
