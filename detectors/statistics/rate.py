"""Events a second, with Garwood's interval."""

from __future__ import annotations

from detectors.measurement import Estimate, untold
from detectors.numerics.tails import gamma_quantile


def rate(
    events: int, seconds: float | None, *, confidence: float, weight: float | None = None
) -> Estimate:
    """Estimate a rate from `events` in `seconds`; untold without a positive duration.

    Garwood's exact interval for a Poisson count [1]_. Traffic that comes in bursts varies more
    than a Poisson count, so the interval is then too narrow. It says something at 0 events.

    Parameters
    ----------
    events
        Events counted.
    seconds
        How long was counted.
    confidence
        Of both bounds together, in ``(0, 1)``.
    weight
        Events that the counted ones stand for, where only a share is logged.

    References
    ----------
    .. [1] Garwood, "Fiducial limits for the Poisson distribution", Biometrika 28, 1936.

    Examples
    --------
    >>> estimate = rate(0, 60.0, confidence=0.95)
    >>> estimate.value, estimate.low, round(estimate.high * 60, 3)
    (0.0, 0.0, 3.689)
    """
    if seconds is None or seconds <= 0:
        return untold(events)
    tail = (1 - confidence) / 2
    scale = (weight / events if weight is not None and events else 1.0) / seconds
    low = gamma_quantile(events, tail) if events else 0.0
    high = gamma_quantile(events + 1, 1 - tail)
    return Estimate(events * scale, low * scale, high * scale, events)
