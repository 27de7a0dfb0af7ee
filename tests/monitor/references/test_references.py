"""Which rows make a reference, which are left for the windows, and what happens without a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from collectors.batch import CategoryColumn, NumberColumn, PredictionBatch
from detectors.reference.reference import ReferenceBuilder
from detectors.reference.reference_file import dump
from monitor.references.files import FileReferences
from monitor.references.first import FirstEvents
from monitor.references.references import standing_of


def batch(values: list[float], status: list[int] | None = None) -> PredictionBatch:
    rows = len(values)
    return PredictionBatch(
        model="m",
        version="7",
        role="live",
        latency_kind="server",
        ts=np.arange(rows, dtype=float),
        latency_ms=np.full(rows, np.nan),
        status=np.array(status or [200] * rows),
        weight=np.ones(rows),
        columns={
            "x": NumberColumn(np.array(values)),
            "plan": CategoryColumn(["gold"] * rows),
        },
    )


def numbers(rest: PredictionBatch | None) -> list[float]:
    if rest is None:
        return []
    column = rest.columns["x"]
    assert isinstance(column, NumberColumn)
    return [float(value) for value in column.values]


@pytest.mark.parametrize("cuts", [[10], [3, 10], [1, 2, 5, 9, 10]])
def test_the_reference_is_the_first_rows_wherever_the_log_was_cut(cuts: list[int]) -> None:
    values = [float(number) for number in range(10)]
    references = FirstEvents(6, 1000, clock=lambda: 0.0)

    left: list[float] = []
    for begins, ends in zip([0, *cuts], cuts, strict=False):
        rest = references.collect(batch(values[begins:ends]))
        left += numbers(rest)

    reference = references.of("7")
    assert reference is not None
    assert reference.columns["x"].points.tolist() == values[:6]  # type: ignore[union-attr]  # a number column
    assert left == values[6:]


def test_failed_requests_neither_enter_the_reference_nor_count_towards_it() -> None:
    references = FirstEvents(2, 1000, clock=lambda: 0.0)

    rest = references.collect(batch([1.0, np.nan, 2.0, np.nan, 3.0], [200, 500, 200, 400, 200]))

    reference = references.of("7")
    assert reference is not None
    assert reference.columns["x"].missing == 0
    assert rest is not None
    assert rest.status.tolist() == [400, 200]


def test_collecting_goes_on_after_a_restart() -> None:
    before = FirstEvents(4, 1000)
    before.collect(batch([1.0, 2.0, 3.0]))
    states = before.changed()

    after = FirstEvents(4, 1000)
    after.restore({name: state for name, state in states.items() if state is not None})
    rest = after.collect(batch([4.0, 5.0]))

    reference = after.of("7")
    assert reference is not None
    assert reference.rows == 4
    assert numbers(rest) == [5.0]


def test_a_complete_reference_replaces_what_was_collected_in_the_store() -> None:
    references = FirstEvents(2, 1000)
    references.collect(batch([1.0, 2.0]))

    states = references.changed()

    assert states["reference-collecting-0"] is None
    assert states["reference-collected-0"] is not None
    assert references.changed() == {}


def reference_file(path: Path, values: list[float]) -> None:
    builder = ReferenceBuilder()
    builder.add(batch(values).columns)
    path.write_bytes(dump(builder.build(0.0, "test")))


def test_each_version_is_compared_with_a_file_of_its_own(tmp_path: Path) -> None:
    reference_file(tmp_path / "1.kedge", [1.0])
    reference_file(tmp_path / "2.kedge", [1.0, 2.0])
    references = FileReferences(str(tmp_path / "{version}.kedge"))

    rows = {version: references.of(version) for version in ("1", "2", "3")}

    assert {version: found and found.rows for version, found in rows.items()} == {
        "1": 1,
        "2": 2,
        "3": None,
    }


@pytest.mark.parametrize("version", ["../2", "/etc/passwd", "..", ".hidden", "a/b"])
def test_a_version_out_of_a_log_names_no_file_elsewhere(tmp_path: Path, version: str) -> None:
    (tmp_path / "sub").mkdir()
    reference_file(tmp_path / "2.kedge", [1.0])
    references = FileReferences(str(tmp_path / "sub" / "{version}.kedge"))

    assert references.of(version) is None


def test_a_damaged_file_is_no_reference_and_no_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "r.kedge").write_bytes(b"not a reference")
    references = FileReferences(str(tmp_path / "r.kedge"))

    first, second = references.of("1"), references.of("1")

    assert first is second is None
    assert len(caplog.records) == 1


def test_a_file_that_comes_later_is_found(tmp_path: Path) -> None:
    now = [0.0]
    references = FileReferences(str(tmp_path / "r.kedge"), clock=lambda: now[0])
    before = references.of("1")
    reference_file(tmp_path / "r.kedge", [1.0])
    now[0] = 31.0

    after = references.of("1")

    assert before is None
    assert after is not None


def test_the_status_names_the_reference_of_a_version_or_why_there_is_none(tmp_path: Path) -> None:
    reference_file(tmp_path / "1.kedge", [1.0, 2.0])
    files = FileReferences(str(tmp_path / "{version}.kedge"))

    ready, missing = standing_of(files, "1"), standing_of(files, "2")

    reference = files.of("1")
    assert reference is not None
    assert (ready["state"], ready["rows"], ready["origin"]) == ("ready", 2, "test")
    assert reference.digest.startswith(ready["digest"])
    assert (missing["state"], missing["why"]) == ("none", f"{tmp_path}/2.kedge is missing")


def test_the_status_says_how_many_of_the_first_events_are_collected() -> None:
    references = FirstEvents(4, 1000)
    references.collect(batch([1.0, 2.0, 3.0]))

    collecting = standing_of(references, "7")

    assert collecting["why"] == "3 of the first 4 events of version 7"
