"""KServe and Seldon: two CloudEvents a request, joined; successes only, so errors are unknown."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from collectors.batch import STATUS_UNKNOWN
from collectors.format import Holding
from collectors.formats.options import ColumnNames
from collectors.labels import JoinsLabels
from tests.collectors.decoding import TS, columns, later_labels, make, reasons, rows, sample


def test_kserve_halves_become_requests_with_a_latency_and_no_known_status() -> None:
    decoded = make("kserve", columns=ColumnNames(features=("age", "income"))).decode(
        sample("kserve.jsonl")
    )

    assert columns(decoded) == [
        {"age": 41, "income": 52000.5, "prediction": 0.83},
        {"age": 23, "income": 18000.0, "prediction": 0.12},
        {"age": 41, "income": 52000.5, "plan": "gold", "prediction": 0.83},
    ]
    assert rows(decoded, "ts", "version", "status", "kind") == [
        {"ts": TS + 0.078952, "version": "unknown", "status": STATUS_UNKNOWN, "kind": "server"},
        {"ts": TS + 0.078952, "version": "unknown", "status": 0, "kind": "server"},
        {"ts": TS + 1, "version": "7", "status": STATUS_UNKNOWN, "kind": "server"},
    ]
    # 10:00:00.078952900 to 10:00:00.091736102; the second row of a request carries no latency.
    assert [row.get("latency_ms") for row in rows(decoded, "latency_ms")] == [
        pytest.approx(12.783, abs=0.002),
        None,
        14.5,
    ]
    assert (decoded.joined, decoded.alone, decoded.ignored) == (2, 0, 0)


def test_an_answer_may_come_before_its_request() -> None:
    lines = sample("kserve.jsonl").splitlines(keepends=True)
    decoder = make("kserve")

    first = decoder.decode(b"".join(reversed(lines[2:])))

    assert columns(first) == [{"age": 41, "income": 52000.5, "plan": "gold", "prediction": 0.83}]
    assert first.joined == 1


def test_a_blob_of_the_logger_is_a_half() -> None:
    blob = json.loads(sample("kserve-blob.jsonl"))
    answer = {
        **blob,
        "bytes": base64.b64encode(b'{"predictions":[0.83]}').decode(),
        "reqType": "org.kubeflow.serving.inference.response",
        "occurrenceTime": "2026-03-04T10:00:00.1Z",
    }
    log = json.dumps(blob) + "\n" + json.dumps(answer) + "\n"

    decoded = make("kserve").decode(log.encode())

    assert columns(decoded) == [{"0": 41, "1": 52000.5, "prediction": 0.83}]
    assert rows(decoded, "version") == [{"version": "7"}]


def test_a_transformer_that_logs_the_same_request_is_passed_over() -> None:
    other = sample("kserve.jsonl").replace(b'"predictor"', b'"transformer"')

    decoded = make("kserve").decode(sample("kserve.jsonl") + other)

    assert (len(columns(decoded)), decoded.joined, decoded.ignored) == (3, 2, 4)


def test_another_service_is_passed_over_when_one_is_named() -> None:
    decoded = make("kserve", service="other").decode(sample("kserve.jsonl"))

    assert (columns(decoded), decoded.ignored, reasons(decoded)) == ([], 4, [])


def test_seldon_joins_by_the_request_and_takes_the_version_of_the_image() -> None:
    decoder = make("seldon")

    decoded = decoder.decode(sample("seldon.jsonl"))

    assert columns(decoded) == [
        {"age": 41, "income": 52000.5, "prediction.p0": 0.17, "prediction.p1": 0.83},
        {"age": 23, "income": 18000.0, "prediction.p0": 0.88, "prediction.p1": 0.12},
    ]
    assert rows(decoded, "ts", "version", "status", "latency_ms") == [
        {"ts": TS + 0.1, "version": "7", "status": STATUS_UNKNOWN, "latency_ms": 0.0},
        {"ts": TS + 0.1, "version": "7", "status": 0},
    ]
    # The feedback is no prediction, and the second request has no answer yet.
    assert (decoded.joined, decoded.ignored) == (1, 1)
    assert isinstance(decoder, Holding)
    late = decoder.expire(TS + 100, 60.0)
    assert columns(late) == [{"age": 41, "income": 52000.5}]
    assert late.alone == 1


def wrapped(side: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    ce = {
        "id": "a",
        "type": f"org.kubeflow.serving.inference.{side}",
        "time": f"2026-03-04T10:00:0{'0' if side == 'request' else '1'}Z",
        "inferenceservicename": "credit-default",
        "component": "predictor",
    }
    data = {"instances": [[41]]} if side == "request" else {"predictions": [0.5]}
    return {"ce": ce, "data": data} | changes


@pytest.mark.parametrize("name", ["cloudevents", "kserve"])
def test_events_are_read_as_kedge_s_own_address_stores_them(name: str) -> None:
    log = "".join(json.dumps(wrapped(side)) + "\n" for side in ("request", "response"))

    decoded = make(name).decode(log.encode())

    assert columns(decoded) == [{"0": 41, "prediction": 0.5}]
    assert rows(decoded, "ts", "latency_ms") == [{"ts": TS, "latency_ms": 1000.0}]


def test_cloudevents_takes_both_kinds_and_structured_ones() -> None:
    structured = {
        "specversion": "1.0",
        "data_base64": base64.b64encode(b'{"instances": [[1]]}').decode(),
    }
    halves = [{**wrapped(side)["ce"], "data": wrapped(side)["data"]} for side in ("response",)]
    request = {**wrapped("request")["ce"], **structured}
    log = sample("kserve.jsonl") + sample("seldon.jsonl")
    log += "".join(json.dumps(one) + "\n" for one in [request, *halves]).encode()

    decoded = make("cloudevents").decode(log)

    assert decoded.joined == 4
    assert reasons(decoded) == []


def test_an_id_that_the_caller_put_into_the_body_names_the_row() -> None:
    from collectors.formats.cloud_events import KSERVE  # noqa: PLC0415 - white box: ids of rows
    from collectors.formats.options import FormatOptions  # noqa: PLC0415 - as above

    tensors = {"id": "loan-9", "inputs": [{"name": "x", "shape": [1], "data": [1]}]}
    line = json.dumps(wrapped("request", data=tensors)).encode()

    (exchange,) = KSERVE.reader(FormatOptions()).read(line)

    assert (exchange.id, exchange.joins_on) == ("loan-9", "/credit-default/predictor/a")


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        ("missing_key", {"data": {}}),
        ("missing_key", {"ce": {"id": "a"}, "data": {}}),
        ("wrong_type", wrapped("request", ce={"id": "a", "type": "com.example.sold"})),
        ("missing_key", wrapped("request", ce={**wrapped("request")["ce"], "time": None})),
        ("bad_time", wrapped("request", ce={**wrapped("request")["ce"], "time": "noon"})),
        ("malformed", wrapped("request", data="{nonsense")),
        ("wrong_type", wrapped("request", data=5)),
        ("wrong_type", wrapped("request", data_base64="%%%")),
        ("wrong_type", wrapped("request", ce="a")),
        ("malformed", [1]),
    ],
    ids=str,
)
def test_an_event_that_cannot_be_used_is_rejected_with_a_reason(reason: str, line: object) -> None:
    decoded = make("kserve").decode(json.dumps(line).encode() + b"\n" + sample("kserve.jsonl"))

    assert list(reasons(decoded)) == [reason]
    assert decoded.joined == 2


def test_an_answer_of_another_number_of_rows_cannot_be_joined() -> None:
    log = [wrapped("request", data={"instances": [[1], [2]]}), wrapped("response")]

    decoded = make("kserve").decode("".join(json.dumps(one) + "\n" for one in log).encode())

    assert list(reasons(decoded)) == ["rows_differ"]


def test_the_truth_of_feedback_is_a_label_of_each_row_of_its_request() -> None:
    seldon = make("seldon")
    assert isinstance(seldon, JoinsLabels)
    seldon.join_labels()

    decoded = seldon.decode(sample("seldon.jsonl"))

    (batch,) = decoded.batches
    assert batch.joins is not None
    assert later_labels(decoded) == [("m1#0", 1.0, TS + 0.1), ("m1#1", 0.0, TS + 0.1)]
    assert batch.joins.ids == ["m1#0", "m1#1"]
    assert decoded.ignored == 0


@pytest.mark.parametrize(
    "body", [{"reward": 1.0}, {"truth": None}, {"truth": {"data": {}}}], ids=str
)
def test_feedback_without_a_truth_is_no_label(body: object) -> None:
    ce = {"id": "f", "type": "io.seldon.serving.feedback", "time": "2026-03-04T10:00:00Z"}
    seldon = make("seldon")
    assert isinstance(seldon, JoinsLabels)
    seldon.join_labels()

    decoded = seldon.decode(json.dumps({"ce": {**ce, "requestid": "a"}, "data": body}).encode())

    assert later_labels(decoded) == []
    assert decoded.batches == []


def test_feedback_of_no_request_is_rejected() -> None:
    ce = {"id": "f", "type": "io.seldon.serving.feedback", "time": "2026-03-04T10:00:00Z"}
    body = {"truth": {"data": {"ndarray": [[1]]}}}

    decoded = make("seldon").decode(json.dumps({"ce": ce, "data": body}).encode())

    assert list(reasons(decoded)) == ["missing_key"]
