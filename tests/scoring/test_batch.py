"""Requests scored together get the answers that they would get alone."""

# ruff: noqa: FBT001 - a column of the table of cases

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.answering.batch import rows_are_independent, score_rows
from scoring.answering.live import load_served
from scoring.answering.score import score
from scoring.flavours.model import Model, load_model
from scoring.protocol.plan import compile_plan
from scoring.protocol.protocol import parse_invocation
from scoring.protocol.rows import RowReader, row_reader
from scoring.protocol.signature import ColumnSpec, Signature
from scoring.protocol.table import Table

NAMES = ("a", "b")
DOUBLES = Signature(tuple(ColumnSpec(name, "double") for name in NAMES))
MIXED = Signature((ColumnSpec("n", "long"), ColumnSpec("x", "double"), ColumnSpec("s", "string")))


def reader_of(signature: Signature) -> RowReader:
    reader = row_reader(signature, None)
    assert reader is not None
    return reader


def model_of(predict: Any) -> Model:  # noqa: ANN401 - a function of rows
    def predictor(table: Table, _params: Mapping[str, Any]) -> Any:  # noqa: ANN401 - as a model
        return predict(table.model_input())

    plan = compile_plan(DOUBLES, arrays=True)
    return Model(DOUBLES, plan, predictor, reader=reader_of(DOUBLES), by_row=True)


def split(*rows: list[Any], columns: tuple[str, ...] = NAMES) -> bytes:
    return json.dumps({"dataframe_split": {"columns": columns, "data": list(rows)}}).encode()


def test_each_request_gets_its_own_rows() -> None:
    model = model_of(lambda rows: rows.sum(axis=1))
    reader = reader_of(DOUBLES)
    bodies = [split([1, 2]), split([3, 4], [5, 6]), split([7, 8])]
    requests = [rows for body in bodies if (rows := reader.read(body)) is not None]

    answers = score_rows(model, reader, requests)

    assert [json.loads(answer.body)["predictions"] for answer in answers] == [[3], [7, 11], [15]]
    assert [answer.body for answer in answers] == [
        score(model, "application/json", body).body for body in bodies
    ]


def test_a_request_that_the_model_fails_on_fails_alone() -> None:
    def picky(rows: Any) -> Any:  # noqa: ANN401 - an array
        if (rows < 0).any():
            raise ValueError("a row is below zero")
        return rows.sum(axis=1)

    reader = reader_of(DOUBLES)
    requests = [
        rows for body in (split([1, 2]), split([-1, 0])) if (rows := reader.read(body)) is not None
    ]

    good, bad = score_rows(model_of(picky), reader, requests)

    assert (good.status, json.loads(good.body)) == (200, {"predictions": [3.0]})
    assert bad.status == 400
    assert b"below zero" in bad.body


@pytest.mark.parametrize(
    "predict",
    [
        lambda rows: rows.sum(axis=1) - rows.mean(),
        lambda rows: rows.sum(),
        lambda rows: np.arange(len(rows)),
        lambda rows: {"total": rows.sum()},
    ],
    ids=["centred by the batch", "one value for all", "numbered", "an object"],
)
def test_a_model_whose_rows_depend_on_each_other_is_found_out(predict: Any) -> None:  # noqa: ANN401 - as above
    model = model_of(predict)

    assert not rows_are_independent(model, reader_of(DOUBLES))


def test_a_model_that_takes_rows_one_by_one_is_believed() -> None:
    model = model_of(lambda rows: rows @ [0.1, 0.7])

    assert rows_are_independent(model, reader_of(DOUBLES))


@pytest.mark.parametrize(
    ("name", "batches"), [("plain", True), ("framed", True), ("mixed", True), ("slow", False)]
)
def test_batches_are_for_models_of_scikit_learns_own_parts(
    model_folders: Path, name: str, batches: bool
) -> None:
    served = load_served(model_folders / name, name, "1", checked=False)

    assert served.batches is batches


def test_a_model_trained_on_a_frame_takes_arrays_and_answers_the_same(model_folders: Path) -> None:
    framed = load_model(model_folders / "framed")
    rows = np.random.default_rng(3).normal(size=(50, 4)).tolist()
    body = split(*rows, columns=tuple("abcd"))

    assert framed.plan.frame_columns is None
    plain = load_model(model_folders / "plain")
    assert (
        score(framed, "application/json", body).body == score(plain, "application/json", body).body
    )


cells = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "1", "2.5", "word", "é"]),
)


@pytest.mark.parametrize("signature", [DOUBLES, MIXED], ids=["doubles", "mixed"])
@given(data=st.data())
def test_what_is_read_quickly_is_what_is_read_in_detail(
    signature: Signature, data: st.DataObject
) -> None:
    names = [str(spec.name) for spec in signature.inputs]
    width = data.draw(st.sampled_from([len(names), len(names), len(names) + 1]))
    rows = data.draw(st.lists(st.lists(cells, min_size=width, max_size=width), max_size=3))
    body: dict[str, object] = {"dataframe_split": {"columns": names, "data": rows}}
    if data.draw(st.booleans()):
        body = {"dataframe_records": [dict(zip(names, row, strict=False)) for row in rows]}
    encoded = json.dumps(body).encode()

    quick = reader_of(signature).read(encoded)

    if quick is not None:
        slow = compile_plan(signature, arrays=True).table(
            parse_invocation("application/json", encoded).data
        )
        table = reader_of(signature).table(quick.cells)
        assert table.rows == slow.rows
        assert json.dumps(table.features()) == json.dumps(slow.features())


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"dataframe_split": null}',
        split(),
        split([1]),
        split([1, None]),
        split([1, "2"]),
        split([1, True]),
        split([1, 2], columns=("b", "a")),
        b'{"dataframe_records": []}',
        b'{"dataframe_records": [{"a": 1}]}',
        b'{"dataframe_records": [{"a": 1, "b": 2}], "params": {}}',
        b'{"dataframe_records": [{"a": 1, "b": 2}], "messages": []}',
        b'{"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2]], "index": [0]}}',
        b'{"dataframe_split": {"columns": ["a", "b"], "data": [[1, 1e999]]}}',
        b'{"dataframe_split": {"columns": ["a", "b"], "data": [[1, NaN]]}}',
        b'{"dataframe_records": [{"a": 1, "b": "\xff"}]}',
        b"[" * 5000,
    ],
)
def test_a_request_that_is_not_plain_is_left_to_the_rules(body: bytes) -> None:
    assert reader_of(DOUBLES).read(body) is None


def test_signatures_that_need_a_closer_look_have_no_reader() -> None:
    unnamed = Signature((ColumnSpec(None, "double"),))
    times = Signature((ColumnSpec("t", "datetime"),))
    optional = Signature((ColumnSpec("a", "double", required=False),))

    assert [row_reader(s, None) for s in (unnamed, times, optional, Signature())] == [None] * 4


def test_a_model_without_an_example_goes_by_its_flavour(model_folders: Path) -> None:
    mixed = load_model(model_folders / "mixed")
    assert mixed.reader is not None

    assert rows_are_independent(replace(mixed, example=None), mixed.reader)
