"""A step under a lease: it is not begun by who may lose the lease meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rollback.actuator import Actuator, Failed, Result


@dataclass(frozen=True, slots=True)
class LeasedStep:
    """Another step, asked for leave before each act.

    Parameters
    ----------
    permit
        Whether a change that takes at most so many seconds may begin now.
    call_s
        The time limit of the step's one call; 0 where its client asks before every write.
    """

    step: Actuator
    permit: Callable[[float], bool]
    call_s: float = 0.0

    @property
    def name(self) -> str:
        """That of the step."""
        return self.step.name

    async def check(self, from_version: str, to_version: str) -> Sequence[str]:
        """Rehearse; that changes nothing, and needs no lease."""
        return await self.step.check(from_version, to_version)

    async def act(self, from_version: str, to_version: str, *, intent: str = "") -> Result:
        """Act, if the lease has enough time left."""
        if not self.permit(self.call_s):
            words = "not begun: the lease has too little time left"
            return Failed("transient", words, changed=False)
        return await self.step.act(from_version, to_version, intent=intent)

    async def undone(self, from_version: str, to_version: str) -> str | None:
        """Look; that changes nothing."""
        return await self.step.undone(from_version, to_version)
