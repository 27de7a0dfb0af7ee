"""`format = "auto"` tells a format by the first lines, and waits for them within bounds."""

from __future__ import annotations

import json

import pytest

from collectors.formats.auto import LINES_MAX, AutoFormat
from tests.collectors.decoding import columns, make, reasons, sample
from tests.collectors.events import event, lines

LOGS = {
    "kserve.jsonl": "kserve",
    "kserve-blob.jsonl": "kserve",
    "seldon.jsonl": "seldon",
    "v2.jsonl": "v2",
    "mlserver.jsonl": "v2",
    "sagemaker.jsonl": "sagemaker",
    "azureml.jsonl": "azureml",
    "databricks-legacy.jsonl": "databricks",
    "databricks-gateway.jsonl": "databricks",
    "bentoml-schema.log": "bentoml",
    "bentoml-data.log": "bentoml",
    "nginx.jsonl": "nginx",
    "envoy.jsonl": "envoy",
    "mlflow-trace.jsonl": "mlflow",
    "mlflow.jsonl": "mlflow",
    "table.csv": "csv",
}


def auto() -> AutoFormat:
    made = make("auto", timezone="UTC")
    assert isinstance(made, AutoFormat)
    return made


@pytest.mark.parametrize(("log", "name"), LOGS.items())
def test_each_sample_is_told(log: str, name: str) -> None:
    decoder = auto()

    decoded = decoder.decode(sample(log))

    assert decoder.name == name
    assert columns(decoded) == columns(make(name, timezone="UTC").decode(sample(log))) or (
        name in ("v2", "mlflow")  # dated by the clock, so in another order
    )


def test_the_event_of_kedge_is_told() -> None:
    decoder = auto()

    decoded = decoder.decode(lines(event()))

    assert decoder.name == "kedge"
    assert len(columns(decoded)) == 1


def test_lines_are_held_until_one_tells_and_then_all_are_used() -> None:
    decoder = auto()

    held = decoder.decode(b"# a remark\n")
    decoded = decoder.decode(sample("envoy.jsonl"))

    assert (list(held.batches), list(held.rejections)) == ([], [])
    assert list(reasons(decoded)) == ["malformed"]
    assert sum(batch.rows for batch in decoded.batches) == 1


def test_a_log_that_nobody_knows_is_kedge_s_own_after_some_lines() -> None:
    decoder = auto()

    decoded = decoder.decode(b"hello\n" * LINES_MAX)

    assert decoder.name == "kedge"
    assert list(reasons(decoded)) == ["malformed"] * LINES_MAX


def test_a_log_that_nobody_knows_is_kedge_s_own_after_a_silence() -> None:
    decoder = auto()
    decoder.decode(b"hello\n")

    busy, silent = decoder.expire(0.0, 0.0), decoder.expire(0.0, 10.0)

    assert list(reasons(busy)) == []
    assert list(reasons(silent)) == ["malformed"]


def test_what_was_told_and_held_outlives_a_restart() -> None:
    half, rest = sample("kserve.jsonl").splitlines(keepends=True)[2:]
    before, after = auto(), auto()
    before.decode(half)

    after.restore(before.encode() or b"")
    told = after.name
    decoded = after.decode(rest)

    assert told == "kserve"
    assert decoded.joined == 1


def test_lines_held_outlive_a_restart() -> None:
    before, after = auto(), auto()
    before.decode(b"# a remark\n")

    after.restore(before.encode() or b"")
    decoded = after.decode(json.dumps(event()).encode() + b"\n")

    assert list(reasons(decoded)) == ["malformed"]
    assert len(columns(decoded)) == 1


def test_columns_fixed_or_learnt_before_it_is_told_hold_afterwards() -> None:
    fixed, learnt = auto(), auto()
    schema = make("csv", timezone="UTC")
    schema.decode(sample("table.csv"))
    fixed.fix(schema.schema)
    learnt.learn(schema.schema)

    for decoder in (fixed, learnt):
        decoder.decode(lines(event(features={"age": 1, "new": 2})))

    assert set(fixed.schema.columns) == {"age", "income", "plan", "prediction"}
    assert set(learnt.schema.columns) == {"age", "income", "plan", "prediction", "new"}
