"""The spool: what it took is read once, in order; what it could not keep is counted."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.spool.files import Place, SpoolClosedError, SpoolError
from collectors.spool.reader import SpoolReader
from collectors.spool.segment import HEADER_BYTES
from collectors.spool.spool import Batch, Spool
from tests.collectors.spooling import KIB, batch, event, open_spool, read_all, segments, spooled


def test_what_is_appended_is_read_once_and_in_order(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    reader = SpoolReader(spool, None)

    spooled(spool, 0, 50)
    first = read_all(reader)
    spooled(spool, 50, 60)
    second = read_all(reader)

    assert first == (list(range(50)), 0)
    assert second == (list(range(50, 60)), 0)


def test_a_restart_reads_on_behind_what_was_committed(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    reader = SpoolReader(spool, None)
    spooled(spool, 0, 20, size=KIB)
    reader.read(4 * KIB)
    committed = reader.place
    rest, _ = read_all(reader)
    spool.close()

    again = open_spool(tmp_path, after=Place.of(committed.position))
    spooled(again, 20, 25)

    assert read_all(SpoolReader(again, committed)) == ([*rest, *range(20, 25)], 0)


def test_a_full_spool_sheds_the_oldest_and_counts_each_event(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, bytes_max=64 * KIB)
    reader = SpoolReader(spool, None)
    spooled(spool, 0, 5, size=KIB)
    before, _ = read_all(reader)

    spooled(spool, 5, 300, size=KIB)
    on_disk = sum(path.stat().st_size for path in segments(tmp_path))
    after, lost = read_all(reader)

    assert on_disk <= 64 * KIB
    assert before == list(range(5))
    assert after == list(range(300 - len(after), 300))
    assert len(before) + len(after) + lost == 300


def test_what_was_shed_while_nobody_read_is_counted_after_a_restart(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, bytes_max=64 * KIB)
    reader = SpoolReader(spool, None)
    spooled(spool, 0, 5, size=KIB)
    reader.read(64 * KIB)
    committed = reader.place
    spooled(spool, 5, 100, size=KIB)
    spool.close()

    again = open_spool(tmp_path, bytes_max=64 * KIB, after=committed)
    spooled(again, 100, 200, size=KIB)
    after, lost = read_all(SpoolReader(again, committed))

    assert 5 + len(after) + lost == 200


def test_read_segments_are_deleted_only_when_the_reading_was_committed(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, ids_max=0)
    reader = SpoolReader(spool, None)
    spooled(spool, 0, 100, size=KIB)
    count = len(segments(tmp_path))
    begin = reader.place
    read_all(reader)

    spool.release(begin)
    uncommitted = len(segments(tmp_path))
    spool.release(reader.place)

    assert (count > 2, uncommitted) == (True, count)
    assert len(segments(tmp_path)) == 1
    assert spool.backlog_bytes(reader.place) == 0


@pytest.mark.parametrize("cut", [1, 5, 16, 30], ids=lambda cut: f"{cut} bytes short")
def test_a_torn_tail_is_cut_and_counted_and_the_rest_stays(tmp_path: Path, cut: int) -> None:
    spool = open_spool(tmp_path)
    spooled(spool, 0, 10)
    spool.close()
    last = segments(tmp_path)[-1]
    size = last.stat().st_size
    os.truncate(last, size - cut)

    again = open_spool(tmp_path)
    spooled(again, 10, 12)

    assert 0 < again.torn_bytes < size
    assert read_all(SpoolReader(again, None)) == ([*range(9), 10, 11], 0)


def test_garbage_behind_the_last_record_is_cut(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    spooled(spool, 0, 3)
    spool.close()
    with segments(tmp_path)[-1].open("ab") as file:
        file.write(bytes(5000))

    again = open_spool(tmp_path)

    assert again.torn_bytes == 5000
    assert read_all(SpoolReader(again, None)) == ([0, 1, 2], 0)


def test_damage_in_a_segment_costs_its_rest_and_is_counted(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    spooled(spool, 0, 100, size=KIB)
    spool.close()
    paths = segments(tmp_path)
    flip(paths[1], paths[1].stat().st_size // 2)

    again = open_spool(tmp_path)
    reader = SpoolReader(again, None)
    numbers, lost = read_all(reader)

    assert reader.damaged_segments == 1
    assert len(numbers) + lost == 100
    assert 0 < lost < 100 / 2
    assert numbers == sorted(set(numbers))


def test_damage_in_the_segment_being_written_does_not_stop_the_flow(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    spooled(spool, 0, 10)
    flip(segments(tmp_path)[-1], HEADER_BYTES + 20)
    reader = SpoolReader(spool, None)

    nothing = read_all(reader)
    spooled(spool, 10, 15)

    assert nothing == ([], 10)
    assert read_all(reader) == ([10, 11, 12, 13, 14], 0)


def test_a_segment_whose_header_is_damaged_is_passed_over_and_counted(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    spooled(spool, 0, 100, size=KIB)
    spool.close()
    flip(segments(tmp_path)[1], 10)

    again = open_spool(tmp_path)
    numbers, lost = read_all(SpoolReader(again, None))

    assert again.damaged_segments == 1
    assert len(numbers) + lost == 100
    assert lost > 0


def test_an_emptied_folder_begins_behind_what_was_committed(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    reader = SpoolReader(spool, None)
    spooled(spool, 0, 10)
    read_all(reader)
    spool.close()
    for path in segments(tmp_path):
        path.unlink()

    again = open_spool(tmp_path, after=reader.place)
    spooled(again, 10, 20)

    assert read_all(SpoolReader(again, reader.place)) == (list(range(10, 20)), 0)


def test_a_folder_older_than_the_store_is_not_read_again(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    reader = SpoolReader(spool, None)
    spooled(spool, 0, 5)
    size = segments(tmp_path)[0].stat().st_size
    spooled(spool, 5, 10)
    read_all(reader)
    spool.close()
    os.truncate(segments(tmp_path)[0], size)

    again = open_spool(tmp_path, after=reader.place)
    spooled(again, 10, 12)

    assert read_all(SpoolReader(again, reader.place)) == ([10, 11], 0)


def test_the_same_event_twice_is_kept_once(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)

    first = spool.append([batch(event(1), event(2))])
    second = spool.append([batch(event(2), event(3)), batch(event(3))])

    assert (first, second) == ([0], [1, 1])
    assert read_all(SpoolReader(spool, None))[0] == [1, 2, 3]


def test_ids_are_known_again_after_a_restart_also_of_events_that_were_read(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, ids_max=60)
    reader = SpoolReader(spool, None)
    spooled(spool, 0, 100, size=KIB)
    read_all(reader)
    spool.release(reader.place)
    spool.close()

    again = open_spool(tmp_path, ids_max=60, after=reader.place)
    (known,) = again.append([batch(*(event(n, size=KIB) for n in range(40, 110)))])

    assert known == 60
    assert len(segments(tmp_path)) < 6


def test_ids_beyond_the_horizon_are_taken_for_new(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, ids_max=10)
    spooled(spool, 0, 20)

    assert spool.append([batch(event(5)), batch(event(15))]) == [0, 1]


def test_a_line_that_was_too_long_leaves_its_beginning(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    spool.append([Batch([event(1)], [None], [b'{"id": "' + b"x" * 100])])

    reading = SpoolReader(spool, None).read(KIB)

    assert reading is not None
    assert reading.too_long == (b'{"id": "' + b"x" * 100,)
    assert len(reading.lines.splitlines()) == 1


def test_a_disk_that_takes_no_more_is_told_and_nothing_half_written_stays(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, bytes_max=8 << 20)
    spooled(spool, 0, 10)
    size = segments(tmp_path)[-1].stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 3000, hard))
    try:
        with pytest.raises(SpoolError, match="could not write"):
            spool.append([batch(*(event(n, size=KIB) for n in range(10, 20)))])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    again = spool.append([batch(*(event(n, size=KIB) for n in range(10, 20)))])

    assert again == [0]
    assert read_all(SpoolReader(spool, None)) == (list(range(20)), 0)


def test_a_second_process_is_kept_out(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)

    with pytest.raises(SpoolError, match="in use"):
        open_spool(tmp_path)

    spool.close()
    open_spool(tmp_path).close()


def test_a_closed_spool_takes_nothing(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    spool.close()

    with pytest.raises(SpoolClosedError):
        spool.append([batch(event(1))])


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(SpoolError, match=str(tmp_path / "file")):
        open_spool(tmp_path / "file" / "spool")


@settings(max_examples=30, deadline=None)
@given(
    steps=st.lists(
        st.sampled_from(["append", "append many", "read", "commit", "restart"]), max_size=60
    ),
    seed=st.integers(0, 1000),
)
def test_every_event_is_read_or_lost_whatever_the_order_of_things(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    chance = random.Random(seed)
    spool = open_spool(folder, bytes_max=32 * KIB, ids_max=20)
    reader = SpoolReader(spool, None)
    appended = 0
    counted: list[int] = []
    committed: tuple[Place, int, int] = (reader.place, 0, 0)
    lost = 0
    for step in [*steps, "restart"]:
        match step:
            case "append" | "append many":
                count = 1 if step == "append" else 30
                spooled(spool, appended, appended + count, size=chance.randrange(KIB))
                appended += count
            case "read" if (reading := reader.read(4 * KIB)) is not None:
                lost += reading.lost
                counted += [json.loads(one)["prediction"] for one in reading.lines.splitlines()]
            case "commit":
                committed = (reader.place, len(counted), lost)
                spool.release(reader.place)
            case "restart":
                spool.close()
                place, length, lost = committed
                del counted[length:]
                spool = open_spool(folder, bytes_max=32 * KIB, ids_max=20, after=place)
                reader = SpoolReader(spool, place)
    numbers, more = read_all(reader)
    spool.close()

    assert len(counted) + len(numbers) + lost + more == appended
    assert [*counted, *numbers] == sorted({*counted, *numbers})


WRITER = """
import sys
from pathlib import Path
from tests.collectors.spooling import batch, event, open_spool
spool = open_spool(Path(sys.argv[1]), bytes_max=1 << 20)
for number in range(int(sys.argv[2]), 10**9):
    spool.append([batch(event(number, size=number % 3000))])
    print(number, flush=True)
"""


def test_killed_at_any_instant_it_keeps_all_it_acknowledged(tmp_path: Path) -> None:
    spool: Spool | None = None
    chance, begin = random.Random(3), 0
    for _ in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(begin)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        for _ in range(chance.randrange(5, 60)):
            acknowledged = int(process.stdout.readline())
        process.kill()
        rest = process.stdout.read().split()
        process.wait()
        process.stdout.close()
        acknowledged = int(rest[-1]) if rest else acknowledged
        spool = open_spool(tmp_path, bytes_max=1 << 20)
        numbers, lost = read_all(SpoolReader(spool, None))
        spool.close()

        assert lost == 0
        assert numbers == list(range(len(numbers)))
        assert len(numbers) in (acknowledged + 1, acknowledged + 2)
        begin = len(numbers)


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 0xFF]))
