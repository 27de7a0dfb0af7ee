"""What the decision asks for, in the order in which it is to be done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from rollback.record import RollbackRecord, Transition


@dataclass(frozen=True, slots=True)
class WriteTransition:
    """Write the record durably. What follows in the list is not done before that."""

    record: RollbackRecord
    transition: Transition


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell of a transition that belongs to no record, or of a repeated refusal."""

    transition: Transition


@dataclass(frozen=True, slots=True)
class ReadRegistry:
    """Read the alias and the versions; answered by `RegistryRead` or `RegistryFailed`."""


@dataclass(frozen=True, slots=True)
class Precheck:
    """Rehearse every step; answered by `Prechecked` or `RegistryFailed`.

    Parameters
    ----------
    waits
        Whether a comparison that is under way is waited for; the steps are then rehearsed later.
    """

    record_id: str
    from_version: str
    to_version: str
    waits: bool = True


@dataclass(frozen=True, slots=True)
class Act:
    """Do one step, if its precondition holds; answered by `StepDone` or `StepFailed`."""

    record_id: str
    step: str
    from_version: str
    to_version: str


#: What takes its time, and is answered by an observation.
Call: TypeAlias = ReadRegistry | Precheck | Act
Command: TypeAlias = WriteTransition | Notify | Call
