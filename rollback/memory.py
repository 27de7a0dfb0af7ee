"""What is remembered of versions between rollbacks: which were healthy, blessed, unfit; and a hold.

The journal remembers the rollbacks themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from rollback.record import JsonObject

#: Versions remembered; past that, those heard of longest ago are forgotten.
VERSIONS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Hold:
    """Automatic action is stopped until a time; since when, and who said so. Seconds."""

    until: float
    reason: str
    since: float = 0.0
    by: str = ""

    def to_json(self) -> JsonObject:
        """Return it as JSON; times are seconds since the epoch."""
        return {"until": self.until, "reason": self.reason, "since": self.since, "by": self.by}


@dataclass(frozen=True, slots=True)
class VersionMarks:
    """What is known of one version. Times are seconds since the epoch.

    Parameters
    ----------
    healthy_windows
        Windows with a rule that said ok and none that said suspect or breach, since its last
        breach.
    healthy_at, blessed_at
        When it was last seen healthy, and when a person blessed it; None if never.
    quarantined_until
        Until when it is unfit; None if it is not.
    healthy_since
        When the first of its healthy windows was seen.
    breached_windows, breached_at
        Windows with a rule in breach, ever, and when the last was seen.
    reason, by
        Why a person blessed it or called it unfit, and who.
    """

    healthy_windows: int = 0
    healthy_at: float | None = None
    blessed_at: float | None = None
    quarantined_until: float | None = None
    reason: str = ""
    by: str = ""
    healthy_since: float | None = None
    breached_windows: int = 0
    breached_at: float | None = None

    @property
    def heard_at(self) -> float:
        """When something was last said of it."""
        return max(
            self.healthy_at or 0.0,
            self.blessed_at or 0.0,
            self.quarantined_until or 0.0,
            self.breached_at or 0.0,
        )

    @property
    def in_breach(self) -> bool:
        """Whether its last window that said anything was one of a breach."""
        return self.breached_at is not None and self.healthy_at is None

    def told(self, now: float) -> str:
        """Return in words how it did, as far as Kedge saw.

        Examples
        --------
        >>> VersionMarks(14, healthy_at=1_000.0, healthy_since=200.0).told(now=1_040.0)
        '14 healthy windows, last 40 s ago'
        """
        plural = "" if self.healthy_windows == 1 else "s"
        windows = f"{self.healthy_windows} healthy window{plural}"
        said = [windows if self.healthy_windows else "no healthy window seen"]
        for what, at in (
            ("last", self.healthy_at),
            ("in breach", self.breached_at),
            ("blessed", self.blessed_at),
        ):
            if at is not None:
                said.append(f"{what} {now - at:.0f} s ago")
        return ", ".join(said)


@dataclass(frozen=True, slots=True)
class Memory:
    """Marks by version, the hold, and when a person last let automatic action go on."""

    versions: Mapping[str, VersionMarks] = field(default_factory=dict)
    hold: Hold | None = None
    resumed_at: float = 0.0

    def marks(self, version: str) -> VersionMarks:
        """Return what is known of a version."""
        return self.versions.get(version, VersionMarks())

    def held(self, now: float) -> Hold | None:
        """Return the hold, unless it has run out."""
        return self.hold if self.hold is not None and now < self.hold.until else None

    def quarantined(self, version: str, now: float) -> bool:
        """Return whether a person called the version unfit, and that still holds."""
        until = self.marks(version).quarantined_until
        return until is not None and now < until

    def seen_healthy(self, version: str, now: float) -> Memory:
        """Count one more healthy window of a version."""
        marks = self.marks(version)
        return self._with(
            version,
            replace(
                marks,
                healthy_windows=marks.healthy_windows + 1,
                healthy_at=now,
                healthy_since=now if marks.healthy_since is None else marks.healthy_since,
            ),
        )

    def seen_in_breach(self, version: str, now: float) -> Memory:
        """Count a window in breach; a version is healthy no more, a person's blessing stays."""
        marks = self.marks(version)
        return self._with(
            version,
            replace(
                marks,
                healthy_windows=0,
                healthy_at=None,
                healthy_since=None,
                breached_windows=marks.breached_windows + 1,
                breached_at=now,
            ),
        )

    def blessed(self, version: str, now: float, reason: str = "", by: str = "") -> Memory:
        """Note that a person calls a version fit."""
        marks = replace(self.marks(version), reason=reason, by=by)
        return self._with(version, replace(marks, blessed_at=now, quarantined_until=None))

    def quarantine(self, version: str, until: float, reason: str = "", by: str = "") -> Memory:
        """Note that a person calls a version unfit; that takes a blessing back."""
        marks = replace(self.marks(version), reason=reason, by=by)
        return self._with(version, replace(marks, blessed_at=None, quarantined_until=until))

    def to_json(self) -> JsonObject:
        """Return it as JSON, to be kept with the store."""
        return {
            "versions": {
                version: {
                    "healthy_windows": marks.healthy_windows,
                    "healthy_at": marks.healthy_at,
                    "blessed_at": marks.blessed_at,
                    "quarantined_until": marks.quarantined_until,
                    "reason": marks.reason,
                    "by": marks.by,
                    "healthy_since": marks.healthy_since,
                    "breached_windows": marks.breached_windows,
                    "breached_at": marks.breached_at,
                }
                for version, marks in self.versions.items()
            },
            "hold": self.hold and self.hold.to_json(),
            "resumed_at": self.resumed_at,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Memory:
        """Read what `to_json` wrote."""
        return cls(
            versions={v: VersionMarks(**marks) for v, marks in data["versions"].items()},
            hold=Hold(**data["hold"]) if data["hold"] else None,
            resumed_at=float(data["resumed_at"]),
        )

    def _with(self, version: str, marks: VersionMarks) -> Memory:
        versions = {**self.versions, version: marks}
        if len(versions) > VERSIONS_MAX:
            oldest = min(versions, key=lambda v: (v == version, versions[v].heard_at))
            del versions[oldest]
        return replace(self, versions=versions)
