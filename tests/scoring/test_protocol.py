"""What is read of a request and written to an answer, byte by byte, without a server."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.protocol.predictions import plain_predictions
from scoring.protocol.protocol import (
    Arrays,
    Csv,
    MediaTypeError,
    Records,
    ScoringError,
    Split,
    media_type,
    parse_invocation,
    render_predictions,
    schema_error,
)


@pytest.mark.parametrize(
    "header",
    ["application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8"],
)
def test_json_may_name_its_charset(header: str) -> None:
    assert media_type(header) == "application/json"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "text/plain",
        "Application/JSON",
        "application/json; charset=latin1",
        "application/json; format=pandas-split",
        "multipart/form-data; boundary=x",
    ],
)
def test_other_content_types_are_refused_in_plain_text(header: str | None) -> None:
    with pytest.raises(MediaTypeError) as refused:
        media_type(header)

    assert refused.value.status == 415
    assert refused.value.content_type.startswith("text/plain")
    assert refused.value.body() == str(refused.value).encode()


@pytest.mark.parametrize(
    ("body", "data"),
    [
        (
            b'{"dataframe_split": {"columns": ["a"], "data": [[1]]}}',
            Split(["a"], [[1]]),
        ),
        (b'{"dataframe_split": {"data": []}}', Split(None, [])),
        (b'{"dataframe_records": [{"a": 1}]}', Records([{"a": 1}])),
        (b'{"instances": [1]}', Arrays([1], by_row=True)),
        (b'{"inputs": {"a": [1]}, "other": 3}', Arrays({"a": [1]}, by_row=False)),
    ],
)
def test_each_shape_of_json_is_told_apart(body: bytes, data: object) -> None:
    assert parse_invocation("application/json", body).data == data


def test_params_stand_beside_the_data() -> None:
    body = b'{"inputs": [1], "params": {"t": 0.5}}'

    assert parse_invocation("application/json", body).params == {"t": 0.5}


def test_csv_is_text() -> None:
    assert parse_invocation("text/csv", b"a\n1\n").data == Csv("a\n1\n")


def test_nan_and_infinity_are_read_as_mlflow_clients_write_them() -> None:
    invocation = parse_invocation("application/json", b'{"inputs": [NaN, -Infinity]}')

    assert isinstance(invocation.data, Arrays)
    np.testing.assert_equal(invocation.data.value, [float("nan"), float("-inf")])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe{",
        b"3",
        b"[1]",
        b"null",
        b"{}",
        b'{"foo": 1}',
        b'{"inputs": [1], "instances": [1]}',
        b'{"dataframe_split": [1]}',
        b'{"dataframe_split": {"columns": ["a"]}}',
        b'{"dataframe_split": {"data": [[1]], "foo": 1}}',
        b'{"dataframe_records": {"a": 1}}',
        b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_a_body_of_no_known_shape_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(ScoringError) as refused:
        parse_invocation("application/json", body)

    assert (refused.value.status, refused.value.code) == (400, "BAD_REQUEST")


@given(st.binary(max_size=64))
def test_no_bytes_raise_anything_but_a_scoring_error(body: bytes) -> None:
    with contextlib.suppress(ScoringError):
        parse_invocation("application/json", body)


def test_an_error_has_the_four_keys_of_mlflow() -> None:
    error = schema_error("the request lacks the inputs ['a']")

    assert json.loads(error.body()) == {
        "error_code": "INVALID_PARAMETER_VALUE",
        "message": "the request lacks the inputs ['a']",
        "sqlstate": "KAM01",
        "error_class": "SCHEMA_ENFORCEMENT_FAILED",
    }


def test_predictions_that_are_no_numbers_become_null() -> None:
    predictions = plain_predictions(np.array([[1.5, float("nan")], [float("-inf"), 2.0]]))

    assert render_predictions(predictions) == b'{"predictions": [[1.5, null], [null, 2.0]]}'


@given(st.recursive(st.none() | st.floats() | st.text(), st.lists))
def test_every_answer_is_strict_json(predictions: object) -> None:
    def refuse(token: str) -> None:
        raise AssertionError(token)

    json.loads(render_predictions(predictions), parse_constant=refuse)


@pytest.mark.parametrize(
    ("predictions", "plain"),
    [
        (np.array([1, 0]), [1, 0]),
        (np.array([True]), [True]),
        (np.array(["yes", "no"]), ["yes", "no"]),
        (np.array(["x", np.float64(2.5), None], dtype=object), ["x", 2.5, None]),
        (np.float64(0.5), 0.5),
        ([np.int64(3), 4], [3, 4]),
        ({"mean": np.array([1.0])}, {"mean": [1.0]}),
        (np.array(["2026-11-21"], dtype="datetime64[s]"), ["2026-11-21T00:00:00"]),
        (np.array(["1970-01-01", "NaT"], dtype="datetime64[ns]"), [0, None]),
        ({None: 1, True: 2, 3: 4}, {"null": 1, "true": 2, "3": 4}),
        (b"\x00", "AA==\n"),
    ],
)
def test_what_a_model_answers_becomes_plain_json(predictions: object, plain: object) -> None:
    assert plain_predictions(predictions) == plain


def test_a_frame_becomes_records() -> None:
    import pandas as pd  # noqa: PLC0415 - this test alone needs it

    frame = pd.DataFrame({"low": [1.0, 2.0], "high": [3.0, 4.0]})

    expected = [{"low": 1.0, "high": 3.0}, {"low": 2.0, "high": 4.0}]
    assert plain_predictions(frame) == expected
