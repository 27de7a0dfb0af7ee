"""What the decision is told. Each observation is a value; none carries a connection or a clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from collectors.registry.answers import ModelVersion
from detectors.cause import Cause
from rollback.better import ShadowComparison
from rollback.record import RollbackRecord

RuleState: TypeAlias = Literal["ok", "suspect", "breach", "unknown"]


@dataclass(frozen=True, slots=True)
class RuleReport:
    """What one rule says at the end of one window.

    Parameters
    ----------
    state
        ``breach`` once enough windows of the last n agree ("3 of 4"); ``suspect`` before that.
        ``unknown`` neither acts nor clears.
    value, low, high, threshold
        The measurement with its confidence bounds, and what the rule compared them with.
    n
        Rows it was measured on.
    cause
        Where the breach comes from, as far as can be told; None of a rule that is well.
    """

    rule: str
    action: Literal["alert", "rollback"]
    state: RuleState
    metric: str = ""
    column: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    threshold: float | None = None
    n: int = 0
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class WindowsClosed:
    """A window of one version was closed, and the rules have spoken. Told once per window.

    Parameters
    ----------
    version
        Whose events the window holds.
    begins, ends
        Event time, seconds since the epoch: ``[begins, ends)``.
    events_by_version
        Events of every version within the same span of time.
    """

    version: str
    begins: float
    ends: float
    rules: tuple[RuleReport, ...]
    events_by_version: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RegistryRead:
    """Where the alias points, None if nowhere, and which versions there are.

    Parameters
    ----------
    undone
        Steps that were done, and that somebody else took back; looked for while verifying.
    reads
        Input columns that versions depend on, as far as they are known; asked for where a breach
        comes from the inputs.
    alias_stays
        No step of the plan moves the alias, so that it may point where it did before.
    """

    alias_version: str | None
    versions: tuple[ModelVersion, ...] = ()
    undone: tuple[str, ...] = ()
    reads: Mapping[str, frozenset[str]] = field(default_factory=dict)
    alias_stays: bool = False


@dataclass(frozen=True, slots=True)
class RegistryFailed:
    """The registry could not be read, or the steps could not be checked."""

    message: str
    transient: bool


@dataclass(frozen=True, slots=True)
class Prechecked:
    """Every step was rehearsed without changing anything; `problems` is empty if all would work.

    Parameters
    ----------
    held
        Whether one of the problems is that a person stopped us, at the object of a step.
    shadow
        What a shadow found of the target on the same requests; None where none was asked.
    """

    record_id: str
    problems: tuple[str, ...] = ()
    held: bool = False
    shadow: ShadowComparison | None = None


@dataclass(frozen=True, slots=True)
class StepDone:
    """A step's postcondition holds; `changed` is False if it held before."""

    record_id: str
    step: str
    detail: str = ""
    changed: bool = True


@dataclass(frozen=True, slots=True)
class StepFailed:
    """A step did not come to its postcondition.

    Parameters
    ----------
    kind
        ``transient``: try again; whether it took effect is unknown. ``contested``: what is to
        be moved is neither where we found it nor where we want it. ``permanent``: refused.
        ``waiting``: it was done, and what it has set in motion is under way.
    changed
        Whether something was changed, or may have been.
    """

    record_id: str
    step: str
    kind: Literal["transient", "contested", "permanent", "waiting"]
    message: str
    changed: bool = True


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class ComparisonEnded:
    """A comparison with a target that was under way has ended: a wait for it may be over."""


@dataclass(frozen=True, slots=True)
class ManualRequested:
    """A person asks for a rollback; without a version, the policy chooses."""

    record_id: str
    to_version: str | None
    reason: str
    dry_run: bool = False
    by: str = ""


@dataclass(frozen=True, slots=True)
class HoldSet:
    """A person stops automatic action until a time, seconds since the epoch."""

    until: float
    reason: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class HoldCleared:
    """A person lets automatic action go on, also after an escalation."""

    reason: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class VersionBlessed:
    """A person says that a version is a fit target; that also ends its quarantine."""

    version: str
    reason: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class VersionQuarantined:
    """A person says that a version is unfit until a time, seconds since the epoch."""

    version: str
    until: float
    reason: str = ""
    by: str = ""


#: What a person says that is remembered. It is taken at once, also while a step is being done.
Word: TypeAlias = HoldSet | HoldCleared | VersionBlessed | VersionQuarantined


@dataclass(frozen=True, slots=True)
class Alerted:
    """Somebody else's alert fires, or is over.

    Parameters
    ----------
    name, key
        What it is called, and what tells it from every other one.
    version
        The version that it is about; None where it does not say.
    starts_at
        When it began to fire, seconds since the epoch.
    confirms
        Whether the configuration takes it as evidence of a breach.
    """

    name: str
    key: str
    firing: bool
    starts_at: float
    version: str | None = None
    summary: str = ""
    confirms: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resumed:
    """Kedge starts, and the journal says what was open and what happened lately."""

    open_records: tuple[RollbackRecord, ...] = ()
    recent: tuple[RollbackRecord, ...] = ()


Observation: TypeAlias = (
    WindowsClosed
    | RegistryRead
    | RegistryFailed
    | Prechecked
    | StepDone
    | StepFailed
    | Tick
    | ComparisonEnded
    | ManualRequested
    | HoldSet
    | HoldCleared
    | VersionBlessed
    | VersionQuarantined
    | Alerted
    | Resumed
)
