"""Every change detector that a rule may name, and what each is told.

The names of parameters are river's, where it has them; the defaults are ours wherever river's
alarm on streams in which nothing changes (docs/statistics.md has the figures). Reading this table
imports no detector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from detectors.change.change import ChangeDetector

#: What is watched: a column's numbers, whether it is missing, or something of the request.
Subject: TypeAlias = Literal["values", "missing", "latency", "errors", "loss"]
Direction: TypeAlias = Literal["up", "down", "both"]
#: On which scale a detector takes its values.
Scaling: TypeAlias = Literal["raw", "standardised", "unit"]

#: Subjects that a column has; the others are of the whole traffic.
COLUMN_SUBJECTS = frozenset({"values", "missing"})
#: Subjects whose values are zeros and ones. So is the loss, where classes are predicted.
BINARY_SUBJECTS = frozenset({"missing", "errors"})
_NUMBERS: frozenset[Subject] = frozenset({"values", "latency", "loss"})
_BINARY: frozenset[Subject] = frozenset({"missing", "errors", "loss"})

#: Share of one core that the values of one stream may cost, in traffic of their own time.
COST_SHARE = 0.05


class Parameters(Protocol):
    """What a kind of detector is told; a frozen dataclass of numbers."""

    subjects: ClassVar[frozenset[Subject]]
    scaling: ClassVar[Scaling]
    value_cost_us: ClassVar[float]
    rises_only: ClassVar[bool]

    def build(self, *, two_sided: bool) -> ChangeDetector:
        """Make the detector; imports what it needs."""


def _within(parameters: object, **bounds: tuple[float, float]) -> None:
    """Refuse parameters outside their bounds, each by name.

    Raises
    ------
    ValueError
        ``NAME: expected a number from A to B, got C``.
    """
    for name, (least, most) in bounds.items():
        value = getattr(parameters, name)
        if not least <= value <= most:
            raise ValueError(f"{name}: expected a number from {least:g} to {most:g}, got {value:g}")


@dataclass(frozen=True, slots=True)
class Adwin:
    """ADWIN: a mean that is not what it was."""

    delta: float = 0.002
    clock: int = 32
    min_window_length: int = 5
    grace_period: int = 10
    subjects: ClassVar = _NUMBERS | _BINARY
    scaling: ClassVar[Scaling] = "unit"
    value_cost_us: ClassVar = 0.5
    rises_only: ClassVar = False

    def __post_init__(self) -> None:
        _within(
            self,
            delta=(1e-12, 0.1),
            clock=(1, 10_000),
            min_window_length=(1, 10_000),
            grace_period=(1, 1_000_000),
        )

    def build(self, *, two_sided: bool) -> ChangeDetector:  # noqa: ARG002 - it always is
        """Make the detector."""
        from detectors.change import river_detectors  # noqa: PLC0415 - it brings in river

        return river_detectors.Adwin(**asdict(self))


@dataclass(frozen=True, slots=True)
class PageHinkley:
    """Page-Hinkley: values that stayed off their mean for long enough, in spreads of the stream.

    River forgets (alpha = 0.9999), which makes its delta ineffective, and takes delta = 0.005 and
    threshold = 50 in the values' own unit: 390 to 620 alarms on a million values without a change.
    """

    delta: float = 0.1
    threshold: float = 100.0
    alpha: float = 1.0
    min_instances: int = 30
    subjects: ClassVar = _NUMBERS | _BINARY
    scaling: ClassVar[Scaling] = "standardised"
    value_cost_us: ClassVar = 1.0
    rises_only: ClassVar = False

    def __post_init__(self) -> None:
        _within(
            self,
            delta=(0.0, 10.0),
            threshold=(1.0, 1e6),
            alpha=(0.9, 1.0),
            min_instances=(1, 1_000_000),
        )

    def build(self, *, two_sided: bool) -> ChangeDetector:  # noqa: ARG002 - direction is told after
        """Make the detector."""
        from detectors.change import river_detectors  # noqa: PLC0415 - it brings in river

        return river_detectors.PageHinkley(**asdict(self))


@dataclass(frozen=True, slots=True)
class Kswin:
    """KSWIN: a distribution that is not what it was some hundred values ago.

    River's 0.005 for 30 of 100 values alarms 1,250 times in a million without a change.
    """

    alpha: float = 1e-7
    window_size: int = 300
    stat_size: int = 100
    seed: int = 0
    subjects: ClassVar = _NUMBERS
    scaling: ClassVar[Scaling] = "raw"
    value_cost_us: ClassVar = 100.0
    rises_only: ClassVar = False

    def __post_init__(self) -> None:
        _within(
            self,
            alpha=(1e-12, 0.05),
            stat_size=(10, 1_000),
            window_size=(2 * self.stat_size, 10_000),
            seed=(0, 2**31),
        )

    def build(self, *, two_sided: bool) -> ChangeDetector:  # noqa: ARG002 - as above
        """Make the detector."""
        from detectors.change import river_detectors  # noqa: PLC0415 - it brings in river

        return river_detectors.Kswin(**asdict(self))


@dataclass(frozen=True, slots=True)
class Ddm:
    """DDM: an error rate that rose above the lowest one.

    After river's 30 values the lowest rate is often 0, and the first error a change: up to 40
    alarms in a million values without one.
    """

    warm_start: int = 1_000
    drift_threshold: float = 5.0
    subjects: ClassVar = _BINARY
    scaling: ClassVar[Scaling] = "raw"
    value_cost_us: ClassVar = 1.0
    rises_only: ClassVar = True

    def __post_init__(self) -> None:
        _within(self, warm_start=(1, 1_000_000), drift_threshold=(1.0, 100.0))

    def build(self, *, two_sided: bool) -> ChangeDetector:  # noqa: ARG002 - it has one side
        """Make the detector."""
        from detectors.change import river_binary  # noqa: PLC0415 - it brings in river

        return river_binary.Ddm(**asdict(self))


@dataclass(frozen=True, slots=True)
class Eddm:
    """EDDM: errors that follow sooner on one another.

    River's 0.9 after 30 errors alarms up to 60 times in a million values without a change.
    """

    warm_start: int = 300
    beta: float = 0.5
    subjects: ClassVar = _BINARY
    scaling: ClassVar[Scaling] = "raw"
    value_cost_us: ClassVar = 1.0
    rises_only: ClassVar = True

    def __post_init__(self) -> None:
        _within(self, warm_start=(1, 1_000_000), beta=(0.01, 0.99))

    def build(self, *, two_sided: bool) -> ChangeDetector:  # noqa: ARG002 - it has one side
        """Make the detector."""
        from detectors.change import river_binary  # noqa: PLC0415 - it brings in river

        return river_binary.Eddm(**asdict(self))


@dataclass(frozen=True, slots=True)
class HddmA:
    """HDDM_A: an error rate that is not what it was, by Hoeffding's bound."""

    drift_confidence: float = 1e-6
    subjects: ClassVar = _BINARY
    scaling: ClassVar[Scaling] = "raw"
    value_cost_us: ClassVar = 20.0
    rises_only: ClassVar = False

    def __post_init__(self) -> None:
        _within(self, drift_confidence=(1e-12, 0.1))

    def build(self, *, two_sided: bool) -> ChangeDetector:
        """Make the detector."""
        from detectors.change import river_binary  # noqa: PLC0415 - it brings in river

        return river_binary.HddmA(**asdict(self), two_sided=two_sided)


@dataclass(frozen=True, slots=True)
class HddmW:
    """HDDM_W: a recent error rate that is not what it was, by McDiarmid's bound.

    River's 0.001 with lambda 0.05 alarms 470 times in a million values of which 30 % are errors.
    """

    drift_confidence: float = 1e-7
    lambda_val: float = 0.01
    subjects: ClassVar = _BINARY
    scaling: ClassVar[Scaling] = "raw"
    value_cost_us: ClassVar = 10.0
    rises_only: ClassVar = False

    def __post_init__(self) -> None:
        _within(self, drift_confidence=(1e-12, 0.1), lambda_val=(1e-4, 0.5))

    def build(self, *, two_sided: bool) -> ChangeDetector:
        """Make the detector."""
        from detectors.change import river_binary  # noqa: PLC0415 - it brings in river

        return river_binary.HddmW(**asdict(self), two_sided=two_sided)


#: Detectors by the name that a rule gives as its metric.
CHANGE_KINDS: Mapping[str, Callable[..., Parameters]] = {
    "adwin": Adwin,
    "kswin": Kswin,
    "page_hinkley": PageHinkley,
    "ddm": Ddm,
    "eddm": Eddm,
    "hddm_a": HddmA,
    "hddm_w": HddmW,
}


@dataclass(frozen=True, slots=True)
class ChangeSpec:
    """Which change a rule looks for.

    Parameters
    ----------
    kind
        One of `CHANGE_KINDS`.
    subject
        What is watched.
    columns
        Patterns of columns, for the subjects that a column has.
    direction
        Which changes count: values that became larger, smaller, or both.
    parameters
        What the detector is told.
    per_second_max
        Values a second of event time that it looks at; 0 for as many as cost `COST_SHARE`.
    """

    kind: str
    subject: Subject
    columns: tuple[str, ...]
    direction: Direction
    parameters: Parameters
    per_second_max: int = 0

    @property
    def metric(self) -> str:
        """Name of what it measures: ``adwin`` of columns' values, ``adwin_latency``, …."""
        return metric_name(self.kind, self.subject)

    @property
    def of_binary(self) -> bool:
        """Whether it takes nothing but zeros and ones."""
        return not self.parameters.subjects & _NUMBERS - {"loss"}

    @property
    def values_per_second_max(self) -> int:
        """Values a second of event time that it looks at."""
        cost_s = self.parameters.value_cost_us / 1e6
        return self.per_second_max or max(1, round(COST_SHARE / cost_s))

    def watches(self, column: str | None) -> bool:
        """Whether it watches a column; None stands for what is of no column."""
        if column is None:
            return not self.columns
        return any(fnmatchcase(column, pattern) for pattern in self.columns)

    def continues(self, before: ChangeSpec, column: str | None) -> bool:
        """Whether a stream that was watched as `before` said may go on."""
        return self.identity() == before.identity() and self.watches(column)

    def identity(self) -> str:
        """Whatever, when it is another, makes what was remembered useless."""
        return f"{self.kind} {self.subject} {self.direction} {self.parameters!r}"


def metric_name(kind: str, subject: Subject) -> str:
    """Name of the metric of a detector of `kind` that watches `subject`."""
    return kind if subject == "values" else f"{kind}_{subject}"


def default_direction(subject: Subject) -> Direction:
    """Which changes matter: worse is up, except of values, of which nobody knows."""
    return "both" if subject == "values" else "up"


def parameter_names(kind: str) -> list[str]:
    """Names of what a kind may be told."""
    made = CHANGE_KINDS[kind]()
    return [field.name for field in fields(made)]  # type: ignore[arg-type]  # they are dataclasses


#: What rules on changes measure.
CHANGE_METRICS = frozenset(
    metric_name(kind, subject) for kind, make in CHANGE_KINDS.items() for subject in make().subjects
)
#: Those that come with labels, in windows of their own.
LOSS_METRICS = frozenset(metric for metric in CHANGE_METRICS if metric.endswith("_loss"))
