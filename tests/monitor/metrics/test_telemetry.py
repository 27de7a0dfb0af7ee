"""Metrics and traces over OTLP: the catalogue of /metrics, read when it is sent."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from monitor.metrics.catalogue import Metrics
from monitor.settings.otel import OtelSettings
from monitor.telemetry.metrics import named
from monitor.telemetry.telemetry import Telemetry
from rollback.record import GateResult, RollbackRecord, StepRecord, Transition
from tests.monitor.daemon import eventually, running
from tests.monitor.events import append, events, lines
from tests.monitor.otlp_receiver import otlp_receiver
from tests.monitor.test_daemon import BEGIN, configuration

#: What OpenTelemetry's exporters for Prometheus append for a unit.
SUFFIXES = {"s": "_seconds", "By": "_bytes", "1": "_ratio", "": ""}


def test_every_name_is_that_of_the_catalogue_again_when_it_comes_to_prometheus() -> None:
    for family in Metrics(columns_max=5, versions_max=5).registry.collect():
        name, unit = named(family.name)

        assert name.startswith("kedge.")
        assert name.replace(".", "_") + SUFFIXES[unit] == family.name


def test_a_histogram_has_the_counts_of_its_own_buckets() -> None:
    metrics = Metrics(columns_max=5, versions_max=5)
    for seconds in (0.3, 0.4, 100.0, 2_000.0):
        metrics.rollback_duration.observe(seconds)

    with otlp_receiver() as receiver:
        telemetry = sending(receiver.url, metrics)
        telemetry.close()

    (point,) = receiver.metrics["kedge.rollback_duration"].histogram.data_points
    assert list(point.explicit_bounds) == [0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 900.0]
    assert list(point.bucket_counts) == [0, 2, 0, 0, 0, 0, 0, 1, 0, 1]
    assert (point.count, point.sum) == (4, 2_100.7)
    assert receiver.metrics["kedge.rollback_duration"].unit == "s"


def test_a_rollback_is_a_trace_with_a_span_for_each_phase_gate_and_step() -> None:
    begun = 1_772_618_400.0
    record = RollbackRecord(
        *("r1", "m", "ACTING", "psi of age", begun, begun, begun + 900.0),
        from_version="3",
        to_version="2",
        gates=(
            GateResult("mode", passed=True, detail="act"),
            GateResult("target", passed=True, detail="2 is fit"),
        ),
        steps=(StepRecord("alias", "doing", 1), StepRecord("traffic")),
        timings={"confirmed": begun, "acting": begun + 1.0},
    )
    done = (StepRecord("alias", "done", 1), StepRecord("traffic", "done", 1))
    resolved = replace(
        record,
        state="RESOLVED",
        outcome="resolved",
        steps=done,
        updated=begun + 60.0,
        timings={**record.timings, "verifying": begun + 4.0, "resolved": begun + 60.0},
    )
    moved = Transition("m", begun + 1.0, "INTENDED", "ACTING", "so", None, "r1")

    with otlp_receiver() as receiver:
        telemetry = sending(receiver.url, Metrics(columns_max=5, versions_max=5))
        hear = telemetry.traces.hear
        hear(moved, record)
        second = (done[0], StepRecord("traffic", "doing", 1))
        hear(replace(moved, at=begun + 2.0), replace(record, steps=second))
        verifying = replace(record, steps=done, state="VERIFYING")
        hear(replace(moved, at=begun + 4.0, after="VERIFYING"), verifying)
        hear(replace(moved, at=begun + 60.0, after="RESOLVED"), resolved)
        telemetry.close()

    spans = {span.name: span for span in receiver.spans}
    root = spans.pop("rollback")
    assert len({span.trace_id for span in receiver.spans}) == 1
    assert all(span.parent_span_id == root.span_id for span in spans.values())
    about = {one.key: one.value.string_value for one in root.attributes}
    assert about["kedge.rollback.id"] == "r1"
    lasted_s = {
        name: (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
        for name, span in spans.items()
    }
    assert lasted_s == {
        "phase confirmed": 1.0,
        "phase acting": 3.0,
        "phase verifying": 56.0,
        "phase resolved": 0.0,
        "gate mode": 0.0,
        "gate target": 0.0,
        "step alias": 1.0,
        "step traffic": 2.0,
    }


def sending(url: str, metrics: Metrics) -> Telemetry:
    lost = metrics.limited.labels("lost_spans").inc
    telemetry = Telemetry(OtelSettings(url), "m", metrics.registry, lost)
    telemetry.start()
    return telemetry


def lost_spans(metrics: Metrics) -> float:
    labels = {"limit": "lost_spans"}
    return metrics.registry.get_sample_value("kedge_limit_reached_total", labels) or 0.0


def tell_rollbacks(telemetry: Telemetry, count: int) -> int:
    """Tell of so many refused rollbacks; return the number of their spans."""
    begun = 1_772_618_400.0
    gates = tuple(
        GateResult(gate, passed=False, detail="no") for gate in ("mode", "target", "budget")
    )
    for number in range(count):
        record = RollbackRecord(
            *(f"r{number}", "m", "REFUSED", "psi of age", begun, begun, begun + 900.0),
            gates=gates,
            outcome="refused",
        )
        moved = Transition("m", begun, "CONFIRMED", "REFUSED", "so", None, record.id)
        telemetry.traces.hear(moved, record)
    return count * (1 + len(gates))


def test_spans_that_nobody_takes_are_counted() -> None:
    metrics = Metrics(columns_max=5, versions_max=5)
    telemetry = sending("http://127.0.0.1:1", metrics)

    told = tell_rollbacks(telemetry, 20)
    telemetry.close()

    eventually(lambda: lost_spans(metrics) == told, what="all spans are counted as lost")


def test_spans_beyond_the_queue_are_counted_and_the_others_come() -> None:
    metrics = Metrics(columns_max=5, versions_max=5)
    with otlp_receiver() as receiver:
        receiver.answers.clear()
        telemetry = sending(receiver.url, metrics)
        told = tell_rollbacks(telemetry, 1_000)
        lost = lost_spans(metrics)
        receiver.answers.set()
        telemetry.close()

    assert lost > 0
    assert len(receiver.spans) == told - lost == told - lost_spans(metrics)


@pytest.mark.real
def test_a_daemon_sends_what_its_page_shows(tmp_path: Path) -> None:
    append(tmp_path / "predictions.jsonl", lines(events(500, version="7", begins=BEGIN)))
    with otlp_receiver() as receiver:
        more = f'[otel]\nendpoint = "{receiver.url}"\ninterval = "100ms"\n'
        with running(configuration(tmp_path, more=more)) as kedge:
            kedge.counted(500)

            def sent() -> float:
                metric = receiver.metrics.get("kedge.predictions")
                points = metric.sum.data_points if metric else []
                return sum((float(one.as_double) for one in points), 0.0)

            eventually(lambda: sent() == 500, what="all predictions are told")
            page = kedge.page("/metrics")
            assert kedge.stop() == 0

    assert set(re.findall(r"^kedge_predictions_total\{.*\} (.+)$", page, re.MULTILINE)) == {"500.0"}
    (point,) = receiver.metrics["kedge.predictions"].sum.data_points
    labels = {one.key: one.value.string_value for one in point.attributes}
    assert labels == {"model": "m", "version": "7", "status": "200"}
    assert receiver.metrics["kedge.predictions"].sum.is_monotonic
    assert receiver.resource["service.name"] == "kedge"
    assert receiver.resource["kedge.model"] == "m"


@pytest.mark.real
def test_a_collector_that_is_away_is_told_of_once_and_holds_up_nothing(tmp_path: Path) -> None:
    append(tmp_path / "predictions.jsonl", lines(events(500, version="7", begins=BEGIN)))
    more = '[otel]\nendpoint = "http://127.0.0.1:1"\ninterval = "100ms"\n'

    with running(configuration(tmp_path, more=more)) as kedge:
        kedge.counted(500)
        said = "metrics are not taken by http://127.0.0.1:1"
        eventually(lambda: said in kedge.log.read_text(), what="the complaint")
        began = time.monotonic()
        assert kedge.stop() == 0

    assert time.monotonic() - began < 20.0
    assert kedge.log.read_text().count(said) == 1
