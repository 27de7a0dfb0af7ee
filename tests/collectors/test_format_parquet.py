"""Parquet files in a folder: each row once, over restarts, half-written files and naked times."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from collectors.formats.options import ColumnNames
from collectors.parquet_folder import GONE_S, ROWS_AT_A_TIME, ParquetFolder, ParquetSettings
from collectors.source import Chunk
from tests.collectors.decoding import TS, columns, make, reasons, rows

BEGIN = datetime(2026, 3, 4, 10, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def write(path: Path, table: dict[str, Any], *, row_group: int | None = None) -> None:
    """Put a table there as a careful writer does: under another name first."""
    beside = path.with_name(f".{path.name}")
    pq.write_table(pa.table(table), beside, row_group_size=row_group)
    beside.rename(path)


def numbers(count: int, *, start: int = 0) -> dict[str, Any]:
    return {
        "timestamp": [BEGIN + timedelta(seconds=start + i) for i in range(count)],
        "n": [float(start + i) for i in range(count)],
        "prediction": [i / 10 for i in range(count)],
    }


def follow(
    folder: Path, clock: Clock | None = None, columns: ColumnNames | None = None
) -> ParquetFolder:
    settings = ParquetSettings(str(folder / "*.parquet"), columns=columns or ColumnNames())
    return ParquetFolder(settings, monotonic=clock or Clock(), wall=lambda: 4e9)


def drained(source: ParquetFolder) -> list[Chunk]:
    chunks: list[Chunk] = []
    while part := source.poll():
        chunks += part
    return chunks


def decoded(chunks: list[Chunk], **options: Any) -> Any:  # noqa: ANN401 - a Decoded
    return make("exchange", **options).decode(b"".join(chunk.lines for chunk in chunks))


def values(chunks: list[Chunk]) -> list[float]:
    return [row["n"] for row in columns(decoded(chunks))] if chunks else []


def test_rows_of_files_are_read_once_the_oldest_file_first(tmp_path: Path) -> None:
    write(tmp_path / "b.parquet", numbers(3))
    write(tmp_path / "a.parquet", numbers(2, start=3))
    os.utime(tmp_path / "b.parquet", (1, 1))
    source = follow(tmp_path)

    first, again = drained(source), drained(source)

    assert [Path(chunk.stream).name for chunk in first if chunk.lines] == ["b.parquet", "a.parquet"]
    assert values(first) == [0, 1, 2, 3, 4]
    assert again == []
    assert not source.unread_bytes()


def test_a_file_that_appears_later_is_read(tmp_path: Path) -> None:
    clock = Clock()
    source = follow(tmp_path, clock)
    before = drained(source)

    write(tmp_path / "a.parquet", numbers(2))
    clock.now += 10

    assert (before, values(drained(source))) == ([], [0, 1])


def test_a_restart_reads_on_within_a_file(tmp_path: Path) -> None:
    total = 3 * ROWS_AT_A_TIME + 7
    write(tmp_path / "a.parquet", numbers(total), row_group=ROWS_AT_A_TIME + 300)
    chunks = drained(follow(tmp_path))

    for stop in range(1, len(chunks)):
        resumed = follow(tmp_path)
        resumed.restore({chunks[stop - 1].stream: chunks[stop - 1].position})
        rest = drained(resumed)

        assert values(chunks[:stop]) + values(rest) == list(range(total))


def test_times_without_a_zone_and_of_nanoseconds_and_other_types(tmp_path: Path) -> None:
    naked = pa.array([datetime(2026, 3, 4, 11)], pa.timestamp("ns"))  # noqa: DTZ001 - what is tested
    table = {
        "when": naked,
        "amount": [Decimal("1.50")],
        "nested": [{"zip": "10115", "at": [52.5, 13.4]}],
        "version": [7],
        "score": [0.5],
    }
    write(tmp_path / "a.parquet", table)
    names = ColumnNames(ts="when", prediction="score")
    chunks = drained(follow(tmp_path, columns=names))

    refused, berlin = decoded(chunks), decoded(chunks, timezone="Europe/Berlin")

    assert list(reasons(refused)) == ["bad_time"]
    assert columns(berlin) == [
        {
            "amount": 1.5,
            "nested.zip": "10115",
            "nested.at.0": 52.5,
            "nested.at.1": 13.4,
            "prediction": 0.5,
        }
    ]
    assert rows(berlin, "ts", "version", "status") == [{"ts": TS, "version": "7", "status": -1}]


def test_a_table_of_events_is_read_as_events(tmp_path: Path) -> None:
    table = {
        "id": ["a", "b"],
        "ts": [TS, TS + 1],
        "version": ["7", None],
        "latency_ms": [12.5, None],
        "status": [None, 500],
        "features": [{"age": 41.0, "plan": "gold"}, {"age": None, "plan": "basic"}],
        "prediction": [0.83, None],
    }
    write(tmp_path / "a.parquet", table)

    found = decoded(drained(follow(tmp_path)))

    assert columns(found) == [
        {"age": 41, "plan": "gold", "prediction": 0.83},
        {"plan": "basic"},
    ]
    assert rows(found, "version", "latency_ms", "status") == [
        {"version": "7", "latency_ms": 12.5, "status": 200},
        {"version": "unknown", "status": 500},
    ]


def test_a_file_that_is_being_written_is_waited_for(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    pq.write_table(pa.table(numbers(2)), whole)
    path = tmp_path / "a.parquet"
    path.write_bytes(whole.read_bytes()[:-20])
    clock, settings = Clock(), ParquetSettings(str(tmp_path / "*.parquet"))
    source = ParquetFolder(settings, monotonic=clock, wall=lambda: path.stat().st_mtime + 1)

    half = drained(source)
    path.write_bytes(whole.read_bytes())
    clock.now += 10

    assert (half, values(drained(source))) == ([], [0, 1])


@pytest.mark.parametrize("content", [b"", b"no table", b"PAR1" + bytes(100) + b"PAR1"], ids=repr)
def test_a_damaged_file_is_given_up_once_and_stops_no_other(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    os.utime(tmp_path / "a.parquet", (1, 1))
    write(tmp_path / "b.parquet", numbers(2))
    source = follow(tmp_path)

    chunks, again = drained(source), drained(source)

    assert values(chunks) == [0, 1]
    assert list(reasons(decoded(chunks))) == ["malformed"]
    assert b"a.parquet" in decoded(chunks).rejections[0].line
    assert again == []


def test_a_file_is_forgotten_only_when_it_was_gone_for_long(tmp_path: Path) -> None:
    path, clock = tmp_path / "a.parquet", Clock()
    write(path, numbers(2))
    source = follow(tmp_path, clock)
    drained(source)
    content, status = path.read_bytes(), path.stat()

    path.unlink()
    clock.now += GONE_S / 2
    drained(source)
    soon = source.retired()
    path.write_bytes(content)  # the folder is mounted again
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    clock.now += GONE_S
    again = drained(source)
    path.unlink()
    clock.now += 10
    drained(source)
    clock.now += GONE_S
    gone = source.retired()

    assert (list(soon), again) == ([], [])
    assert list(gone) == [str(path)]
