"""Arrays in logs: embeddings become columns of vectors, in every format that may carry them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from collectors.batch import (
    VECTOR_DIMENSIONS_MAX,
    Decoded,
    NumberColumn,
    Schema,
    VectorColumn,
)
from collectors.formats.event_vectors import VECTOR_MIN
from collectors.formats.kedge import KedgeFormat
from tests.collectors.decoding import make

WIDE = [round(0.01 * i, 2) for i in range(VECTOR_MIN)]


def events(*features: dict[str, Any], prediction: object = 0.5) -> bytes:
    lines = [
        {"ts": 1.0 + i, "features": one, "prediction": prediction} for i, one in enumerate(features)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def column(decoded: Decoded, name: str) -> VectorColumn:
    (batch,) = decoded.batches
    found = batch.columns[name]
    assert isinstance(found, VectorColumn)
    return found


def test_an_array_of_numbers_is_a_vector_and_null_is_missing() -> None:
    lines = events({"text": [1, 0.5, 2e-3]}, {"text": None}, {}, {"text": [0.0, 0.0, -1.0]})

    decoded = KedgeFormat("m").decode(lines)

    found = column(decoded, "text")
    assert found.values[[0, 3]].tolist() == [[1.0, 0.5, 0.002], [0.0, 0.0, -1.0]]
    assert found.there().tolist() == [True, False, False, True]
    assert found.invalid_rows == ()
    assert not decoded.unknown_keys


@pytest.mark.parametrize(
    "wrong", [[1.0], [1.0, 2.0, 3.0], [], [1.0, "2"], [1.0, None], [True, 1.0], "1, 2", 3.5, {}]
)
def test_what_is_no_array_of_the_same_length_is_invalid(wrong: object) -> None:
    lines = events({"text": [1.0, 2.0]}, {"text": wrong}, {"text": [3.0, 4.0]})

    found = column(KedgeFormat("m").decode(lines), "text")

    assert found.invalid_rows == (1,)
    assert found.there().tolist() == [True, False, True]


@pytest.mark.parametrize("wrong", [[1.0, 2.0], [], ["a"]])
def test_an_array_fits_no_column_of_numbers(wrong: object) -> None:
    decoded = KedgeFormat("m").decode(events({"age": 41}, {"age": wrong}))

    (batch,) = decoded.batches
    age = batch.columns["age"]
    assert isinstance(age, NumberColumn)
    assert age.invalid_rows == (1,)


def test_the_length_of_the_first_array_holds_over_chunks_and_restarts() -> None:
    first, second = KedgeFormat("m"), KedgeFormat("m")
    first.decode(events({"text": [1.0, 2.0]}))

    second.learn(first.schema)
    found = column(second.decode(events({"text": [1.0]}, {"text": [3.0, 4.0]})), "text")

    assert first.schema == Schema({"text": "vector", "prediction": "number"}, {"text": 2})
    assert found.invalid_rows == (0,)


def test_an_array_longer_than_the_limit_makes_no_column_and_is_counted() -> None:
    lines = events({"image": [0.5] * (VECTOR_DIMENSIONS_MAX + 1)})

    decoded = KedgeFormat("m").decode(lines)

    assert list(decoded.batches[0].columns) == ["prediction"]
    assert decoded.unknown_keys == {"features.image": 1}


def test_rows_over_several_blocks_are_one_column() -> None:
    rows = np.random.default_rng(0).normal(size=(2_000, 16)).round(3)

    decoded = KedgeFormat("m").decode(events(*({"text": row.tolist()} for row in rows)))

    assert np.array_equal(column(decoded, "text").values, rows)


def test_a_long_array_as_prediction_is_a_vector_and_a_short_one_is_columns() -> None:
    long = KedgeFormat("m").decode(events({"age": 1}, {"age": 2}, prediction=WIDE))
    short = KedgeFormat("m").decode(events({"age": 1}, prediction=WIDE[:3]))

    assert column(long, "prediction").values.tolist() == [WIDE, WIDE]
    assert list(short.batches[0].columns) == ["age", *(f"prediction.{i}" for i in range(3))]


def test_a_reference_that_knows_the_parts_of_an_array_still_gets_them() -> None:
    parts = Schema({f"prediction.{i}": "number" for i in range(2)})

    decoded = KedgeFormat("m", parts).decode(events({}, prediction=WIDE))

    (batch,) = decoded.batches
    assert [batch.columns[name].values[0] for name in parts.columns] == WIDE[:2]


def v2(data: list[float], width: int) -> bytes:
    request = {"inputs": [{"name": "text", "shape": [2, width], "datatype": "FP32", "data": data}]}
    answer = {"outputs": [{"name": "y", "shape": [2], "datatype": "FP32", "data": [0.1, 0.2]}]}
    return json.dumps({"ts": 1.0, "request": request, "response": answer}).encode() + b"\n"


def test_a_wide_tensor_is_a_vector() -> None:
    decoded = make("v2").decode(v2([*WIDE, *WIDE[::-1]], VECTOR_MIN))

    assert column(decoded, "text").values.tolist() == [WIDE, WIDE[::-1]]


def test_a_narrow_tensor_stays_columns() -> None:
    decoded = make("v2").decode(v2([1.0, 2.0, 3.0, 4.0], 2))

    assert {"text.0", "text.1"} <= decoded.batches[0].columns.keys()


def exchange(*features: dict[str, Any]) -> bytes:
    line = {"ts": 1.0, "features": features, "predictions": [0.5] * len(features)}
    return json.dumps(line).encode() + b"\n"


def test_a_long_array_in_a_foreign_log_is_a_vector() -> None:
    decoded = make("exchange").decode(exchange({"text": WIDE}, {"text": [*WIDE[:-1], None]}))

    found = column(decoded, "text")
    assert found.values[0].tolist() == WIDE
    assert found.there().tolist() == [True, False]


def test_a_reference_that_knows_the_parts_of_a_feature_still_gets_them() -> None:
    format_ = make("exchange")
    format_.fix(Schema({f"text.{i}": "number" for i in range(VECTOR_MIN)}))

    (batch,) = format_.decode(exchange({"text": WIDE})).batches

    assert [batch.columns[f"text.{i}"].values[0] for i in range(VECTOR_MIN)] == WIDE


def test_rows_are_taken_and_picked_with_what_was_wrong_with_them() -> None:
    values = np.array([[1.0, 2.0], [np.nan, np.nan], [3.0, 4.0]])
    whole = VectorColumn(values, (1,))

    assert whole.take(slice(1, 3)).invalid_rows == (0,)
    assert whole.pick(np.array([2, 1])).invalid_rows == (1,)
    assert whole.pick(np.array([2, 1])).values[0].tolist() == [3.0, 4.0]
    assert whole.dimensions == 2


@pytest.mark.parametrize("first", [None, [], [None, 2.0]])
def test_a_column_is_known_by_its_first_array_that_is_not_empty(first: object) -> None:
    lines = events({"text": first}, {"text": [1.0, 2.0]})

    found = column(KedgeFormat("m").decode(lines), "text")

    assert found.there().tolist() == [False, True]
