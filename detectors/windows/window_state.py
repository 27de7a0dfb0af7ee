"""What is kept of windows in the store beside their panes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from detectors.windows.window_spec import WindowSpec

FORMAT = 1


class WindowStateError(ValueError):
    """Stored windows that are damaged, or that were cut in another way than configured now."""


class VersionState(msgspec.Struct, array_like=True):
    """What is remembered of a version: when it was seen, and how many rows went to panes."""

    first_ts: float = math.inf
    last_ts: float = -math.inf
    rows: int = 0
    closed: int = 0


class WindowsState(msgspec.Struct, frozen=True):
    """The watermark, the versions and the counters."""

    format: int
    model: str
    kind: str
    slide: float
    watermark: float
    boundary: int
    skipped: int
    evicted_versions: int
    evicted_panes: int
    versions: dict[str, VersionState]


def decoded_state(state: bytes, spec: WindowSpec, model: str) -> WindowsState:
    """Read the stored state of windows cut as `spec` says.

    Raises
    ------
    WindowStateError
        If it is damaged, of an unknown format, of another model, or was cut with another kind
        or slide.
    """
    try:
        kept = msgspec.msgpack.decode(state, type=WindowsState)
    except msgspec.DecodeError as error:
        raise WindowStateError(f"the stored windows are damaged: {error}") from error
    if kept.format != FORMAT:
        raise WindowStateError(
            f"the stored windows have format {kept.format}, this program knows {FORMAT}"
        )
    if (kept.model, kept.kind, kept.slide) != (model, spec.kind, spec.slide):
        raise WindowStateError(
            f"the stored windows are of model {kept.model!r} by {kept.kind} with slide "
            f"{kept.slide:g}, the configuration says {model!r} by {spec.kind} with slide "
            f"{spec.slide:g}: start windows afresh, or restore [windows] as it was"
        )
    return kept
