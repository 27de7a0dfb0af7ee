"""What every actuator is: one step of a rollback, that can be repeated without harm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias


@dataclass(frozen=True, slots=True)
class Done:
    """The postcondition holds, and was read back; `changed` is False if it held before."""

    detail: str
    changed: bool = True


@dataclass(frozen=True, slots=True)
class Failed:
    """The postcondition does not hold, or could not be read back.

    Parameters
    ----------
    kind
        ``transient``: the same call may succeed later. ``contested``: what is to be moved is
        neither at `from_version` nor at `to_version`. ``permanent``: refused for good.
        ``waiting``: it is done, and what it has set in motion is under way; the next call goes
        on waiting.
    changed
        Whether something was changed, or may have been.
    """

    kind: Literal["transient", "contested", "permanent", "waiting"]
    message: str
    changed: bool


Result: TypeAlias = Done | Failed


class HeldHere(str):
    """A problem that is no fault: a person has stopped us, at the very object."""

    __slots__ = ()


class CheckUnavailableError(RuntimeError):
    """Whether a step would work could not be found out now; later it may."""


class Actuator(Protocol):
    """One step: read, check, do, read back.

    Every call has a deadline of its own and returns what it found; it raises for bugs only. The
    caller has journalled the step before `act`, and calls it again after a crash.
    """

    @property
    def name(self) -> str:
        """Names the step in records, the same after a restart; unique in the plan."""
        ...

    async def check(self, from_version: str, to_version: str) -> Sequence[str]:
        """Rehearse without changing anything; return what would go wrong, in words.

        Raises
        ------
        CheckUnavailableError, collectors.registry.client.RegistryTransientError
            It could not be found out now.
        """
        ...

    async def act(self, from_version: str, to_version: str, *, intent: str = "") -> Result:
        """Move from one version to the other.

        Does nothing if the postcondition holds already, and nothing but say ``contested`` if
        the precondition does not. Where the outcome of a write is unknown it is read back.

        Parameters
        ----------
        intent
            The id of the rollback: the same after a crash, so that what it did can be known.
        """
        ...

    async def undone(self, from_version: str, to_version: str) -> str | None:
        """Return what has become of the step if somebody else took it back; None otherwise.

        Asked while the rollback is being verified. What cannot be found out is not undone.
        """
        ...
