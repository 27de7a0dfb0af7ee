"""A trailing stretch of the live traffic as the reference, for each version its own.

Of each version a sample of runs of rows is kept (:mod:`monitor.traffic.run_sample`), and every
`refresh_s` of event time the reference is made anew of those that are at least `gap_s` and at most
``gap_s + length_s`` old. Runs from windows in which a rule saw a breach, or the suspicion of one,
do not enter it. Drift that is slow against `length_s` enters it bit by bit, and is not seen.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from collectors.batch import PredictionBatch
from detectors.columns.profile import Profile, VectorProfile
from detectors.columns.reference_error import ReferenceError as BadReference
from detectors.numerics.packing import PackingError
from detectors.reference.reference import Reference, ReferenceBuilder
from detectors.reference.reference_file import dump, load
from detectors.reference.season import Season, SeasonKind
from detectors.reference.season_builder import SeasonBuilder, SeasonResiduals
from monitor.references.trailing_state import (
    FORMAT,
    TrailingState,
    VersionState,
    decoded_run,
    encoded_run,
    merged,
)
from monitor.settings.quantities import TimeSpan
from monitor.traffic.run_sample import RunSample
from monitor.traffic.season_clock import SeasonClock
from monitor.traffic.traffic_runs import OpenRun, Run, kinds_of

log = logging.getLogger("kedge.references")

#: Names of what is kept in the store; runs by their number, the rest by the version's place.
TRAILING, RUN, OPEN, BUILT = (f"reference-{part}" for part in ("trailing", "run", "open", "built"))
#: Versions that are followed at once; the one that was silent for longest gives way.
VERSIONS_MAX: Final = 8
#: A first reference of fewer rows is not made: its bounds would be too wide to say anything.
ROWS_MIN: Final = 1_000
#: Runs that a reference is made of, at least. Rows of a run: a power of two.
RUNS_MIN: Final = 128
RUN_ROWS_MIN, RUN_ROWS_MAX = 32, 4_096


@dataclass(frozen=True, slots=True)
class TrailingSpec:
    """Which stretch of the traffic is the reference.

    Parameters
    ----------
    length_s, gap_s
        The stretch is ``[now - gap - length, now - gap)``, event time, seconds.
    refresh_s
        How often it moves on.
    events
        Rows that make a reference, at most.
    season, zone
        Which season it has, in which time zone; None for none.
    """

    length_s: float
    gap_s: float
    refresh_s: float
    events: int
    season: SeasonKind | None = None
    zone: str = "UTC"

    @property
    def run_rows(self) -> int:
        """Rows of a run."""
        fitting = max(RUN_ROWS_MIN, self.events // RUNS_MIN)
        return int(min(RUN_ROWS_MAX, 2 ** math.floor(math.log2(fitting))))

    @property
    def runs_max(self) -> int:
        """Runs of a reference."""
        return max(1, self.events // self.run_rows)


@dataclass(slots=True)
class _Followed:
    """What is kept of one version; `place` is the number of its names in the store."""

    place: int
    sample: RunSample
    now: float = -math.inf
    breaches: list[tuple[float, float]] = field(default_factory=list)
    reference: Reference | None = None
    built_at: float = -math.inf
    open: OpenRun | None = None
    passed_over: int = 0


class TrailingReferences:
    """References of the traffic of a while ago, made while it is counted.

    Parameters
    ----------
    spec
        Which stretch.
    points_max
        Distinct values kept over all number columns together.
    joint
        Whether correlations are learned.
    chance
        Uniform in ``[0, 1)``: decides which runs are kept.
    clock
        Seconds since the epoch, to date a reference.
    """

    def __init__(
        self,
        spec: TrailingSpec,
        points_max: int,
        *,
        joint: bool = True,
        chance: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._spec = spec
        self._points_max = points_max
        self._joint = joint
        self._chance = chance
        self._clock = clock
        self._versions: dict[str, _Followed] = {}  # the one heard of last stands last
        self._next_run = 0
        self._changed: dict[str, bytes | None] = {}
        self._open_changed: set[str] = set()
        self._dirty = False
        self.evicted_versions = 0

    def of(self, version: str) -> Reference | None:
        """Return the reference of a version, once there is traffic old enough."""
        followed = self._versions.get(version)
        return followed.reference if followed is not None else None

    def trouble(self, version: str) -> str:
        """Say what the first reference is waiting for."""
        followed = self._versions.get(version)
        if followed is None:
            return "no traffic of it is kept"
        return (
            f"{len(self._eligible(followed)) * self._spec.run_rows:,} of "
            f"{min(ROWS_MIN, self._spec.events):,} rows that are older than "
            f"{TimeSpan(self._spec.gap_s)} are kept"
        )

    def progress(self, version: str) -> str:  # noqa: ARG002 - the protocol's
        """Return nothing: no other reference serves a version meanwhile."""
        return ""

    def collect(self, batch: PredictionBatch) -> PredictionBatch:
        """Gather the rows of runs that are kept; return the batch, for all rows are counted."""
        followed = self._follow(batch.version)
        if followed.open is None and followed.passed_over >= batch.rows:
            followed.passed_over -= batch.rows
            return batch
        answered, start = batch.answered(), 0
        while start < answered.rows:
            if followed.open is None and not followed.passed_over:
                self._begin(followed, batch.version, float(answered.ts[start]))
            if followed.open is None:
                stop = min(answered.rows, start + followed.passed_over)
                followed.passed_over -= stop - start
            else:
                stop = min(answered.rows, start + self._spec.run_rows - followed.open.rows)
                followed.open.add(answered.take(slice(start, stop)))
                self._open_changed.add(batch.version)
                if followed.open.rows >= self._spec.run_rows:
                    self._keep(followed, followed.open.run())
            start = stop
        return batch

    def concluded(self, version: str, begins: float, ends: float, *, healthy: bool) -> None:
        """Move on to the end of a window, and make the reference anew when it is time."""
        followed = self._versions.get(version)
        if followed is None:
            return
        followed.now = max(followed.now, ends)
        if not healthy:
            followed.breaches = merged((begins, ends), followed.breaches)
        oldest = followed.now - self._spec.gap_s - self._spec.length_s
        followed.breaches = [one for one in followed.breaches if one[1] > oldest]
        # Rows are gathered before their windows close: only a wrong clock is ahead of ours.
        for number in followed.sample.expire(oldest, max(followed.now, self._clock())):
            self._changed[f"{RUN}-{number}"] = None
        self._dirty = True
        runs = self._eligible(followed)
        if self._is_due(followed, sum(run.rows for run in runs)):
            self._build(version, followed, runs)

    def renewed(self) -> bool:
        """Return False: a reference comes of the counting itself."""
        return False

    def schema(self) -> None:
        """Return None: columns are learned, so that a new one is in the next reference."""
        return

    def restore(self, states: Mapping[str, bytes]) -> None:
        """Take up the runs that were kept; of another configuration, only the references."""
        if TRAILING not in states:
            return
        try:
            self._restore(msgspec.msgpack.decode(states[TRAILING], type=TrailingState), states)
        except (msgspec.DecodeError, PackingError, BadReference, KeyError) as error:
            log.warning("the trailing reference starts anew: what was kept is damaged: %s", error)
            self._versions.clear()
        kept = {f"{RUN}-{n}" for one in self._versions.values() for n in one.sample.numbers()}
        runs = {name for name in states if name.startswith(f"{RUN}-")}
        self._changed |= dict.fromkeys(runs - kept)

    def changed(self) -> Mapping[str, bytes | None]:
        """Return runs that came and went, and the little that is kept about them."""
        for version in self._open_changed & self._versions.keys():
            followed = self._versions[version]
            name = f"{OPEN}-{followed.place}"
            opened = followed.open
            self._changed[name] = encoded_run(opened.run()) if opened is not None else None
        changed = self._changed
        if self._dirty or self._open_changed:
            changed[TRAILING] = msgspec.msgpack.encode(self._state())
        self._changed, self._open_changed, self._dirty = {}, set(), False
        return changed

    def _follow(self, version: str) -> _Followed:
        followed = self._versions.pop(version, None)
        if followed is None:
            if len(self._versions) >= VERSIONS_MAX:
                # A flood of versions must not push out one that has traffic.
                empty = (one for one, kept in self._versions.items() if not kept.sample.numbers())
                self._forget(next(empty, next(iter(self._versions))))
            places = {one.place for one in self._versions.values()}
            place = next(place for place in range(VERSIONS_MAX) if place not in places)
            followed = _Followed(place, self._sample())
        self._versions[version] = followed
        return followed

    def _forget(self, version: str) -> None:
        followed = self._versions.pop(version)
        for number in followed.sample.numbers():
            self._changed[f"{RUN}-{number}"] = None
        for name in (OPEN, BUILT):
            self._changed[f"{name}-{followed.place}"] = None
        self._dirty = True
        self.evicted_versions += 1

    def _sample(self) -> RunSample:
        return RunSample(self._spec.length_s, self._spec.runs_max)

    def _begin(self, followed: _Followed, version: str, ts: float) -> None:
        priority = self._chance()
        if followed.sample.wants(ts, priority):
            followed.open = OpenRun(version, priority)
        else:
            followed.passed_over = self._spec.run_rows

    def _keep(self, followed: _Followed, run: Run) -> None:
        number, followed.open = self._next_run, None
        self._next_run += 1
        self._changed[f"{RUN}-{number}"] = encoded_run(run)
        for gone in followed.sample.add(number, run):
            # One that was not written yet need not be deleted, but that does no harm.
            self._changed[f"{RUN}-{gone}"] = None

    def _eligible(self, followed: _Followed) -> list[Run]:
        ends = followed.now - self._spec.gap_s
        return [
            run
            for run in followed.sample.between(ends - self._spec.length_s, ends)
            if not any(begins <= run.at <= end for begins, end in followed.breaches)
        ]

    def _is_due(self, followed: _Followed, rows: int) -> bool:
        if rows < min(ROWS_MIN, self._spec.events):
            return False
        if followed.reference is None:
            return True
        # A first reference of little traffic is replaced as soon as there is twice as much.
        return (
            followed.now >= followed.built_at + self._spec.refresh_s
            or rows >= 2 * followed.reference.rows
        )

    def _build(self, version: str, followed: _Followed, runs: list[Run]) -> None:
        builder = ReferenceBuilder(self._points_max, joint=self._joint)
        kinds = kinds_of(runs)
        for run in runs:
            builder.add(
                {
                    name: column
                    for name, column in run.columns.items()
                    if isinstance(column, kinds[name])
                }
            )
        origin = f"trailing {TimeSpan(self._spec.length_s)} of version {version}"
        built = builder.build(self._clock(), origin)
        whole = _within_runs(built, self._spec.run_rows)
        followed.reference = replace(whole, season=self._season(whole, runs))
        followed.built_at = followed.now
        self._changed[f"{BUILT}-{followed.place}"] = dump(followed.reference)
        self._dirty = True
        log.info("version %s is compared with %d rows of %s", version, built.rows, origin)

    def _season(self, whole: Reference, runs: list[Run]) -> Season | None:
        spec = self._spec
        if spec.season is None:
            return None
        clock = SeasonClock(spec.season, spec.zone)
        slots = [clock.slots(run.ts) for run in runs]
        builder = SeasonBuilder(whole, spec.season, spec.zone)
        for of_run, run in zip(slots, runs, strict=True):
            builder.add(of_run, run.columns)
        residuals = SeasonResiduals(builder.season())
        for of_run, run in zip(slots, runs, strict=True):
            residuals.add(of_run, run.columns)
        season = residuals.season()
        cut = {slot: _within_runs(one, spec.run_rows) for slot, one in season.slots.items()}
        return replace(season, slots=cut)

    def _state(self) -> TrailingState:
        versions = [
            VersionState(
                version,
                one.place,
                one.now,
                one.built_at,
                one.breaches,
                one.sample.refused(),
                one.sample.numbers(),
            )
            for version, one in self._versions.items()
        ]
        spec = self._spec
        return TrailingState(
            FORMAT, spec.length_s, spec.run_rows, spec.runs_max, self._next_run, versions
        )

    def _restore(self, state: TrailingState, states: Mapping[str, bytes]) -> None:
        spec = self._spec
        same = (FORMAT, spec.length_s, spec.run_rows, spec.runs_max) == (
            *(state.format, state.length_s),
            *(state.run_rows, state.runs_max),
        )
        self._next_run = state.next_run
        for kept in state.versions:
            followed = _Followed(kept.place, self._sample(), kept.now, kept.breaches)
            built, opened = (states.get(f"{name}-{kept.place}") for name in (BUILT, OPEN))
            if built is not None:
                followed.reference, followed.built_at = load(built), kept.built_at
            if same:
                runs = [(number, decoded_run(states[f"{RUN}-{number}"])) for number in kept.runs]
                followed.sample.restore(runs, kept.refused)
                followed.open = OpenRun.of(decoded_run(opened)) if opened is not None else None
            else:
                # Sampled otherwise, runs cannot be put together with those that come.
                self._changed[f"{OPEN}-{kept.place}"] = None
            self._versions[kept.version] = followed


def _within_runs(reference: Reference, run_rows: int) -> Reference:
    """Leave out what longer blocks than a run say: they are of rows that were not neighbours."""

    def cut(profile: Profile) -> Profile:
        known = profile.dispersion
        if known is None or isinstance(profile, VectorProfile):
            return profile
        scales = tuple(scale for scale in known.scales if scale.rows <= run_rows)
        return replace(profile, dispersion=replace(known, scales=scales))

    columns = {name: cut(profile) for name, profile in reference.columns.items()}
    return replace(reference, columns=columns)
