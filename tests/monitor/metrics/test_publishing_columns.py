"""The shape of columns is exported within limits, and for the version that serves only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from detectors.columns.side_by_side import Bars, Counted, beside
from monitor.metrics.catalogue import Metrics
from monitor.pictures.distributions import Distribution
from monitor.pictures.last_windows import Held
from monitor.publishing.columns import COLUMNS_MAX, ColumnPublisher, shares_of

BARS = Bars("ranges", (0.0,), (3, 1), 0)
COUNTED = Counted((1, 1), 2, 0)


def held(*names: str, version: str = "1") -> Held:
    """A last window, as the engine holds it."""
    cut, counts = dict.fromkeys(names, BARS), dict.fromkeys(names, COUNTED)
    payloads = (msgspec.msgpack.encode(cut), msgspec.msgpack.encode(counts))
    return Held(version, "", 0.0, 1.0, 4, Distribution("cut", *payloads))


def shown(metrics: Metrics) -> Mapping[tuple[str, ...], Any]:
    (family,) = metrics.column_share.collect()
    order = ("version", "column", "bar", "of")
    return {tuple(sample.labels[name] for name in order): sample.value for sample in family.samples}


def test_each_bar_has_its_share_on_both_sides() -> None:
    metrics = Metrics(columns_max=10, versions_max=10)

    ColumnPublisher("m", metrics).show({"1": held("age")}, "1")

    assert shown(metrics) == {
        ("1", "age", "01 up to 0", "reference"): 0.75,
        ("1", "age", "01 up to 0", "window"): 0.25,
        ("1", "age", "02 above 0", "reference"): 0.25,
        ("1", "age", "02 above 0", "window"): 0.25,
        ("1", "age", "03 missing", "reference"): 0.0,
        ("1", "age", "03 missing", "window"): 0.5,
    }


def test_the_version_that_served_before_leaves_the_page() -> None:
    metrics = Metrics(columns_max=10, versions_max=10)
    publisher = ColumnPublisher("m", metrics)
    windows = {"1": held("age"), "2": held("age", "plan", version="2")}

    publisher.show(windows, "2")
    publisher.show(windows, "1")

    assert {labels[:2] for labels in shown(metrics)} == {("1", "age")}


def test_what_data_calls_a_new_category_never_becomes_a_label() -> None:
    bars = Bars("categories", ("gold",), (4, 0), 0)
    column = beside(bars, Counted((1, 0), 0, 3, dict.fromkeys("xyz", 1)))

    found = list(shares_of(column))

    assert found == [
        *(("01 gold", 1.0, 0.25), ("02 other", 0.0, 0.0)),
        *(("03 new", 0.0, 0.75), ("04 missing", 0.0, 0.0)),
    ]


def test_past_the_limit_columns_are_left_out_and_counted_but_never_the_prediction() -> None:
    metrics = Metrics(columns_max=1_000, versions_max=10)
    publisher = ColumnPublisher("m", metrics)
    many = [f"a{number:03d}" for number in range(COLUMNS_MAX + 4)]

    publisher.show({"1": held(*many, "prediction")}, "1")

    columns = {column for _, column, _, _ in shown(metrics)}
    assert len(columns) == COLUMNS_MAX
    assert "prediction" in columns
    assert publisher.left_out == 5


@pytest.mark.parametrize("live", [None, "9"])
def test_a_version_without_a_window_shows_nothing(live: str | None) -> None:
    metrics = Metrics(columns_max=10, versions_max=10)

    ColumnPublisher("m", metrics).show({"1": held("age")}, live)

    assert shown(metrics) == {}
