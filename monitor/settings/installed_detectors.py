"""Detectors of installed packages: entry points of the group ``kedge.detectors``.

Each is a function of the shape of :class:`detectors.metric_types.OfShares`: rows per bin of the
reference and of the window, and the confidence, to an estimate. docs/howto/detector.md makes one.

A package's code is imported when a configuration names its metric, never to list the names. A
name of Kedge's own, and of two that are alike the second, is passed over.
"""

from __future__ import annotations

import functools
import importlib.metadata
import logging
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast

from detectors.kinds import COLUMN_METRICS, METRICS, of_shares
from detectors.measurement import Estimate, untold

if TYPE_CHECKING:
    from collectors.batch import Ints
    from detectors.metric_types import OfShares

#: Entry points of installed packages that hold detectors.
ENTRY_POINTS: Final = "kedge.detectors"
#: How many of them are looked at.
ENTRY_POINTS_MAX: Final = 100

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_]{0,63}")

log = logging.getLogger("kedge.detectors")


class DetectorLoadError(Exception):
    """A detector that is installed and cannot be used; the message says whose, and why."""


def installed() -> Mapping[str, importlib.metadata.EntryPoint]:
    """Return the detectors of installed packages by the name of their metric."""
    return _installed(tuple(sys.path))


@functools.lru_cache(maxsize=4)
def _installed(_path: tuple[str, ...]) -> Mapping[str, importlib.metadata.EntryPoint]:
    found: dict[str, importlib.metadata.EntryPoint] = {}
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        if len(found) >= ENTRY_POINTS_MAX:
            break
        if _NAME.fullmatch(point.name) and point.name not in METRICS:
            found.setdefault(point.name, point)
    return found


def adopt(metric: str) -> None:
    """Have a metric of an installed package measured like Kedge's own.

    Raises
    ------
    DetectorLoadError
        Importing it failed, or it is no function.
    """
    point = installed().get(metric)
    if point is None or metric in COLUMN_METRICS:
        return
    package = f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown package"
    whose = f'the metric "{metric}" ({point.value} of {package})'
    try:
        compared = point.load()
    except Exception as error:
        raise DetectorLoadError(f"{whose} cannot be loaded: {error!r}") from error
    if not callable(compared):
        raise DetectorLoadError(
            f"{whose} is no detector: expected a function, got {type(compared).__name__}"
        )
    COLUMN_METRICS[metric] = of_shares(_Guarded(whose, cast("OfShares", compared)))


class _Guarded:
    """Somebody else's function: when it fails its figure is untold, and the daemon goes on.

    Parameters
    ----------
    whose
        What a message calls it.
    compared
        The function.
    """

    def __init__(self, whose: str, compared: OfShares) -> None:
        self._whose = whose
        self._compared = compared
        self._told = False

    def __call__(self, expected: Ints, actual: Ints, *, confidence: float) -> Estimate:
        """Measure."""
        try:
            estimate = self._compared(expected, actual, confidence=confidence)
            if not isinstance(estimate, Estimate):
                raise TypeError(f"expected an Estimate, got {type(estimate).__name__}")  # noqa: TRY301 - told like any other fault of it
        except Exception:
            if not self._told:
                self._told = True
                log.exception("%s failed: its figures are unknown; told once", self._whose)
            return untold(int(actual.sum()))
        return estimate
