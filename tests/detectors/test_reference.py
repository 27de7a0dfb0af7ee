"""References, their builder and their file."""

from __future__ import annotations

import hashlib
import struct
import zlib

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.batch import CategoryColumn, Column, NumberColumn
from detectors.columns.profile_builder import NumberBuilder
from detectors.columns.reference_error import ReferenceError  # noqa: A004 - the builtin is about weak references
from detectors.reference import reference_file
from detectors.reference.reference import (
    CategoryProfile,
    NumberProfile,
    Reference,
    ReferenceBuilder,
)
from tests.detectors.batches import NAMES, NUMBERS, reference_of


def number_profile(reference: Reference, name: str = "x") -> NumberProfile:
    profile = reference.columns[name]
    assert isinstance(profile, NumberProfile)
    return profile


@given(st.lists(st.lists(NUMBERS, max_size=30), min_size=1, max_size=5))
def test_few_distinct_values_are_all_kept(parts: list[list[float]]) -> None:
    builder = ReferenceBuilder()

    for part in parts:
        builder.add({"x": NumberColumn(np.array(part, np.float64))})

    profile = number_profile(builder.build(created=1.0, origin="test"))
    every = np.array([value for part in parts for value in part], np.float64)
    values, counts = np.unique(every[~np.isnan(every)], return_counts=True)
    assert profile.points.tolist() == values.tolist()
    assert profile.counts.tolist() == counts.tolist()
    assert profile.missing == np.isnan(every).sum()
    assert profile.rank_error == 0.0


@pytest.mark.parametrize("order", ["shuffled", "ascending"])
@pytest.mark.parametrize("law", ["normal", "half zeros", "few values"])
def test_thinning_keeps_the_ends_and_states_a_true_rank_error(order: str, law: str) -> None:
    random = np.random.default_rng(3)
    values = random.normal(size=60_000)
    if law == "half zeros":
        values[::2] = 0.0
    elif law == "few values":
        values = values.round(2)
    if order == "ascending":
        values.sort()
    builder = NumberBuilder(held_max=5_000)

    for part in np.split(values, 20):
        builder.add(NumberColumn(part))
    profile = builder.profile(1_000)

    points = np.unique(values)
    true = np.sort(values).searchsorted(points, "right") / values.size
    upto = np.concatenate(([0], np.cumsum(profile.counts))) / profile.rows
    claimed = upto[profile.points.searchsorted(points, "right")]
    assert profile.points.size <= 1_000
    assert (profile.points[0], profile.points[-1]) == (values.min(), values.max())
    assert profile.rows == values.size
    assert (claimed <= true + 1e-12).all()
    assert (true - claimed).max() <= profile.rank_error + 1e-12
    assert profile.rank_error < (0.05 if values.size else 1)


@pytest.mark.parametrize(
    ("columns", "points_max", "expected"),
    [(1, 500_000, 20_000), (2, 500_000, 20_000), (50, 100_000, 2_000), (5, 1_000, 1_000)],
)
def test_points_are_shared_out_over_the_number_columns(
    columns: int, points_max: int, expected: int
) -> None:
    builder = ReferenceBuilder(points_max)
    values = np.arange(25_000.0)

    builder.add({f"x{number}": NumberColumn(values) for number in range(columns)})

    reference = builder.build(created=0.0, origin="test")
    assert {number_profile(reference, name).points.size for name in reference.columns} == {expected}


def test_rare_categories_fold_into_other() -> None:
    names: list[str | None] = [f"v{number:04}" for number in range(1_200)]

    reference = reference_of({"c": CategoryColumn([*names, "v0000", None, None], (1_201,))})

    profile = reference.columns["c"]
    assert isinstance(profile, CategoryProfile)
    assert len(profile.values) == 1_000
    assert (profile.values[0], int(profile.counts[0])) == ("v0000", 2)
    assert (profile.other, profile.missing, profile.invalid) == (200, 1, 1)
    assert profile.rows == 1_201


def test_a_column_that_comes_late_or_goes_is_missing_meanwhile() -> None:
    builder = ReferenceBuilder()
    one = NumberColumn(np.array([1.0, 2.0]))

    builder.add({"x": one})
    builder.add({"x": one, "late": one})
    builder.add({"late": one})

    reference = builder.build(created=0.0, origin="test")
    assert reference.rows == 6
    assert reference.columns["x"].missing == 2
    assert reference.columns["late"].missing == 2


def test_a_column_that_changes_its_kind_is_refused() -> None:
    builder = ReferenceBuilder()
    builder.add({"x": NumberColumn(np.array([1.0]))})

    with pytest.raises(ReferenceError, match="held numbers before"):
        builder.add({"x": CategoryColumn(["a"])})


PARTS = st.lists(st.lists(st.tuples(NUMBERS, NAMES), max_size=20), min_size=1, max_size=4)


@given(PARTS, st.integers(0, 4))
def test_a_builder_restored_midway_makes_the_same_reference(
    parts: list[list[tuple[float, str | None]]], cut: int
) -> None:
    straight, restored = ReferenceBuilder(), ReferenceBuilder()

    for number, part in enumerate(parts):
        columns: dict[str, Column] = {
            "x": NumberColumn(np.array([x for x, _ in part], np.float64)),
            "c": CategoryColumn([name for _, name in part]),
        }
        straight.add(columns)
        restored.add(columns)
        if number == cut:
            restored = ReferenceBuilder.decode(restored.encode())

    assert restored.rows == straight.rows
    assert restored.build(0.0, "a").digest == straight.build(1.0, "b").digest


def test_the_digest_follows_the_content() -> None:
    one = reference_of({"x": NumberColumn(np.array([1.0, 2.0]))})
    same = reference_of({"x": NumberColumn(np.array([2.0, 1.0]))})
    other = reference_of({"x": NumberColumn(np.array([1.0, 2.5]))})

    assert one.digest == same.digest
    assert one.digest != other.digest
    assert len(one.digest) == 64


@given(PARTS)
def test_a_file_gives_back_what_was_written(parts: list[list[tuple[float, str | None]]]) -> None:
    rows = [row for part in parts for row in part]
    reference = reference_of(
        {
            "x": NumberColumn(np.array([x for x, _ in rows], np.float64)),
            "c": CategoryColumn([name for _, name in rows]),
        }
    )

    again = reference_file.load(reference_file.dump(reference))

    assert again.digest == reference.digest
    assert (again.rows, again.created, again.origin) == (len(rows), 0.0, "test")
    assert again.schema() == reference.schema()


REFERENCE = reference_of({"x": NumberColumn(np.arange(100.0)), "c": CategoryColumn(["a"] * 100)})
FILE = reference_file.dump(REFERENCE)


@given(st.integers(0, len(FILE) - 1))
def test_a_file_cut_off_anywhere_is_refused(length: int) -> None:
    with pytest.raises(ReferenceError):
        reference_file.load(FILE[:length])


@given(st.integers(0, len(FILE) - 1), st.integers(1, 255))
def test_a_file_with_a_flipped_byte_is_refused(position: int, flip: int) -> None:
    damaged = bytearray(FILE)
    damaged[position] ^= flip

    with pytest.raises(ReferenceError):
        reference_file.load(bytes(damaged))


def forged(body: object, version: int = 1) -> bytes:
    packed = zlib.compress(msgspec.msgpack.encode(body))
    return struct.pack("<8sI32s", b"KEDGEREF", version, hashlib.sha256(packed).digest()) + packed


def vector(step: float = 1.0, sums: int = 2, products: int = 4, rows: int = 3) -> list[object]:
    """Two numbers a row, at most one row sampled."""
    center = ["f8", np.zeros(2).tobytes()]
    sample = np.zeros((1, 2), np.int16).tobytes()
    return ["vector", center, step, rows, bytes(8 * sums), bytes(8 * products), sample, 0, 0]


def number(points: list[float], counts: list[int]) -> list[object]:
    return [
        "number",
        ["f8", np.array(points).tobytes()],
        ["i8", np.array(counts, np.int64).tobytes()],
        0,
        0,
        0.0,
    ]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (number([2.0, 1.0], [1, 1]), "ascending"),
        (number([1.0, 1.0], [1, 1]), "ascending"),
        (number([1.0, float("nan")], [1, 1]), "ascending"),
        (number([1.0, 2.0], [1, -1]), "negative"),
        (number([1.0, 2.0], [1]), "one count a point"),
        (["number", ["f8", b"123"], ["u1", b""], 0, 0, 0.0], "whole number"),
        (["category", ["a", "a"], ["u1", b"\x01\x01"], 0, 0, 0], "distinct"),
        (["category", ["a"], ["u1", b"\x01"], -1, 0, 0], "negative"),
        (["embedding"], "cannot be read"),
        (vector(step=float("inf")), "axes"),
        (vector(sums=1), "cut off"),
        (vector(products=3), "cut off"),
        (vector(rows=0), "does not fit its rows"),
    ],
    ids=[
        "unsorted points",
        "repeated points",
        "NaN point",
        "negative count",
        "too few counts",
        "half an element",
        "repeated value",
        "negative other",
        "unknown kind",
        "vectors without a step",
        "too few sums",
        "too few products",
        "a sample of no rows",
    ],
)
def test_inconsistent_files_are_refused(column: list[object], message: str) -> None:
    body = {"rows": 2, "created": 0.0, "origin": "forged", "columns": {"x": column}}

    with pytest.raises(ReferenceError, match=message):
        reference_file.load(forged(body))


def test_a_file_of_a_later_version_says_so() -> None:
    with pytest.raises(ReferenceError, match="version 4, this program reads up to 3"):
        reference_file.load(forged({}, version=4))


def test_another_file_is_refused_with_what_to_do() -> None:
    with pytest.raises(ReferenceError, match="kedge reference build"):
        reference_file.load(b"PAR1 and so on")


def test_a_file_that_inflates_beyond_the_limit_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reference_file, "INFLATED_MAX", 100)

    with pytest.raises(ReferenceError, match="more than 100 bytes"):
        reference_file.load(FILE)
