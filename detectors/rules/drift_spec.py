"""What a rule with ``metric = "drift"`` promises, in the terms of its windows."""

from __future__ import annotations

from dataclasses import dataclass

#: Jeffreys divergence that nobody acts upon, at any size of window: a shift of 0.022 standard
#: deviations. Of a window of 500 rows it takes half a standard error off what can be found.
TOLERANCE = 0.0005
#: Up to here a column counts as stable: what PSI's custom calls little.
STABLE = 0.1
#: Share of the budget that the evidence of many windows has. To find a drift in its first window
#: takes all that can be had; to the evidence, which multiplies, a factor of 5 is a window or two.
EVIDENCE_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class DriftSpec:
    """How often a drift rule may be wrong, and what it lets pass.

    Its two looks share the false alarms: :data:`EVIDENCE_SHARE` of them go to that at the evidence
    of all windows that share no row, and the rest to that at every window by itself.

    Parameters
    ----------
    level
        Probability that a window by itself is a false alarm, over all columns, in ``(0, 1)``.
    run_length
        Mean number of windows without a common row between two false alarms by the evidence of
        many, above 1.
    tolerance, stable
        Jeffreys divergence up to which there is no drift, and up to which a column that may
        have drifted counts as stable.
    length_s
        Length of a window by time, seconds; None for windows of events.
    panes
        So many windows after one comes the next that shares no row with it, at least 1.

    Raises
    ------
    ValueError
        A figure is out of range.
    """

    level: float
    run_length: float
    tolerance: float = TOLERANCE
    stable: float = STABLE
    length_s: float | None = None
    panes: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise ValueError(f"the level of a window must lie between 0 and 1, not {self.level:g}")
        if not self.run_length > 1:
            raise ValueError(f"a run of {self.run_length:g} windows leaves none to be quiet in")
        if not 0 < self.tolerance <= self.stable:
            raise ValueError(
                f"a tolerance of {self.tolerance:g} must be above 0, and not above stable = "
                f"{self.stable:g}"
            )
        if self.panes < 1:
            raise ValueError("a window has at least one pane")

    @classmethod
    def of_budget(
        cls,
        alarms: float,
        windows: float,
        *,
        panes: int = 1,
        length_s: float | None = None,
        tolerance: float = TOLERANCE,
        stable: float = STABLE,
    ) -> DriftSpec:
        """Share out a budget of so many false alarms in so many closed windows.

        Expected false alarms add up, whether or not windows share rows: the windows' share of
        the budget, over the windows, is the level of each. What is left, a tenth, is a false
        alarm in every ``10 windows / (panes alarms)`` windows that share none.

        Examples
        --------
        >>> DriftSpec.of_budget(1, 1000).level, DriftSpec.of_budget(1, 1000, panes=4).run_length
        (0.0009, 2500.0)
        """
        level = (1 - EVIDENCE_SHARE) * alarms / windows
        run_length = windows / (EVIDENCE_SHARE * panes * alarms)
        return cls(level, run_length, tolerance, stable, length_s, panes)
