"""The reference: what a model's columns looked like when all was well, and how it is collected."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from collectors.batch import CategoryColumn, NumberColumn, Schema
from detectors.columns.profile import CategoryProfile, NumberProfile, Profile, VectorProfile
from detectors.columns.profile_builder import (
    CategoryBuilder,
    CategoryBuilderState,
    NumberBuilder,
    NumberBuilderState,
)
from detectors.columns.reference_error import ReferenceError  # noqa: A004 - the builtin is about weak references
from detectors.columns.vector_builder import VectorBuilder, VectorBuilderState
from detectors.joint.builder import JointBuilder, JointBuilderState
from detectors.joint.row_sample import RowSample, RowSampleState
from detectors.numerics.packing import PackingError
from detectors.performance.estimators import LABEL, Estimators, labels_column, learn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from collectors.batch import Column
    from collectors.labels import Scalar
    from detectors.joint.profile import JointProfile
    from detectors.performance.performance import Reading
    from detectors.reference.season import Season

__all__ = [
    "CategoryProfile",
    "NumberProfile",
    "Reference",
    "ReferenceBuilder",
    "ReferenceError",
]

#: Distinct points that a reference keeps over all its number columns together: 8 MB in memory.
POINTS_MAX = 500_000
#: Bounds of what one number column gets of it. 20,000 quantile points leave a rank error of
#: 5e-5, and 1,000 of 1e-3: both below what a window of a usual size can tell.
COLUMN_POINTS_MIN = 1_000
COLUMN_POINTS_MAX = 20_000
#: Category values that a column keeps by name.
VALUES_MAX = 1_000
#: While collecting, a column may hold this many times the points that it ends with.
_COLLECTING_FACTOR = 32


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """Profiles of all columns of a healthy model.

    Parameters
    ----------
    columns
        Profile by column name, features and the prediction alike.
    rows
        Rows that it was made of.
    created
        When, seconds since the epoch.
    origin
        Of what: a path, a registry address, ``"first"``.
    estimators
        What the rows say of the prediction and, with labels, of performance; None of a reference
        that was built before there were any.
    joint
        What its number columns have in common; None where it was not learned.
    """

    columns: Mapping[str, Profile]
    rows: int
    created: float
    origin: str
    estimators: Estimators | None = None
    season: Season | None = None
    """The same by the hour of the day or the week; None without a season."""
    joint: JointProfile | None = None
    segments: Mapping[str, Reference] = field(default_factory=dict)
    """References of parts of the rows, by segment (``country=DE``); not in the digest, because
    what is counted against one of them is marked with its own."""
    digest: str = field(init=False)
    """Hex SHA-256 of the profiles: what counts against this reference are marked with. Counts of
    several columns have a mark of their own."""

    def __post_init__(self) -> None:
        digest = _digest(self.columns, self.rows)
        if self.season is not None:
            slots = [(slot, one.digest) for slot, one in sorted(self.season.slots.items())]
            parts = (digest, self.season.kind, self.season.zone, slots)
            digest = hashlib.sha256(msgspec.msgpack.encode(parts)).hexdigest()
        object.__setattr__(self, "digest", digest)

    def schema(self) -> Schema:
        """Columns and their kinds, for a format to decode."""
        return Schema(
            {name: profile.kind for name, profile in self.columns.items()},
            {
                name: profile.axes.dimensions
                for name, profile in self.columns.items()
                if isinstance(profile, VectorProfile)
            },
        )


def _digest(columns: Mapping[str, Profile], rows: int) -> str:
    digest = hashlib.sha256(msgspec.msgpack.encode(rows))
    for name in sorted(columns):
        profile = columns[name]
        digest.update(msgspec.msgpack.encode((name, profile.kind, profile.missing)))
        digest.update(msgspec.msgpack.encode(profile.invalid))
        if isinstance(profile, VectorProfile):
            axes = profile.axes
            digest.update(axes.center.astype("<f8").tobytes())
            digest.update(msgspec.msgpack.encode((axes.step, profile.rows)))
            digest.update(profile.products.astype("<i8").tobytes())
            digest.update(profile.sample.astype("<i2").tobytes())
            continue
        digest.update(profile.counts.astype("<i8").tobytes())
        if isinstance(profile, NumberProfile):
            digest.update(profile.points.astype("<f8").tobytes())
            digest.update(msgspec.msgpack.encode(profile.rank_error))
        else:
            digest.update(msgspec.msgpack.encode((profile.values, profile.other)))
    return digest.hexdigest()


class _BuilderState(msgspec.Struct, array_like=True, frozen=True):
    format: int
    rows: int
    points_max: int
    numbers: dict[str, NumberBuilderState]
    categories: dict[str, CategoryBuilderState]
    in_order: bool = True
    sample: RowSampleState | None = None
    joint: JointBuilderState | None = None
    vectors: dict[str, VectorBuilderState] = {}


#: Format 1 had no dispersions: a builder that goes on from it collects none for its columns.
_BUILDER_FORMAT = 2
_BUILDER_FORMATS_KNOWN = (1, 2)


class ReferenceBuilder:
    """Collects columns, batch by batch, and makes a reference of them.

    Exact while a number column has few distinct values; past 32 times the points that it may end
    with, it is thinned on the way and `NumberProfile.rank_error` grows. So memory stays below about
    256 MB (16 bytes a held point) however many rows and columns there are. How much blocks of rows
    differ (`NumberProfile.dispersion`) is collected beside it, in 100 kB a column: it is learned
    from the order of the rows, which ought to be that of the traffic. A sample of whole rows is
    kept for what single columns cannot tell (:mod:`detectors.performance.estimators`).

    Parameters
    ----------
    points_max
        Points to keep, over all number columns. Each gets
        ``max(1000, min(20_000, points_max // number_columns))``.
    in_order
        Whether rows come in the order of the traffic. Of a shuffled or sorted table they do not,
        and nothing is learned of how blocks of them differ.
    joint
        Whether to learn what number columns have in common; without it correlations are unknown.

    Examples
    --------
    >>> import numpy as np
    >>> builder = ReferenceBuilder()
    >>> builder.add({"age": NumberColumn(np.array([30.0, 40.0, 30.0]))})
    >>> reference = builder.build(created=0.0, origin="example")
    >>> reference.rows, reference.columns["age"].counts.tolist()
    (3, [2, 1])
    """

    def __init__(
        self, points_max: int = POINTS_MAX, *, in_order: bool = True, joint: bool = True
    ) -> None:
        self._points_max = points_max
        self._in_order = in_order
        self._numbers: dict[str, NumberBuilder] = {}
        self._categories: dict[str, CategoryBuilder] = {}
        self._vectors: dict[str, VectorBuilder] = {}
        self._sample: RowSample | None = RowSample()
        self._joint = JointBuilder(in_order=in_order) if joint else None
        self.rows = 0

    def add(
        self, columns: Mapping[str, Column], labels: Sequence[Scalar | None] | None = None
    ) -> None:
        """Count the rows of `columns`; a column seen before and absent now is missing in them.

        Parameters
        ----------
        labels
            What came true, a row each, None where it is not known.

        Raises
        ------
        ReferenceError
            If a column was of another kind before.
        """
        rows = max((len(column.values) for column in columns.values()), default=0)
        for name, column in columns.items():
            if isinstance(column, NumberColumn):
                self._number(name).add(column)
            elif isinstance(column, CategoryColumn):
                self._category(name).add(column)
            else:
                self._vector(name).add(column)
        self._miss(columns, rows)
        if self._sample is not None:
            beside = {} if labels is None else {LABEL: labels_column(labels)}
            self._sample.add({**columns, **beside})
        if self._joint:
            self._joint.add(columns, rows)
        self.rows += rows

    def build(self, created: float, origin: str, reading: Reading | None = None) -> Reference:
        """Make the reference of all rows added; the builder may go on afterwards.

        Parameters
        ----------
        created, origin
            As in :class:`Reference`.
        reading
            How predictions and labels are read as outcomes.
        """
        points_max = self._column_points_max()
        profiles: dict[str, Profile] = {
            name: column.profile(points_max) for name, column in self._numbers.items()
        }
        profiles |= {name: column.profile(VALUES_MAX) for name, column in self._categories.items()}
        profiles |= {name: column.profile() for name, column in self._vectors.items()}
        estimators = None if self._sample is None else learn(self._sample, reading)
        joint = self._joint.profile() if self._joint else None
        return Reference(profiles, self.rows, created, origin, estimators, joint=joint)

    def encode(self) -> bytes:
        """Everything collected so far, for the store."""
        state = _BuilderState(
            _BUILDER_FORMAT,
            self.rows,
            self._points_max,
            {name: column.state() for name, column in self._numbers.items()},
            {name: column.state() for name, column in self._categories.items()},
            self._in_order,
            None if self._sample is None else self._sample.state(),
            self._joint.state() if self._joint else None,
            {name: column.state() for name, column in self._vectors.items()},
        )
        return msgspec.msgpack.encode(state)

    @classmethod
    def decode(cls, data: bytes) -> ReferenceBuilder:
        """Go on where `encode` stood.

        Raises
        ------
        ReferenceError
            If `data` is damaged, or of a version that this program does not know.
        """
        try:
            state = msgspec.msgpack.decode(data, type=_BuilderState)
            if state.format not in _BUILDER_FORMATS_KNOWN:
                raise ReferenceError(
                    f"cannot go on collecting a reference: its stored state has format "
                    f"{state.format}, this program knows {_BUILDER_FORMAT}; start it afresh"
                )
            builder = cls(state.points_max, in_order=state.in_order)
            builder._numbers = {
                name: NumberBuilder.of_state(kept) for name, kept in state.numbers.items()
            }
            builder._categories = {
                name: CategoryBuilder.of_state(kept) for name, kept in state.categories.items()
            }
            builder._vectors = {
                name: VectorBuilder.of_state(kept) for name, kept in state.vectors.items()
            }
            kept_rows = state.sample
            builder._sample = None if kept_rows is None else RowSample.of_state(kept_rows)
            builder._joint = JointBuilder.of_state(state.joint) if state.joint else None
        except (msgspec.DecodeError, PackingError) as error:
            raise ReferenceError(
                f"cannot go on collecting a reference: its stored state is damaged ({error})"
            ) from error
        builder.rows = state.rows
        return builder

    def _number(self, name: str) -> NumberBuilder:
        self._refuse_other(name, self._numbers, "numbers")
        if name not in self._numbers:
            self._numbers[name] = NumberBuilder(self.rows, in_order=self._in_order)
        held_max = _COLLECTING_FACTOR * self._column_points_max()
        self._numbers[name].held_max = held_max
        return self._numbers[name]

    def _category(self, name: str) -> CategoryBuilder:
        self._refuse_other(name, self._categories, "categories")
        if name not in self._categories:
            self._categories[name] = CategoryBuilder(self.rows, in_order=self._in_order)
        return self._categories[name]

    def _vector(self, name: str) -> VectorBuilder:
        self._refuse_other(name, self._vectors, "vectors")
        if name not in self._vectors:
            self._vectors[name] = VectorBuilder(self.rows)
        return self._vectors[name]

    def _refuse_other(self, name: str, own: Mapping[str, object], now: str) -> None:
        if name in own:
            return
        for before, columns in (
            ("numbers", self._numbers),
            ("categories", self._categories),
            ("vectors", self._vectors),
        ):
            if name in columns:
                raise ReferenceError(f"column {name!r} held {before} before, and {now} now")

    def _miss(self, columns: Mapping[str, Column], rows: int) -> None:
        for kept in (self._numbers, self._categories, self._vectors):
            for name, column in kept.items():
                if name not in columns:
                    column.miss(rows)

    def _column_points_max(self) -> int:
        share = self._points_max // max(1, len(self._numbers))
        return max(COLUMN_POINTS_MIN, min(COLUMN_POINTS_MAX, share))
