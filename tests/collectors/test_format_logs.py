"""BentoML's monitoring log, access logs, and tables as CSV."""

from __future__ import annotations

import json

import pytest

from collectors.batch import STATUS_UNKNOWN, Schema
from collectors.format import Holding
from collectors.formats.options import ColumnNames
from tests.collectors.decoding import TS, columns, make, reasons, rows, sample

BENTO_ROWS = [
    {"tenure": 0.12, "plan": "gold", "prediction": 0.83},
    {"tenure": 0.4, "plan": "silver", "prediction": 0.31},
]


def test_bentoml_tells_roles_by_the_schema_s_file() -> None:
    decoder = make("bentoml", timezone="UTC")

    decoded = decoder.decode(sample("bentoml-schema.log") + sample("bentoml-data.log"))

    assert columns(decoded) == BENTO_ROWS
    assert rows(decoded, "ts", "status", "version") == [
        {"ts": 1795220282.388927, "status": STATUS_UNKNOWN, "version": "unknown"},
        {"ts": 1795220282.389182, "status": STATUS_UNKNOWN, "version": "unknown"},
    ]
    assert decoded.ignored == 1


def test_bentoml_remembers_the_schema_over_a_restart() -> None:
    before, after = make("bentoml", timezone="UTC"), make("bentoml", timezone="UTC")
    before.decode(sample("bentoml-schema.log"))
    assert isinstance(before, Holding)
    assert isinstance(after, Holding)

    after.restore(before.encode() or b"")
    decoded = after.decode(sample("bentoml-data.log"))

    assert columns(decoded) == BENTO_ROWS


def test_bentoml_without_a_schema_goes_by_the_configured_name() -> None:
    decoder = make("bentoml", timezone="UTC", columns=ColumnNames(prediction="score"))

    assert columns(decoder.decode(sample("bentoml-data.log"))) == BENTO_ROWS


def test_bentoml_takes_versions_and_targets_of_the_schema() -> None:
    schema = json.loads(sample("bentoml-schema.log"))
    schema["meta_data"]["bento_version"] = "v3"
    schema["columns"].append({"name": "truth", "role": "target", "type": "numerical"})
    row = json.loads(sample("bentoml-data.log").splitlines()[0]) | {"truth": 1}

    decoded = make("bentoml", timezone="UTC").decode(
        f"{json.dumps(schema)}\n{json.dumps(row)}\n".encode()
    )

    assert columns(decoded) == BENTO_ROWS[:1]
    assert rows(decoded, "version") == [{"version": "v3"}]


def test_a_time_without_a_zone_needs_a_configured_one() -> None:
    refused = make("bentoml").decode(sample("bentoml-data.log"))
    berlin = make("bentoml", timezone="Europe/Berlin").decode(sample("bentoml-data.log"))

    assert list(reasons(refused)) == ["bad_time"] * 2
    assert rows(berlin, "ts")[0] == {"ts": 1795220282.388927 - 3600}


def test_nginx_tells_latency_and_status_of_the_upstream_that_answered() -> None:
    decoded = make("nginx", version="7").decode(sample("nginx.jsonl"))

    (batch,) = decoded.batches
    assert batch.requests_only
    assert batch.columns == {}
    assert batch.ts.tolist() == [1795220247.933, 1795220250.231, 1795220248.187, 1795220280.0]
    assert batch.status.tolist() == [200, 200, 413, 200]
    # 2.005 s in all for the second, that waited for a mirror; the fourth was tried twice.
    assert rows(decoded, "latency_ms", "kind", "version") == [
        {"latency_ms": 7.0, "kind": "server", "version": "7"},
        {"kind": "server", "version": "7"},
        {"latency_ms": 5.0, "kind": "server", "version": "7"},
        {"latency_ms": 10.0, "kind": "server", "version": "7"},
    ]


def test_nginx_without_upstream_times_spans_what_the_client_waited_for() -> None:
    line = {"time_iso8601": "2026-03-04T10:00:00+00:00", "status": "000", "request_time": "0.5"}

    decoded = make("nginx").decode(json.dumps(line).encode())

    assert rows(decoded, "ts", "latency_ms", "kind", "status") == [
        {"ts": TS, "latency_ms": 500.0, "kind": "client", "status": STATUS_UNKNOWN}
    ]


def test_envoy_tells_the_upstream_s_time() -> None:
    line = json.loads(sample("envoy.jsonl"))
    gone = line | {"response_code": 0, "upstream_service_time": "-"}

    decoded = make("envoy").decode(f"{json.dumps(line)}\n{json.dumps(gone)}\n".encode())

    assert all(batch.requests_only for batch in decoded.batches)
    assert rows(decoded, "ts", "latency_ms", "kind", "status") == [
        {"ts": TS + 0.123, "latency_ms": 12.0, "kind": "server", "status": 200},
        {"ts": TS + 0.123, "latency_ms": 14.0, "kind": "client", "status": STATUS_UNKNOWN},
    ]


@pytest.mark.parametrize("name", ["nginx", "envoy"])
def test_probes_are_no_predictions(name: str) -> None:
    probe = sample(f"{name}.jsonl").splitlines()[0].replace(b"POST", b"GET")

    decoded = make(name).decode(probe)

    assert (list(decoded.batches), decoded.ignored, reasons(decoded)) == ([], 1, [])


@pytest.mark.parametrize(
    ("name", "reason", "line"),
    [
        ("nginx", "missing_key", b'{"msec": 1, "request_time": 1}'),
        ("nginx", "missing_key", b'{"msec": 1, "status": 200}'),
        ("nginx", "missing_key", b'{"status": 200, "request_time": 1}'),
        ("nginx", "wrong_type", b'{"msec": 1, "status": "ok", "request_time": 1}'),
        ("nginx", "wrong_type", b'{"msec": 1, "status": 200, "upstream_response_time": "x"}'),
        ("envoy", "missing_key", b'{"response_code": 200}'),
        ("envoy", "bad_time", b'{"response_code": 200, "start_time": "-"}'),
        ("envoy", "malformed", b"[2026] POST / 200"),
        ("bentoml", "missing_key", b'{"timestamp": "2026-03-04T10:00:00Z"}'),
        ("bentoml", "wrong_type", b'{"columns": [{"name": 5, "role": "feature"}]}'),
    ],
    ids=str,
)
def test_a_log_line_that_cannot_be_used_is_rejected(name: str, reason: str, line: bytes) -> None:
    assert list(reasons(make(name).decode(line))) == [reason]


TABLE_ROWS = [
    {"age": 41, "income": 52000.5, "plan": "gold", "prediction": 1},
    {"age": 23, "plan": "basic", "prediction": 0},
]


def test_a_table_s_columns_are_told_by_their_names() -> None:
    decoded = make("csv", timezone="UTC").decode(sample("table.csv"))

    assert columns(decoded) == TABLE_ROWS
    assert rows(decoded, "ts", "status") == [
        {"ts": TS, "status": STATUS_UNKNOWN},
        {"ts": TS + 1, "status": STATUS_UNKNOWN},
    ]


def test_columns_of_a_table_may_be_called_anything() -> None:
    names = ColumnNames(ts="when", prediction="score", version="build", status="code")
    log = b"when,score,build,code,age\n1772618400.5,0.5,007,200,41\n"

    decoded = make("csv", columns=names).decode(log)

    assert columns(decoded) == [{"age": 41, "prediction": 0.5}]
    assert rows(decoded, "ts", "version", "status") == [
        {"ts": TS + 0.5, "version": "007", "status": 200}
    ]


def test_each_file_of_a_table_may_bring_its_line_of_names() -> None:
    other = b"plan,timestamp,prediction\nsilver,2026-03-04T10:00:02Z,1\n"

    decoded = make("csv", timezone="UTC").decode(sample("table.csv") + other)

    assert columns(decoded) == [*TABLE_ROWS, {"plan": "silver", "prediction": 1}]
    assert decoded.ignored == 2


def test_a_table_s_names_are_remembered_over_a_restart() -> None:
    before, after = make("csv", timezone="UTC"), make("csv", timezone="UTC")
    head, *rest = sample("table.csv").splitlines(keepends=True)
    before.decode(head)
    assert isinstance(before, Holding)
    assert isinstance(after, Holding)

    after.restore(before.encode() or b"")

    assert columns(after.decode(b"".join(rest))) == TABLE_ROWS


def test_a_cell_of_a_wrong_type_is_invalid_in_its_column() -> None:
    decoder = make("csv")
    decoder.fix(Schema({"age": "number", "zip": "category"}))

    decoded = decoder.decode(b'ts,age,zip\n1,old,10115\n2,inf,x\n3,NA,\n4,5,"a,b"\n')

    (batch,) = decoded.batches
    assert batch.columns["age"].invalid_rows == (0, 1)
    assert list(batch.columns["zip"].values) == ["10115", "x", None, "a,b"]


@pytest.mark.parametrize(
    ("reason", "log"),
    [
        ("missing_key", b"age,plan\n"),
        ("malformed", b"ts,age\n1,2,3\n"),
        ("malformed", b"ts,age,age\n"),
        ("missing_key", b"ts,age\n,2\n"),
        ("bad_time", b"ts,age\nnoon,2\n"),
        ("wrong_type", b"ts,latency_ms,age\n1,quick,2\n"),
        ("not_utf8", b"ts,age\n1,\xff\n"),
    ],
    ids=str,
)
def test_a_row_of_a_table_that_cannot_be_used_is_rejected(reason: str, log: bytes) -> None:
    assert list(reasons(make("csv").decode(log))) == [reason]
