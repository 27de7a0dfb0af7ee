"""Streams in which nothing changes: how often each detector's defaults alarm all the same.

Printed with ``pytest -s``; docs/statistics.md tells of them.
"""

from __future__ import annotations

import numpy as np
import pytest

from collectors.batch import Floats
from detectors.change.change_kinds import CHANGE_KINDS, ChangeSpec, Subject
from detectors.change.change_stream import ChangeStream

ROWS = 500_000


def alarms(kind: str, subject: Subject, values: Floats) -> int:
    spec = ChangeSpec(kind, subject, (), "up", CHANGE_KINDS[kind](), per_second_max=10**9)
    stream = ChangeStream(spec, None)
    ts = np.arange(len(values)) / 100.0
    parts = range(0, len(values), 10_000)
    taken = [stream.take(values[at : at + 10_000], ts[at : at + 10_000]) for at in parts]
    return sum(len(one.changes) for one in taken)


def numbers(shape: str, rows: int) -> Floats:
    rng = np.random.default_rng(11)
    if shape == "lognormal":
        return rng.lognormal(3, 1, rows)
    if shape == "heavy-tailed":
        return rng.standard_t(2, rows)
    return rng.normal(40, 10, rows)


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["normal", "lognormal", "heavy-tailed"])
@pytest.mark.parametrize("kind", ["adwin", "page_hinkley", "kswin"])
def test_numbers_that_do_not_change_raise_at_most_one_alarm(kind: str, shape: str) -> None:
    # KSWIN costs a hundred times the others.
    values = numbers(shape, ROWS // 5 if kind == "kswin" else ROWS)

    found = alarms(kind, "latency", values)

    print(f"{kind} {shape}: {found} of {len(values)}")  # noqa: T201 - what -s is for
    assert found <= 1


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.01, 0.05, 0.3])
@pytest.mark.parametrize("kind", ["adwin", "page_hinkley", "ddm", "eddm", "hddm_a", "hddm_w"])
def test_an_error_rate_that_does_not_change_raises_at_most_one_alarm(
    kind: str, rate: float
) -> None:
    values = (np.random.default_rng(12).random(ROWS) < rate).astype(np.float64)

    found = alarms(kind, "errors", values)

    print(f"{kind} {rate}: {found} of {ROWS}")  # noqa: T201 - as above
    assert found <= 1
