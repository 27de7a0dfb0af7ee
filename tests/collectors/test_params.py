"""Parameters of requests are handed out with the rows that they were asked with."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from collectors.formats.kedge import BLOCK_BYTES, KedgeFormat
from collectors.formats.options import FormatOptions
from collectors.kinds import FORMATS
from collectors.params import PARAMS_BYTES_MAX, UNKEPT
from tests.collectors.events import event, lines

MODEL = "credit-default"
ROWS = {"dataframe_split": {"columns": ["age"], "data": [[41], [23]]}}
TENSOR = {"name": "age", "shape": [2], "datatype": "FP64", "data": [41, 23]}


def params_of(format_: str, line: dict[str, Any]) -> list[str | None]:
    options = FormatOptions()
    (batch,) = FORMATS[format_](MODEL, None, options=options).decode(lines(line)).batches
    return list(batch.params)


@pytest.mark.parametrize(
    ("format_", "line"),
    [
        ("mlflow", {**ROWS, "params": {"top_k": 3}}),
        ("mlflow", {"request": {**ROWS, "params": {"top_k": 3}}}),
        ("mlflow", {"tap": "proxy", "ts": 1, "body": json.dumps({**ROWS, "params": {"top_k": 3}})}),
        ("v2", {"inputs": [TENSOR], "parameters": {"top_k": 3}}),
        ("v2", {"request": {"inputs": [TENSOR], "parameters": {"top_k": 3}}}),
        (
            "databricks",
            {
                "databricks_request_id": "r",
                "timestamp_ms": 1_772_618_400_000,
                "request": {**ROWS, "params": {"top_k": 3}},
                "response": {"predictions": [1, 2]},
                "status_code": 200,
            },
        ),
    ],
)
def test_they_stand_in_bodies_of_both_protocols(format_: str, line: dict[str, Any]) -> None:
    assert params_of(format_, line) == ['{"top_k":3}'] * 2


@pytest.mark.parametrize("given", [None, {}, [3]])
def test_what_is_no_parameter_is_none(given: object) -> None:
    assert params_of("mlflow", {**ROWS, "params": given}) == []


def test_an_event_of_kedge_has_its_own() -> None:
    given: list[Any] = [{"top_k": 3}, None, {}, [3], {"text": "x" * PARAMS_BYTES_MAX}]
    log = lines(event(), *(event(params=one) for one in given))

    (batch,) = KedgeFormat(MODEL).decode(log).batches

    assert batch.params == [None, '{"top_k":3}', None, None, UNKEPT, UNKEPT]
    assert batch.pick(np.array([4, 1])).params == [UNKEPT, '{"top_k":3}']
    assert batch.take(slice(1, 3)).params == ['{"top_k":3}', None]


def test_they_are_read_line_by_line_as_they_are_at_once() -> None:
    odd = event(features={"age": "not a number"})

    decoded = KedgeFormat(MODEL).decode(lines(event(), odd, event(params={"top_k": 3})))

    assert decoded.batches[0].params == [None, None, '{"top_k":3}']
    assert decoded.unknown_keys == {}


def test_blocks_with_and_without_them_are_one_batch() -> None:
    some = [event(id=f"{row}") for row in range(BLOCK_BYTES // 100)]

    (batch,) = KedgeFormat(MODEL).decode(lines(*some, event(params={"top_k": 3}))).batches

    assert batch.params[-1] == '{"top_k":3}'
    assert len(batch.params) == batch.rows
    assert set(batch.params[:-1]) == {None}


def test_a_log_without_them_costs_no_list() -> None:
    (batch,) = KedgeFormat(MODEL).decode(lines(event(), event())).batches

    assert batch.params == ()


def test_halves_that_are_joined_keep_those_of_the_request() -> None:
    format_ = KedgeFormat(MODEL, options=FormatOptions(join_s=20.0))
    asked = event(id="r", params={"top_k": 3}, prediction=None)
    answered = event(id="r", features=None)

    (batch,) = format_.decode(lines(asked, answered)).batches

    assert batch.params == ['{"top_k":3}']
