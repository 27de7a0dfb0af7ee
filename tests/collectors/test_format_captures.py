"""What the clouds capture: SageMaker, Azure ML and Databricks."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from collectors.batch import STATUS_UNKNOWN
from collectors.formats.options import ColumnNames
from collectors.labels import JoinsLabels
from tests.collectors.decoding import NOW, TS, columns, later_labels, make, reasons, rows, sample


def test_sagemaker_reads_csv_json_and_base64() -> None:
    names = ColumnNames(features=("age", "income", "plan"))

    decoded = make("sagemaker", columns=names, version="blue").decode(sample("sagemaker.jsonl"))

    assert columns(decoded) == [
        {"age": 41, "income": 52000.5, "plan": "gold", "prediction": 0.83},
        {"age": 23, "plan": "basic", "prediction": 0.12},
        {"age": 41, "income": 52000.5, "plan": "gold", "prediction": 0.83},
        {"features.0": 41, "features.1": 52000.5, "prediction": 0.83},
    ]
    assert rows(decoded, "ts", "version", "status", "latency_ms") == [
        {"ts": TS, "version": "blue", "status": STATUS_UNKNOWN},
        {"ts": TS, "version": "blue", "status": 0},
        {"ts": TS + 1, "version": "blue", "status": STATUS_UNKNOWN},
        {"ts": TS + 2, "version": "blue", "status": STATUS_UNKNOWN},
    ]


def captured(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    line = {
        "captureData": {"endpointInput": {"data": "1,2\n", "encoding": "CSV"}},
        "eventMetadata": {"eventId": "e", "inferenceTime": "2026-03-04T10:00:00Z"},
    }
    return line | changes


def test_sagemaker_may_capture_one_side_only() -> None:
    decoded = make("sagemaker").decode(json.dumps(captured()).encode())

    assert columns(decoded) == [{"0": 1, "1": 2}]


def test_sagemaker_base64_without_a_type_is_told_by_its_text() -> None:
    texts = [b"1,gold\n", b'{"a": 1}\n{"a": 2}\n']
    log = "".join(
        json.dumps(
            captured(captureData={"endpointInput": {"data": base64.b64encode(text).decode()}})
        )
        + "\n"
        for text in texts
    )

    decoded = make("sagemaker").decode(log.encode())

    assert columns(decoded) == [{"0": 1, "1": "gold"}, {"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        ("missing_key", {}),
        ("missing_key", captured(captureData={})),
        ("missing_key", captured(eventMetadata={"eventId": "e"})),
        ("bad_time", captured(eventMetadata={"eventId": "e", "inferenceTime": "soon"})),
        ("wrong_type", captured(captureData={"endpointInput": {"data": 5}})),
        ("wrong_type", captured(captureData={"endpointInput": {"data": "%%"}})),
        (
            "malformed",
            captured(captureData={"endpointInput": {"data": "{", "encoding": "JSON"}}),
        ),
    ],
    ids=str,
)
def test_a_capture_that_cannot_be_used_is_rejected(reason: str, line: object) -> None:
    decoded = make("sagemaker").decode(json.dumps(line).encode())

    assert list(reasons(decoded)) == [reason]


GROUND_TRUTH = b"""\
{"groundTruthData": {"data": "1", "encoding": "CSV"}, "eventMetadata": {"eventId": "loan-1187"}, \
"eventVersion": "0"}
{"groundTruthData": {"data": "gold\\nbasic", "encoding": "CSV"}, "eventMetadata": \
{"eventId": "960f9337"}, "eventVersion": "0"}
"""


def test_ground_truth_labels_the_rows_of_its_event_as_of_when_it_is_read() -> None:
    sagemaker = make("sagemaker")
    assert isinstance(sagemaker, JoinsLabels)
    sagemaker.join_labels()

    decoded = sagemaker.decode(GROUND_TRUTH)

    assert later_labels(decoded) == [
        ("loan-1187", 1.0, NOW),
        ("960f9337#0", "gold", NOW),
        ("960f9337#1", "basic", NOW),
    ]
    assert reasons(decoded) == []


def test_ground_truth_is_passed_over_where_labels_are_not_joined() -> None:
    decoded = make("sagemaker").decode(GROUND_TRUTH)

    assert (decoded.ignored, list(decoded.labels), list(decoded.batches)) == (2, [], [])


def test_azure_joins_inputs_and_outputs_of_files_apart() -> None:
    decoded = make("azureml").decode(
        b"".join(sample("azureml.jsonl").splitlines(keepends=True)[:2])
    )

    assert columns(decoded) == [
        {"age": 41, "income": 52000.5, "plan": "gold", "prediction": 0.83},
        {"age": 23, "plan": "basic", "prediction": 0.12},
    ]
    # Whole seconds measure no latency; "default" is no version, so the deployment is.
    assert rows(decoded, "ts", "version", "status", "latency_ms") == [
        {"ts": TS, "version": "blue", "status": STATUS_UNKNOWN},
        {"ts": TS, "version": "blue", "status": 0},
    ]
    assert decoded.joined == 1


def test_azure_reads_raw_requests_and_answers_too() -> None:
    decoded = make("azureml").decode(
        b"".join(sample("azureml.jsonl").splitlines(keepends=True)[2:])
    )

    assert columns(decoded) == [
        {"0": 41, "1": 52000.5, "prediction": 0.83},
        {"0": 23, "1": 18000.0, "prediction": 0.12},
    ]


def test_azure_counts_a_request_whose_body_lies_elsewhere() -> None:
    lines = [json.loads(line) for line in sample("azureml.jsonl").splitlines()[:2]]
    del lines[0]["data"]
    lines[1]["modelversion"] = "4"

    decoded = make("azureml").decode("".join(json.dumps(one) + "\n" for one in lines).encode())

    assert columns(decoded) == [{"prediction": 0.83}, {"prediction": 0.12}]
    assert rows(decoded, "version") == [{"version": "4"}, {"version": "4"}]


def test_azure_passes_over_collections_of_the_user_and_rejects_other_events() -> None:
    own = sample("azureml.jsonl").splitlines()[0].replace(b"model_inputs", b"my_own")
    foreign = own.replace(b"azureml.inference.my_own", b"com.example")

    decoded = make("azureml").decode(own + b"\n" + foreign + b"\n")

    assert (decoded.ignored, list(reasons(decoded))) == (1, ["wrong_type"])


def test_databricks_reads_the_table_of_old() -> None:
    decoded = make("databricks").decode(sample("databricks-legacy.jsonl"))

    assert columns(decoded) == [
        {"age": 41, "income": 52000.5, "plan": "gold", "prediction": 0.83},
        {"age": 23, "plan": "basic", "prediction": 0.12},
    ]
    assert rows(decoded, "ts", "version", "status", "latency_ms", "kind") == [
        {
            "ts": 1767520800.123,
            "version": "7",
            "status": 200,
            "latency_ms": 12.0,
            "kind": "model",
        },
        {"ts": 1767520800.123, "version": "7", "status": 0, "kind": "model"},
    ]


def test_databricks_reads_the_gateway_s_table_and_bodies_that_were_too_large() -> None:
    decoded = make("databricks").decode(sample("databricks-gateway.jsonl"))

    assert columns(decoded) == [
        {"age": 41, "income": 52000.5, "plan": "gold", "prediction": 0.83},
        {"age": 23, "plan": "basic", "prediction": 0.12},
        {"prediction": 0.83},
        {"prediction": 0.12},
    ]
    assert rows(decoded, "ts", "latency_ms", "status") == [
        {"ts": TS + 0.123, "latency_ms": 12.0, "status": 200},
        {"ts": TS + 0.123, "status": 0},
        {"ts": TS + 1, "latency_ms": 90.0, "status": 200},
        {"ts": TS + 1, "status": 0},
    ]
    assert {batch.version for batch in decoded.batches} == {"2c5e22cf20044862812dfb724749c87c"}


def test_databricks_counts_failures_and_weighs_what_is_sampled() -> None:
    row = json.loads(sample("databricks-gateway.jsonl").splitlines()[1])
    failed = row | {"status_code": 500, "response": "upstream gone", "sampling_fraction": 0.25}

    decoded = make("databricks").decode(json.dumps(failed).encode())

    (batch,) = decoded.batches
    assert batch.requests_only
    assert (batch.status.tolist(), batch.weight.tolist()) == ([500], [4.0])
    assert batch.columns == {}


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("missing_key", {"request_time": None}),
        ("bad_time", {"request_time": "2026-03-04 10:00:00"}),
        ("wrong_type", {"status_code": "200"}),
        ("wrong_type", {"sampling_fraction": 0}),
        ("malformed", {"request": "{"}),
        ("malformed", {"response": "no answer at all"}),
        ("rows_differ", {"request": '{"instances": [[1]]}'}),
    ],
    ids=str,
)
def test_a_table_s_row_that_cannot_be_used_is_rejected(
    reason: str, changes: dict[str, Any]
) -> None:
    row = json.loads(sample("databricks-gateway.jsonl").splitlines()[0]) | changes

    decoded = make("databricks").decode(json.dumps(row).encode())

    assert list(reasons(decoded)) == [reason]
