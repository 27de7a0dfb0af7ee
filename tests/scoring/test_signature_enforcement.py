"""What a signature makes of the data of a request; the rules were measured on MLflow's server."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.protocol.params import check_params
from scoring.protocol.plan import compile_plan
from scoring.protocol.protocol import Arrays, Csv, Records, RequestData, ScoringError, Split
from scoring.protocol.signature import ParamSpec, Signature, SignatureError, parse_signature
from scoring.protocol.table import Block

DOUBLES = [{"type": "double", "name": name, "required": True} for name in "abc"]


def signature_of(*columns: dict[str, Any]) -> Signature:
    return parse_signature({"signature": {"inputs": json.dumps(columns)}})


def column(kind: str, name: str = "x", *, required: bool = True) -> dict[str, Any]:
    return {"type": kind, "name": name, "required": required}


def cells(kind: str, values: list[Any]) -> list[Any]:
    table = compile_plan(signature_of(column(kind)), arrays=True).table(
        Split(["x"], [[value] for value in values])
    )
    return [row["x"] for row in table.features()]


def code(plan_of: Signature, data: RequestData) -> str:
    with pytest.raises(ScoringError) as refused:
        compile_plan(plan_of, arrays=True).table(data)
    return refused.value.code


#: Eighths have few digits: pandas' quick reader of CSV may miss the last one of others.
numbers = st.integers(-8000, 8000).map(lambda eighths: eighths / 8)
rows = st.lists(st.tuples(numbers, numbers, numbers).map(list), min_size=1, max_size=5)


@settings(deadline=None)  # the first example imports pandas
@given(rows, st.permutations(range(3)))
def test_the_same_rows_make_the_same_table_however_they_are_sent(
    sent: list[list[float]], order: list[int]
) -> None:
    plan = compile_plan(signature_of(*DOUBLES), arrays=True)
    names = ["abc"[place] for place in order]
    shuffled = [[row[place] for place in order] for row in sent]
    records = [dict(zip(names, row, strict=True)) for row in shuffled]
    columns = {name: [record[name] for record in records] for name in names}

    tables = [
        plan.table(data)
        for data in (
            Split(names, shuffled),
            Split([*names, "more"], [[*row, "text"] for row in shuffled]),
            Records(records),
            Records([{**record, "more": None} for record in records]),
            Arrays(records, by_row=True),
            Arrays(records, by_row=False),
            Arrays(columns, by_row=True),
            Arrays(columns, by_row=False),
            Csv(",".join(names) + "\n" + "\n".join(",".join(map(repr, r)) for r in shuffled)),
        )
    ]

    for table in tables:
        assert isinstance(table, Block)
        np.testing.assert_array_equal(table.values, np.array(sent))


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("double", [1, 2.5, True, "3.5"], [1.0, 2.5, 1.0, 3.5]),
        ("float", [0.5], [0.5]),
        ("long", [1, 4.75, True, "7"], [1, 4, 1, 7]),
        ("integer", [-3], [-3]),
        ("boolean", [True, 0, "false", None], [True, False, True, False]),
        ("string", ["a", 3, None], ["a", 3, None]),
        ("binary", ["aGk="], [b"hi"]),
        ("datetime", ["2026-11-21T10:00:00"], ["2026-11-21T10:00:00.000000000"]),
        ("array", [[1, 2]], [[1, 2]]),
    ],
)
def test_cells_become_what_the_signature_states(
    kind: str, values: list[Any], expected: list[Any]
) -> None:
    assert cells(kind, values) == expected


def test_null_in_a_double_is_nan_and_the_affair_of_the_model() -> None:
    assert math.isnan(cells("double", [None])[0])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("double", "x"),
        ("double", [1]),
        ("double", {"y": 1}),
        ("long", None),
        ("long", "4.75"),
        ("long", 2**63),
        ("integer", 2**31),
        ("binary", 3),
        ("datetime", "no time"),
    ],
)
def test_a_cell_that_cannot_be_converted_is_a_bad_request(kind: str, value: object) -> None:
    assert code(signature_of(column(kind)), Split(["x"], [[value]])) == "BAD_REQUEST"


def test_a_time_with_a_zone_is_an_invalid_parameter() -> None:
    zoned = Split(["x"], [["2026-11-21T10:00:00+01:00"]])

    assert code(signature_of(column("datetime")), zoned) == "INVALID_PARAMETER_VALUE"


@pytest.mark.parametrize(
    "data",
    [
        Split(["a", "b"], [[1, 2]]),
        Split(None, [[1, 2, 3]]),
        Split(["a"], [[1], [2]], index=["x", "y"]),
        Records([1]),
        Split(["a", "a", "b", "c"], [[1, 1, 2, 3]]),
        Records([]),
        Records([{"a": 1, "b": 2}]),
        Arrays([[1, 2, 3]], by_row=False),
        Arrays([], by_row=False),
        Arrays({}, by_row=False),
        Arrays(3, by_row=False),
        Arrays(None, by_row=False),
        Arrays({"a": [1], "b": [2]}, by_row=True),
        Arrays({"a": [1, 2], "b": [2], "c": [3]}, by_row=False),
        Arrays({"a": [[1]], "b": [[2]], "c": [[3]]}, by_row=False),
        Csv("a,b\n1,2\n"),
    ],
)
def test_a_missing_input_is_an_invalid_parameter(data: RequestData) -> None:
    assert code(signature_of(*DOUBLES), data) == "INVALID_PARAMETER_VALUE"


@pytest.mark.parametrize("kind", ["boolean", "datetime", "double"])
def test_strings_in_columns_without_names_are_not_converted(kind: str) -> None:
    by_name = Arrays([{"any": "2026-11-21"}], by_row=True)

    assert code(signature_of({"type": kind}), by_name) == "INVALID_PARAMETER_VALUE"


@pytest.mark.parametrize(
    "data",
    [
        Split(["a", "b", "c"], [[1, 2, 3, 4]]),
        Split(["a", "b", "c"], [1, [1, 2, 3]]),
        Split(None, 1),
        Split("a", [[1]]),
        Split([["a"]], [[1, 2]]),
        Arrays([{"a": 1, "b": 2, "c": 3}, {"a": 1}], by_row=True),
        Arrays({"a": [1, 2], "b": [2], "c": [3]}, by_row=True),
        Arrays("x", by_row=False),
        Csv(""),
        Csv("a,b,c\nx,1,2\n"),
    ],
)
def test_data_that_are_no_table_are_a_bad_request(data: RequestData) -> None:
    assert code(signature_of(*DOUBLES), data) == "BAD_REQUEST"


def test_an_optional_column_may_be_absent() -> None:
    plan = compile_plan(
        signature_of(column("long", "a"), column("double", "b", required=False)), arrays=False
    )

    table = plan.table(Records([{"a": 1}]))

    assert table.features() == [{"a": 1}]


def test_columns_without_names_are_told_apart_by_place() -> None:
    unnamed = signature_of({"type": "long"}, {"type": "string"})

    table = compile_plan(unnamed, arrays=False).table(Split(None, [[1, "x"], [2, "y"]]))

    assert table.features() == [{"0": 1, "1": "x"}, {"0": 2, "1": "y"}]
    assert code(unnamed, Split(None, [[1]])) == "INVALID_PARAMETER_VALUE"


TENSOR = {"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 2]}}


@pytest.mark.parametrize(
    "data",
    [
        Arrays([[1, 2], [3, 4]], by_row=False),
        Arrays([[1, 2], [3, 4]], by_row=True),
        Split(["p", "q"], [[1, 2], [3, 4]]),
        Split(["p"], [[[1, 2]], [[3, 4]]]),
        Records([{"p": 1, "q": 2}, {"p": 3, "q": 4}]),
    ],
)
def test_a_tensor_is_one_array(data: RequestData) -> None:
    table = compile_plan(signature_of(TENSOR), arrays=True).table(data)

    np.testing.assert_array_equal(table.model_input(), np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert table.features() == [{"0": 1.0, "1": 2.0}, {"0": 3.0, "1": 4.0}]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (Arrays([[1, 2, 3]], by_row=False), "INVALID_PARAMETER_VALUE"),
        (Arrays([], by_row=False), "INVALID_PARAMETER_VALUE"),
        (Arrays({"p": [1]}, by_row=False), "BAD_REQUEST"),
        (Arrays("x", by_row=False), "BAD_REQUEST"),
        (Split(["p", "q"], []), "BAD_REQUEST"),
        (Csv("p,q\n1,2\n"), "BAD_REQUEST"),
    ],
)
def test_an_array_of_another_shape_is_refused(data: RequestData, expected: str) -> None:
    assert code(signature_of(TENSOR), data) == expected


def test_named_tensors_arrive_under_their_names() -> None:
    named = signature_of(
        {"name": "ids", "type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}},
        {"name": "pixels", "type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 2]}},
    )

    plan = compile_plan(named, arrays=True)
    table = plan.table(Arrays({"ids": [7, 8], "pixels": [[1, 2], [3, 4]]}, by_row=False))

    arrays = table.model_input()
    assert (arrays["ids"].dtype, arrays["pixels"].shape) == (np.dtype("int64"), (2, 2))
    assert table.features() == [{"ids": 7}, {"ids": 8}]
    assert code(named, Arrays({"ids": [7]}, by_row=False)) == "INVALID_PARAMETER_VALUE"


@pytest.mark.parametrize("inputs", ["{", '[{"name": "a"}]', "3", '[{"type": "tensor"}]'])
def test_a_signature_that_mlflow_does_not_write_is_named(inputs: str) -> None:
    with pytest.raises(SignatureError):
        parse_signature({"signature": {"inputs": inputs}})


SPECS = (ParamSpec("factor", "double", 2.0), ParamSpec("tags", "string", None, (-1,)))


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (None, {"factor": 2.0, "tags": None}),
        ({"factor": 3, "unknown": 1}, {"factor": 3.0, "tags": None}),
        ({"tags": ["x"]}, {"factor": 2.0, "tags": ["x"]}),
    ],
)
def test_parameters_are_completed_by_their_defaults(
    params: object, expected: dict[str, Any]
) -> None:
    assert check_params(params, SPECS) == expected


@pytest.mark.parametrize("params", [[1], {"factor": "2"}, {"factor": True}, {"tags": "x"}])
def test_a_parameter_of_a_wrong_type_is_invalid(params: object) -> None:
    with pytest.raises(ScoringError) as refused:
        check_params(params, SPECS)

    assert refused.value.code == "INVALID_PARAMETER_VALUE"


def test_parameters_that_no_signature_states_are_ignored() -> None:
    assert check_params([1], None) == {}
