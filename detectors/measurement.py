"""What a detector says about a window: a figure, its bounds, and how many rows it rests on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its confidence bounds.

    Parameters
    ----------
    value
        The figure; None where it cannot be told (no rows, no reference).
    low, high
        Bounds that hold together with the stated confidence. None on a side where no bound
        can be given: the 99th percentile of ten rows has no upper one.
    n
        Rows (or requests) that the figure rests on.
    p_value
        Chance of a figure at least this large had nothing changed; None where there is no test.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    p_value: float | None = None


def untold(n: int = 0) -> Estimate:
    """Estimate of a figure that cannot be told.

    Examples
    --------
    >>> untold().value is None
    True
    """
    return Estimate(value=None, low=None, high=None, n=n)


@dataclass(frozen=True, slots=True)
class Measurement:
    """An estimate of one metric, of one column or of the whole window.

    Parameters
    ----------
    metric
        One of :data:`detectors.kinds.METRICS`.
    column
        Name of the column; None for a metric of the whole window.
    value, low, high, p_value, n
        As in :class:`Estimate`; latencies in milliseconds, throughput in requests a second.
    pair
        The two columns that a metric of several columns is about; None of other metrics.
    """

    metric: str
    column: str | None
    value: float | None
    low: float | None
    high: float | None
    p_value: float | None
    n: int
    pair: tuple[str, str] | None = None
