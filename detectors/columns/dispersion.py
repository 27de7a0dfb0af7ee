"""How much healthy windows of a column differ from one another: its design effect.

Rows of real traffic are not independent: those of one session resemble one another, values
follow their predecessors, and mornings differ from evenings. A window of `n` such rows tells no
more than ``n / deff`` independent ones, where ``deff``, the design effect [1]_, is the variance
of the window's counts over what it would be of independent rows. A test that takes the rows as
independent raises false alarms at any size of window; with its noise multiplied by the effect
it keeps its rate.

The reference learns the effects from its own rows, in the order in which they came
(:mod:`detectors.columns.dispersion_builder`): cut into blocks of 32, 64, 128, … rows, how much do
the blocks' counts vary (:mod:`detectors.columns.dispersion_estimates`)?

References
----------
.. [1] Kish, "Survey Sampling", Wiley, 1965, section 8.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from detectors.columns.reference_error import ReferenceError  # noqa: A004 - the builtin is about weak references

#: Chance that a column of independent rows is taken for one of dependent rows. Dependence that
#: is not proven leaves the effects at exactly 1: to multiply them with what is mostly the error
#: of their own estimate would cost power on all the traffic that is independent.
LEVEL = 1e-3


@dataclass(frozen=True, slots=True)
class DesignEffect:
    """What to multiply the sampling noise of a window with.

    Parameters
    ----------
    cumulative
        For distances of distribution functions (KS): largest variance of a cumulated share over
        the largest that independent rows can have, that of a share of a half. At least 1. Of
        categories, whose order means nothing, the same of their single shares.
    bins
        For distances of bin counts (PSI, chi-square): scale of the statistic's law over that of
        independent rows, right in its upper tail. At least 1.
    ranks
        For the mean rank (:mod:`detectors.statistics.rank_shift`): its variance over that of
        independent rows. At least 1.
    spread
        For the mean square of normal scores (:mod:`detectors.statistics.spread_shift`), likewise;
        None of a reference that did not learn it.
    single
        For a single share (:mod:`detectors.statistics.share_shift`), likewise: of the bin whose
        share varies most; None of a reference that did not learn it.
    """

    cumulative: float
    bins: float
    ranks: float = 1.0
    spread: float | None = None
    single: float | None = None

    @property
    def of_spread(self) -> float:
        """Effect on mean squares; where it is not known, the worst that is."""
        return self._worst if self.spread is None else self.spread

    @property
    def of_shares(self) -> float:
        """Effect on a single share; where it is not known, the worst that is."""
        return self._worst if self.single is None else self.single

    @property
    def _worst(self) -> float:
        return max(self.cumulative, self.bins, self.ranks)


#: Of independent rows.
NONE = DesignEffect(1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Scale:
    """What blocks of one length say of a column.

    Parameters
    ----------
    rows
        Rows of a block.
    blocks
        Blocks of that length in the reference.
    cumulative_mean, bins_mean
        Mean effects, unbiased: about 1 of independent rows, and below where rows balance one
        another.
    cumulative, bins, ranks, spread, single
        The effects of :class:`DesignEffect`, each with an upper confidence factor; not cut at 1.
    p_value
        Chance of mean effects as large, had the rows been independent.
    """

    rows: int
    blocks: int
    cumulative_mean: float
    bins_mean: float
    cumulative: float
    bins: float
    p_value: float
    ranks: float = 1.0
    spread: float | None = None
    single: float | None = None


@dataclass(frozen=True, slots=True)
class Dispersion:
    """Design effects of one column at several lengths of window.

    Parameters
    ----------
    scales
        By ascending rows; without any, rows are taken as independent.

    Raises
    ------
    ReferenceError
        If the scales contradict one another.

    Examples
    --------
    >>> Dispersion(()).design_effect(1_000)
    DesignEffect(cumulative=1.0, bins=1.0, ranks=1.0, spread=None, single=None)
    >>> sessions = Scale(32, 600, 4.0, 4.0, 4.5, 4.5, 0.0, 4.5)
    >>> Dispersion((sessions,)).design_effect(64)
    DesignEffect(cumulative=9.0, bins=9.0, ranks=9.0, spread=None, single=None)
    """

    # Reference files hold these classes by the names of their fields.
    scales: tuple[Scale, ...]

    def __post_init__(self) -> None:
        if any(one.rows >= other.rows for one, other in pairwise(self.scales)):
            raise ReferenceError("the scales of a dispersion must be ascending")
        for scale in self.scales:
            means = (scale.cumulative_mean, scale.bins_mean)
            later = (scale.spread or 0.0, scale.single or 0.0)
            figures = (*means, scale.cumulative, scale.bins, scale.ranks, *later)
            if scale.rows < 1 or scale.blocks < 1 or not 0 <= scale.p_value <= 1:
                raise ReferenceError("a scale of a dispersion has no rows, blocks or chance")
            if not all(math.isfinite(figure) and figure >= 0 for figure in figures):
                raise ReferenceError("effects of a dispersion must be finite and not negative")

    @property
    def independent(self) -> bool:
        """Whether the blocks are consistent with independent rows, at :data:`LEVEL`.

        Bonferroni's test over the scales. One that rejects speaks for all of them: a season shows
        in long blocks first, and is in the short ones all the same.
        """
        return all(scale.p_value * len(self.scales) > LEVEL for scale in self.scales)

    def design_effect(self, rows: int) -> DesignEffect:
        """Effects on a window of `rows` rows; exactly 1 where rows may well be independent.

        Otherwise the largest at the scales up to `rows`, linear between two scales. Beyond the
        last scale they grow in proportion to `rows`, as fast as any stationary series' do: what
        the reference is too short to show, a season of its own length, is taken for possible.
        """
        if self.independent:
            return NONE
        return DesignEffect(
            _at(rows, [(scale.rows, scale.cumulative) for scale in self.scales]),
            _at(rows, [(scale.rows, scale.bins) for scale in self.scales]),
            _at(rows, [(scale.rows, scale.ranks) for scale in self.scales]),
            self._later(rows, [scale.spread for scale in self.scales]),
            self._later(rows, [scale.single for scale in self.scales]),
        )

    def _later(self, rows: int, effects: list[float | None]) -> float | None:
        """Effect that older references did not learn."""
        known = [
            (scale.rows, effect)
            for scale, effect in zip(self.scales, effects, strict=True)
            if effect is not None
        ]
        return _at(rows, known) if len(known) == len(effects) else None


def _at(rows: int, effects: list[tuple[int, float]]) -> float:
    below_rows, below = 0, 1.0
    for scale_rows, effect in effects:
        largest = max(below, effect)
        if rows <= scale_rows:
            # Below the first scale it is that scale's: nothing is known of shorter windows.
            share = (rows - below_rows) / (scale_rows - below_rows) if below_rows else 1.0
            return below + share * (largest - below)
        below_rows, below = scale_rows, largest
    return below * rows / below_rows
