"""MLflow's bodies and traces, and tensors of the Open Inference Protocol."""

from __future__ import annotations

import json
from typing import Any

import pytest

from collectors.batch import STATUS_UNKNOWN
from collectors.formats.options import ColumnNames
from tests.collectors.decoding import NOW, TS, columns, make, reasons, rows, sample


def test_mlflow_reads_its_shapes_with_what_stands_beside_them() -> None:
    decoded = make("mlflow").decode(sample("mlflow.jsonl"))

    assert columns(decoded) == [
        {"age": 41, "plan": "gold", "prediction": 0.83},
        {"age": 23, "prediction": 0.12},
        {},  # "old" is no number: invalid, and the request failed
        {"age": 41, "prediction.p": 0.1, "prediction.q": 0.9},
        {"age": 23, "prediction.p": 0.2, "prediction.q": 0.8},
        {"0": 41, "1": 3},
        {"0": 23, "1": 4},
    ]
    assert rows(decoded, "ts", "version", "status", "latency_ms") == [
        {"ts": TS + 0.5, "version": "7", "status": 200, "latency_ms": 12.5},
        {"ts": TS + 0.5, "version": "7", "status": 0},
        {"ts": TS + 1, "version": "unknown", "status": 400},
        {"ts": TS + 2, "version": "unknown", "status": STATUS_UNKNOWN},
        {"ts": TS + 2, "version": "unknown", "status": 0},
        {"ts": NOW, "version": "unknown", "status": STATUS_UNKNOWN},
        {"ts": NOW, "version": "unknown", "status": 0},
    ]


def test_a_trace_of_mlflow_is_its_outermost_call() -> None:
    decoded = make("mlflow").decode(sample("mlflow-trace.jsonl"))

    assert columns(decoded) == [{"age": 41, "income": 52000.0, "prediction": 0.83}]
    assert rows(decoded, "ts", "version", "status", "latency_ms", "kind") == [
        {
            "ts": 1795220814.083,
            "version": "7",
            "status": 200,
            "latency_ms": 121.0,
            "kind": "model",
        }
    ]


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        ("missing_key", {"ts": 1}),
        ("wrong_type", {"ts": 1, "request": {"instances": 5}}),
        ("wrong_type", {"ts": 1, "request": 5}),
        ("malformed", {"ts": 1, "request": "nonsense"}),
        ("bad_time", {"ts": -1, "request": {"instances": [[1]]}}),
        ("bad_time", {"ts": "2026-03-04T10:00:00", "request": {"instances": [[1]]}}),
        ("wrong_type", {"ts": 1, "status": "200", "request": {"instances": [[1]]}}),
        (
            "rows_differ",
            {"ts": 1, "request": {"instances": [[1], [2]]}, "response": {"predictions": [1]}},
        ),
        ("missing_key", {"info": {"trace_id": "t", "request_time": 1}, "data": {"spans": []}}),
    ],
    ids=str,
)
def test_a_body_that_cannot_be_used_is_rejected_with_a_reason(reason: str, line: object) -> None:
    decoded = make("mlflow").decode(json.dumps(line).encode())

    assert list(reasons(decoded)) == [reason]


def test_v2_names_columns_after_tensors() -> None:
    decoded = make("v2").decode(sample("v2.jsonl"))

    by_version = {batch.version: batch.rows for batch in decoded.batches}
    assert by_version == {"7": 5, "unknown": 2}
    wide = {"x.0": 41, "x.1": 52000.5}
    second = {"x.0": 23, "x.1": 18000.0}
    assert [row for row in columns(decoded) if "x.0" in row] == [
        wide | {"prediction": 0.83},
        second | {"prediction": 0.12},
        wide
        | {
            "prediction.label": 1,
            "prediction.probabilities.0": 0.17,
            "prediction.probabilities.1": 0.83,
        },
        wide | {"prediction": 0.83},
        second | {"prediction": 0.12},
    ]
    assert [row for row in columns(decoded) if "age" in row] == [
        {"age": 41, "income": 52000.5, "plan": "gold", "prediction": 0.83},
        {"age": 23, "income": 18000.0, "plan": "basic", "prediction": 0.12},
    ]


def test_v2_takes_the_one_output_that_is_named_and_names_wide_inputs() -> None:
    names = ColumnNames(prediction="label", features=("age", "income"))

    decoded = make("v2", columns=names).decode(sample("v2.jsonl").splitlines()[3])

    assert columns(decoded) == [{"age": 41, "income": 52000.5, "prediction": 1}]


def test_v2_reads_what_a_tap_wrote() -> None:
    decoded = make("v2").decode(sample("mlserver.jsonl"))

    assert columns(decoded) == [{"f0": -1.98, "f1": -2.25, "prediction": 0}]
    assert rows(decoded, "version", "status") == [{"version": "1", "status": 200}]


def tensors(**changes: Any) -> bytes:  # noqa: ANN401 - any JSON
    tensor = {"name": "x", "shape": [2, 2], "datatype": "FP64", "data": [1, 2, 3, 4]} | changes
    return json.dumps({"ts": 1, "request": {"inputs": [tensor]}}).encode()


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        ("missing_key", b'{"ts": 1, "request": {"instances": [[1]]}}'),
        ("wrong_type", tensors(shape=[3, 3])),
        ("wrong_type", tensors(shape=[10**18, 0])),
        ("wrong_type", tensors(shape=[10**9, 10**9])),
        ("wrong_type", tensors(shape="2,2")),
        ("wrong_type", tensors(shape=[-2, -2])),
        ("wrong_type", tensors(data=[[1, 2], 3, 4])),
        ("wrong_type", tensors(data=5)),
        ("wrong_type", tensors(name=5)),
        ("wrong_type", tensors(parameters={"content_type": "base64"})),
    ],
    ids=str,
)
def test_a_tensor_that_contradicts_itself_is_rejected(reason: str, line: bytes) -> None:
    decoded = make("v2").decode(line)

    assert list(reasons(decoded)) == [reason]


def test_bytes_are_text_and_base64_where_their_sender_says_so() -> None:
    plain = {"name": "plan", "shape": [1], "datatype": "BYTES", "data": ["Z29sZA=="]}
    coded = plain | {"name": "coded", "parameters": {"content_type": "base64"}}
    line = {"ts": 1, "request": {"inputs": [plain, coded]}}

    decoded = make("v2").decode(json.dumps(line).encode())

    assert columns(decoded) == [{"plan": "Z29sZA==", "coded": "gold"}]
