"""What a window of traffic and one of labels have in common."""

from __future__ import annotations

from typing import Protocol


class Frame(Protocol):
    """What a window of traffic and one of labels have in common."""

    @property
    def model(self) -> str: ...  # noqa: D102 - as in the windows themselves

    @property
    def version(self) -> str: ...  # noqa: D102

    @property
    def segment(self) -> str: ...  # noqa: D102

    @property
    def population(self) -> str: ...  # noqa: D102

    @property
    def begins(self) -> float: ...  # noqa: D102

    @property
    def ends(self) -> float: ...  # noqa: D102
