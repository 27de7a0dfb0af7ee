"""``[shadow]``: a version that answers the same requests, and nobody sees its answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from monitor.settings.keys import Holds, between
from monitor.settings.tables import Positive, PositiveDuration, Text

#: Requests that are kept where nothing else is said.
RECENT: Final = 500


@dataclass(frozen=True, slots=True)
class ShadowSettings:
    """``[shadow]``: which version is scored beside the live one, and what that may cost."""

    version: str = ""
    """The version of the model that is scored beside the live one. Neither this nor `alias`: none
    is."""

    alias: str = ""
    """The alias of that version instead; when it moves, the version it points to is scored."""

    sampling: Annotated[float, between(0.000001, 1.0)] = 1.0
    """Share of the live requests that are scored. Which ones follows from their ids alone."""

    tolerance: Annotated[float, Holds("a number of at least 0", lambda number: number >= 0)] = 0.0
    """Two numbers disagree when they are further apart than this, and than a millionth of the
    larger one."""

    concurrency: Positive = 2
    """Requests that the shadow is asked at once."""

    cpu: Annotated[float, between(0.01, 64.0)] = 0.5
    """Processor time that the shadow may use a second, in cores: it rests between requests. What
    loading it takes is not held back."""

    timeout_s: PositiveDuration = 5.0
    """An answer that takes longer counts as none."""

    start_timeout_s: PositiveDuration = 180.0
    """How long the shadow may take to be fetched and loaded."""

    queue_max: Positive = 1000
    """Requests that may wait for the shadow. Beyond it the oldest are dropped, and counted."""

    allow_sources: tuple[Text, ...] = ()
    """Folders and beginnings of addresses that versions may be loaded from: loading a model runs
    its code. None given: any."""

    recent: Annotated[int, Holds("a whole number of at least 0", lambda n: n >= 0)] | None = None
    """Live requests of each version that are kept in memory, so that a rollback can score them with
    its target before it is done; 500 by default, where `better_on_shadow` asks for that and models
    can be loaded. With 0 no target is compared."""

    def __post_init__(self) -> None:
        """Refuse two shadows."""
        if self.version and self.alias:
            raise ValueError("alias: give either version or alias, not both")

    @property
    def scores(self) -> bool:
        """Whether there is a shadow."""
        return bool(self.version or self.alias)

    @property
    def recent_max(self) -> int:
        """Live requests of a version that are kept, where any are."""
        return RECENT if self.recent is None else self.recent
