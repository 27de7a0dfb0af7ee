"""What a trailing reference keeps in the store, and the stretches it leaves out."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import msgspec

from monitor.traffic.traffic_runs import Run, RunState, run_of, state_of

#: Stretches with a breach that are remembered; past it the nearest two become one.
BREACHES_MAX: Final = 500
FORMAT: Final = 1


class VersionState(msgspec.Struct, array_like=True, frozen=True):
    """What is kept of a version; its runs by their numbers."""

    version: str
    place: int
    now: float
    built_at: float
    breaches: list[tuple[float, float]]
    refused: dict[int, float]
    runs: list[int]


class TrailingState(msgspec.Struct, array_like=True, frozen=True):
    """What is kept of all; runs that were sampled otherwise cannot be put together."""

    format: int
    length_s: float
    run_rows: int
    runs_max: int
    next_run: int
    versions: list[VersionState]


def merged(
    breach: tuple[float, float], breaches: list[tuple[float, float]]
) -> list[tuple[float, float]]:
    """Add a stretch to ascending ones, those that meet become one."""
    found: list[tuple[float, float]] = []
    for begins, ends in sorted([*breaches, breach]):
        if found and begins <= found[-1][1]:
            found[-1] = (found[-1][0], max(ends, found[-1][1]))
        else:
            found.append((begins, ends))
    while len(found) > BREACHES_MAX:
        gaps = [after[0] - before[1] for before, after in pairwise(found)]
        nearest = gaps.index(min(gaps))
        found[nearest : nearest + 2] = [(found[nearest][0], found[nearest + 1][1])]
    return found


def encoded_run(run: Run) -> bytes:
    """Return the bytes of a run."""
    return msgspec.msgpack.encode(state_of(run))


def decoded_run(data: bytes) -> Run:
    """Return the run that bytes are of.

    Raises
    ------
    msgspec.DecodeError, PackingError
        They are damaged.
    """
    return run_of(msgspec.msgpack.decode(data, type=RunState))
