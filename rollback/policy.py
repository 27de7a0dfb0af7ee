"""What a rollback may do, how often, and when it counts as having worked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

Mode: TypeAlias = Literal["observe", "dry-run", "act"]
TargetChoice: TypeAlias = Literal["last-good", "previous"]
BetterOnShadow: TypeAlias = Literal["require", "if-available", "off"]

DAY_S: Final = 86_400.0
PAUSE_S_MAX: Final = 60.0
#: Several times what loading and asking a usual target takes on a busy machine, and half of a
#: short window: a breach that took two windows to confirm is not made much worse by it.
COMPARE_WAIT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """``[rollback.gates]``: what must be known before an automatic rollback.

    Parameters
    ----------
    world_or_model
        Refuse unless the version itself is the likely reason of the breach: not where the world
        drifted and the target would drift with it, where data broke, where the platform is slow,
        or where it is not known.
    better_on_shadow
        Whether the target must do better on the same requests. ``require``: refuse where that
        cannot be told. ``if-available``: refuse only where it can, and the target does not.
    compare_wait_s
        With ``if-available``: how long a confirmed breach waits for a comparison under way.

    Raises
    ------
    ValueError
        A duration below zero.
    """

    world_or_model: bool = True
    better_on_shadow: BetterOnShadow = "if-available"
    compare_wait_s: float = COMPARE_WAIT_S

    def __post_init__(self) -> None:
        """Refuse what could not be meant."""
        if not self.compare_wait_s >= 0:
            raise ValueError(f"compare_wait_s: expected 0 or more, got {self.compare_wait_s}")


@dataclass(frozen=True, slots=True)
class Policy:
    """The limits of automatic action. The defaults never act.

    Parameters
    ----------
    mode
        ``observe``: a breach is written down, nothing is planned. ``dry-run``: everything up to
        the last gate, and nothing after it. ``act``: all of it.
    target
        ``last-good``: the version that Kedge saw healthy or that was blessed last.
        ``previous``: the highest READY version number below the one that serves.
    cooldown_s
        After a rollback has ended, no automatic one begins for so long.
    max_per_day
        Automatic rollbacks within any 24 hours.
    verify_timeout_s
        From the last step done to the verdict; later, a person has to look.
    verify_events_min
        Events of the target that must have been seen after the act.
    verify_share_min
        Share that the target must have of the events of both versions, in [0, 1].
    verify_interval_s
        How often the alias is read again while verifying.
    evidence_age_max_s
        A window that ended longer ago is never acted on. Twenty minutes is what Kargo allows a
        failure to be old.
    intent_ttl_s
        From the confirmed breach; no step is begun after that, by anybody.
    attempts_max
        Tries of one step, or of reading the registry, before a person is called.
    quarantine_s
        A version that was rolled back from is no automatic target for so long.
    good_windows_min
        Healthy windows before a version counts as good.
    blind_after_s
        Without one decided rule for so long, Kedge says that it is blind.
    gates
        What must be known before an automatic rollback.

    Raises
    ------
    ValueError
        A duration or a count below zero, or a share outside [0, 1].
    """

    mode: Mode = "dry-run"
    target: TargetChoice = "last-good"
    cooldown_s: float = 1_800.0
    max_per_day: int = 2
    verify_timeout_s: float = 600.0
    verify_events_min: int = 100
    verify_share_min: float = 0.5
    verify_interval_s: float = 10.0
    evidence_age_max_s: float = 1_200.0
    intent_ttl_s: float = 600.0
    attempts_max: int = 8
    quarantine_s: float = 7 * DAY_S
    good_windows_min: int = 1
    blind_after_s: float = 1_800.0
    gates: GatePolicy = field(default_factory=GatePolicy)

    def __post_init__(self) -> None:
        """Refuse what could not be meant."""
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, int | float) and not value >= 0:
                raise ValueError(f"{name}: expected 0 or more, got {value}")
        if self.verify_share_min > 1:
            raise ValueError(f"verify_share_min: expected at most 1, got {self.verify_share_min}")

    @property
    def remembered_s(self) -> float:
        """How far back the journal matters to a decision."""
        return max(self.quarantine_s, self.cooldown_s, 30 * DAY_S)


def pause_s(failures: int) -> float:
    """Return how long to wait after the n-th failure in a row: 1, 2, 4 … at most 60 seconds."""
    return min(PAUSE_S_MAX, 2.0 ** min(failures - 1, 10))
