"""No line, however odd, stops a format or takes a neighbour with it."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectors.batch import REASONS
from collectors.format import Holding
from collectors.kinds import FORMATS
from tests.collectors.decoding import make, reasons, sample

SAMPLES = {
    "mlflow": ("mlflow.jsonl", "mlflow-trace.jsonl"),
    "v2": ("v2.jsonl", "mlserver.jsonl"),
    "kserve": ("kserve.jsonl", "kserve-blob.jsonl"),
    "seldon": ("seldon.jsonl",),
    "cloudevents": ("kserve.jsonl", "seldon.jsonl"),
    "sagemaker": ("sagemaker.jsonl",),
    "azureml": ("azureml.jsonl",),
    "databricks": ("databricks-legacy.jsonl", "databricks-gateway.jsonl"),
    "bentoml": ("bentoml-schema.log", "bentoml-data.log"),
    "nginx": ("nginx.jsonl",),
    "envoy": ("envoy.jsonl",),
}

HOSTILE = {
    "binary": bytes(range(128, 256)),
    "cut off": b'{"ts": 1, "request":',
    "an array": b"[1, 2]",
    "a number": b"5",
    "a string": b'"ts"',
    "null": b"null",
    "an empty object": b"{}",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a lone surrogate": b'{"ts": "\\ud800", "id": "\\ud800"}',
    "1,000,000 open": b"[" * 1_000_000,
    "100,000 deep": b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a long number": b'{"ts": ' + b"9" * 5000 + b"}",
    "an endless number": b'{"ts": 1e999}',
    "a quote without end": b'"a,b',
    "a NUL within": b'{"ts": 1, "x": "a\0b"}',
}

VALUES: list[Any] = [
    *(None, True, -1, 0, 1.5, 10**30, "", "x", "2026-03-04T10:00:00Z", "{", "[1]", "\0", "\ud83d"),
    *([], [None], [[]], [{}], [[1, [2]]], {}, {"a": {"b": {"c": {"d": {"e": 1}}}}}),
    {"name": "x", "shape": [0], "data": []},
]


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "kedge"])
@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE)
def test_no_hostile_line_raises(name: str, line: bytes) -> None:
    decoder = make(name, timezone="UTC")

    decoded = decoder.decode(line + b"\n" + line)

    assert set(reasons(decoded)) <= set(REASONS)
    assert "not_mapped" not in reasons(decoded)
    assert sum(batch.rows for batch in decoded.batches) == 0


@pytest.mark.parametrize("name", SAMPLES)
def test_a_hostile_line_takes_no_neighbour_with_it(name: str) -> None:
    logs = b"".join(sample(log) for log in SAMPLES[name])
    bad = b"".join(line + b"\n" for line in HOSTILE.values())
    lines = logs.splitlines(keepends=True)

    alone = make(name, timezone="UTC").decode(logs)
    mixed = make(name, timezone="UTC").decode(b"".join(line + bad for line in lines))

    assert sum(one.rows for one in mixed.batches) == sum(one.rows for one in alone.batches)
    assert len(mixed.rejections) == len(alone.rejections) + len(HOSTILE) * len(lines)


@pytest.mark.parametrize("name", SAMPLES)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_a_sample_with_any_value_exchanged_is_used_or_rejected_by_a_reason(
    name: str, seed: int
) -> None:
    rng = random.Random(seed)
    line = rng.choice([part for log in SAMPLES[name] for part in sample(log).splitlines()])
    exchanged = _exchanged(json.loads(line), rng)
    decoder = make(name, timezone="UTC")

    decoded = decoder.decode(json.dumps(exchanged).encode() + b"\n")

    assert set(reasons(decoded)) <= set(REASONS)
    assert "not_mapped" not in reasons(decoded), exchanged
    if isinstance(decoder, Holding):
        decoder.expire(2e9, 1e9)


def _exchanged(value: Any, rng: random.Random) -> Any:  # noqa: ANN401 - any JSON
    """Exchange one value somewhere within, also within text that is JSON."""
    if isinstance(value, str) and value[:1] in "{[" and rng.random() < 0.8:
        try:
            return json.dumps(_exchanged(json.loads(value), rng))
        except ValueError:
            pass
    if isinstance(value, dict | list) and value and rng.random() < 0.9:
        key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
        changed = value.copy()
        changed[key] = _exchanged(value[key], rng)
        return changed
    return rng.choice(VALUES)
