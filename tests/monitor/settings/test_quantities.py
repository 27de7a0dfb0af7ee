"""Quantities of a configuration: what is one, what is none, and that writing and reading agree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.settings.quantities import (
    EventSpan,
    Quorum,
    TimeSpan,
    parse_duration,
    parse_quorum,
    parse_size,
    parse_span,
    render_duration,
    render_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("30s", 30), ("5m", 300), ("4h", 14_400), ("7d", 604_800), ("1d12h", 129_600)],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("value", ["", "5", 5, "5 m", "-5m", "5M", "m", "5m4h", "1e3s", True, None])
def test_what_has_no_clear_unit_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError):
        parse_duration(value)


@given(st.integers(min_value=0, max_value=10**12))
def test_a_duration_written_back_is_read_as_the_same(milliseconds: int) -> None:
    seconds = milliseconds / 1000

    assert parse_duration(render_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("value", "size_bytes"),
    [("64KiB", 65_536), ("64MiB", 67_108_864), ("1GiB", 2**30), ("10MB", 10**7), (512, 512)],
)
def test_a_size_is_read_in_bytes(value: object, size_bytes: int) -> None:
    assert parse_size(value) == size_bytes


@pytest.mark.parametrize("value", ["", "64", "64Mib", "-1B", -1, True, 1.5, "64 mb"])
def test_what_is_ambiguous_is_no_size(value: object) -> None:
    with pytest.raises(ValueError):
        parse_size(value)


@given(st.integers(min_value=0, max_value=2**50))
def test_a_size_written_back_is_read_as_the_same(size_bytes: int) -> None:
    assert parse_size(render_size(size_bytes)) == size_bytes


def test_a_span_is_time_or_events() -> None:
    assert parse_span("5m") == TimeSpan(300.0)
    assert parse_span("1000 events") == EventSpan(1000)
    assert str(parse_span("90s")) == "90s"


@pytest.mark.parametrize("value", ["0s", "0 events", "1000", 1000, "many events", "1.5 events"])
def test_a_span_of_nothing_is_none(value: object) -> None:
    with pytest.raises(ValueError):
        parse_span(value)


@pytest.mark.parametrize("value", ["0 of 4", "5 of 4", "3/4", "3 of 100000", 3])
def test_a_quorum_that_cannot_be_met_is_none(value: object) -> None:
    with pytest.raises(ValueError):
        parse_quorum(value)

    assert parse_quorum("3 of 4") == Quorum(3, 4)
