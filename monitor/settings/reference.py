"""The table ``[reference]`` of ``kedge.toml``."""

from __future__ import annotations

import zoneinfo
from dataclasses import dataclass, field
from typing import Literal

from monitor.settings.tables import Positive, PositiveDuration, Text

#: What lies in the gap is kept until it counts.
GAP_LENGTHS_MAX = 4


@dataclass(frozen=True, slots=True)
class ReferenceSettings:
    """``[reference]``: what current traffic is compared with."""

    path: str = ""
    """Reference file, made by ``kedge reference build``. ``{version}`` in its name stands for
    the version: then each version is compared with a file of its own."""

    origin: Literal["", "first", "registry", "trailing"] = field(
        default="", metadata={"key": "from"}
    )
    """``first``: no file; the first events of the log are the reference, and must be healthy. Other
    versions get their own of their first events, once no rule objects to them.
    ``registry``: each version has its own, which ``kedge reference build --model`` stored with it
    in the registry. ``trailing``: each version's own traffic of a while ago."""

    events: Positive = 20_000
    """Events that make the reference with ``from = "first"`` or ``"trailing"``. 20,000 leave a
    KS distance of 0.01 between two healthy windows, which is below what anyone would act upon."""

    length_s: PositiveDuration = 7 * 86_400.0
    """Length of the traffic that ``from = "trailing"`` takes its sample from. Whole weeks have
    every hour of the week in them."""

    gap_s: float = 86_400.0
    """How long ago that traffic ends: longer than a shift takes to be noticed, or the shift is in
    the reference by then."""

    refresh_s: PositiveDuration = 86_400.0
    """How often it is sampled anew."""

    season: Literal["", "hour-of-day", "hour-of-week"] = ""
    """With ``from = "trailing"``: windows are compared with the same hour of the day or of the
    week. A reference file says its own (``kedge reference build --season``)."""

    timezone: Text = "UTC"
    """Time zone in which the hours of `season` are counted."""

    points_max: Positive = 500_000
    """Distinct values kept over all number columns together, 16 bytes each: 8 MB."""

    def __post_init__(self) -> None:
        """Refuse two references at once, and a version in the name of a folder."""
        if self.path and self.origin:
            raise ValueError(f'origin: give either path or from = "{self.origin}", not both')
        if self.season and self.origin != "trailing":
            raise ValueError(
                'season: is for from = "trailing"; a reference file has its own, made with '
                "`kedge reference build --season`"
            )
        if not _is_zone(self.timezone):
            raise ValueError(
                f'timezone: expected a zone such as "UTC" or "Europe/Berlin", got "{self.timezone}"'
            )
        if self.refresh_s > self.length_s:
            raise ValueError("refresh_s: expected at most length")
        if self.gap_s > GAP_LENGTHS_MAX * self.length_s:
            raise ValueError(f"gap_s: expected at most {GAP_LENGTHS_MAX} times length")
        if "{version}" in self.path.rpartition("/")[0]:
            raise ValueError("path: {version} may stand in the name of the file only")


def _is_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
