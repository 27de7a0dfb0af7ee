"""Who may act, when several could: a lease, which is held for a time and renewed. Pure.

Times are seconds of one process's own steady clock; those of two processes are never compared.
A holder counts from *before* it asked to renew; who waits counts from *after* it saw the renewal.
So the holder stops (`renew_deadline_s`) before anybody else may begin (`duration_s`), as long as
neither clock runs `skew_allowed` times as fast as the other.

A lease alone does not keep a second one from acting: a process that was stopped between its look
at the clock and its write goes on writing when it wakes. What it writes must be refused by who is
written to: the store by its fence, Kubernetes by the resourceVersion.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

#: What a call may take beyond its own time limit until the lease would have to be counted as over.
MARGIN_S: Final = 0.5
#: Pauses differ by this factor between processes, so that they do not ask in step.
JITTER: Final = 1.2


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """How long a lease holds, and when its holder gives it up by itself.

    Parameters
    ----------
    duration_s
        Nobody else may take the lease before it stood unrenewed for so long.
    renew_deadline_s
        A holder that could not renew for so long ends.
    retry_s
        Between two renewals, and between two looks of who waits.

    Raises
    ------
    ValueError
        The order is not ``duration > renew_deadline > 1.2 retry``, which all of it rests on.
    """

    duration_s: float = 15.0
    renew_deadline_s: float = 10.0
    retry_s: float = 2.0

    def __post_init__(self) -> None:
        """Refuse times with which two could hold the lease, or none could keep it."""
        if not self.duration_s > self.renew_deadline_s:
            raise ValueError("duration_s: expected more than renew_deadline_s")
        if not self.renew_deadline_s > JITTER * self.retry_s > 0:
            raise ValueError(f"renew_deadline_s: expected more than {JITTER:g} times retry_s")

    @property
    def skew_allowed(self) -> float:
        """By which factor one clock may run faster than another.

        Examples
        --------
        >>> LeaseTimes().skew_allowed
        1.5
        """
        return self.duration_s / self.renew_deadline_s

    @property
    def call_max_s(self) -> float:
        """The longest time limit of a call that a healthy holder may begin at any moment."""
        return self.duration_s - JITTER * self.retry_s - 2 * MARGIN_S


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease as it stands.

    Parameters
    ----------
    holder
        Who has it; empty if it was given up.
    mark
        Another one after every write of the lease: its resourceVersion, the count of a store.
    """

    holder: str
    mark: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """What one who waits for a lease has seen of it: the claim, and since when it stands so."""

    claim: Claim | None = None
    since: float = 0.0

    def saw(self, claim: Claim, now: float) -> Waiting:
        """Return what is known after a look. A claim that was renewed begins anew."""
        if self.claim == claim:
            return self
        return replace(self, claim=claim, since=now)

    def may_take(self, times: LeaseTimes, now: float) -> bool:
        """Whether the lease is free: given up, or unrenewed for its whole duration."""
        if self.claim is None:
            return False
        return not self.claim.holder or now - self.since >= times.duration_s


@dataclass(frozen=True, slots=True)
class Tenure:
    """What a holder knows: `confirmed` is when it began to ask for its last renewal."""

    times: LeaseTimes
    confirmed: float

    def renewed(self, began: float) -> Tenure:
        """Return the tenure after a renewal that was asked for at `began`."""
        return replace(self, confirmed=max(self.confirmed, began))

    def over(self, now: float) -> bool:
        """Whether the holder has to stop, though nobody else may begin yet."""
        return now - self.confirmed >= self.times.renew_deadline_s

    def allows(self, call_s: float, now: float) -> bool:
        """Whether a call that takes at most `call_s` ends while nobody else may have begun."""
        left_s = self.confirmed + self.times.duration_s - now
        return not self.over(now) and left_s > call_s + MARGIN_S
