"""The clock that leases are measured with."""

from __future__ import annotations

import time


def steady_clock() -> float:
    """Return seconds that also pass while the machine sleeps, where the system has such a clock."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
