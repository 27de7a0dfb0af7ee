from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from collectors.tail.log_files import Found, find
from collectors.tail.stream_table import KEPT_S, SOUGHT_S
from collectors.tail.tail import POLL_BYTES, TailSettings
from collectors.tail.tailed_files import COPY_WAIT_S, LOOKED
from tests.collectors.following import Following, append, found, ids


def test_a_missing_file_is_waited_for(log: Path, follow: Callable[..., Following]) -> None:
    following = follow(log)

    assert following.look() == []
    append(log, "one")

    assert following.look() == [b"one"]


def test_lines_are_handed_out_as_they_come_and_once(
    log: Path, follow: Callable[..., Following]
) -> None:
    append(log, "one", "two")
    following = follow(log)

    assert following.poll() == [b"one", b"two"]
    append(log, "three")
    assert following.poll() == [b"three"]
    assert following.poll() == []


def test_a_line_without_an_end_waits_until_it_is_completed(
    log: Path, follow: Callable[..., Following]
) -> None:
    append(log, "one", "tw", end="")
    following = follow(log)

    assert following.look() == [b"one"]
    assert sum(following.tail.unread_bytes().values()) == 2
    following.restart()
    assert following.look() == []
    append(log, "o")
    assert following.look() == [b"two"]
    assert not following.tail.unread_bytes()


def test_a_restart_reads_on_where_the_last_stored_position_stands(
    log: Path, follow: Callable[..., Following]
) -> None:
    append(log, *ids(0, 100))
    following = follow(log)
    following.look()

    append(log, *ids(100, 200))
    following.restart()
    following.look()

    assert found(following) == list(range(200))


def test_what_was_not_stored_is_read_again(log: Path, follow: Callable[..., Following]) -> None:
    append(log, *ids(0, 10))
    following = follow(log)
    following.look()
    stored = dict(following.positions)
    append(log, *ids(10, 20))
    following.look()

    following.positions = stored
    following.restart()
    following.lines.clear()
    following.look()

    assert found(following) == list(range(10, 20))


def test_from_the_end_passes_over_what_is_there_at_the_very_first_look(
    log: Path, follow: Callable[..., Following]
) -> None:
    append(log, "old", "par", end="")
    following = follow(log, start="end")

    assert following.look() == []
    following.restart()
    append(log, "tial", "new")
    append(log.with_suffix(".1.jsonl"), "rotated meanwhile")

    assert sorted(following.look()) == [b"new", b"partial", b"rotated meanwhile"]


@pytest.mark.parametrize("down", [False, True], ids=["running", "down"])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_rotation_by_rename_loses_and_repeats_nothing(
    log: Path, follow: Callable[..., Following], times: int, *, down: bool
) -> None:
    append(log, *ids(0, 100))
    following = follow(log)
    following.look()

    append(log, *ids(100, 150))
    for i in range(times):
        for k in range(i, 0, -1):
            log.with_name(f"{log.name}.{k}").rename(f"{log}.{k + 1}")
        log.rename(f"{log}.1")
        append(log, *ids(150 + 50 * i, 200 + 50 * i))
    if down:
        following.restart()
    following.look()

    assert found(following) == list(range(150 + 50 * times))


def test_a_late_writer_in_the_rotated_file_is_heard(
    log: Path, follow: Callable[..., Following]
) -> None:
    following = follow(log)
    with log.open("a") as late:
        late.write("one\n")
        late.flush()
        following.look()
        log.rename(f"{log}.1")
        append(log, "two")
        following.look()
        late.write("three\n")

    assert following.look() == [b"three"]


def test_a_file_renamed_out_of_sight_is_read_to_its_end(
    log: Path, tmp_path: Path, follow: Callable[..., Following]
) -> None:
    append(log, "one")
    following = follow(log)
    following.look()

    log.rename(tmp_path / "elsewhere")
    append(tmp_path / "elsewhere", "two")

    assert following.look() == [b"two"]


def test_a_deleted_file_is_read_to_its_end_and_then_let_go(
    log: Path, follow: Callable[..., Following]
) -> None:
    following = follow(log, linger_s=30.0)
    with log.open("a") as writer:
        writer.write("one\n")
        writer.flush()
        following.look()
        log.unlink()
        writer.write("two\n")
        writer.flush()

        assert following.look() == [b"two"]
        assert len(_open_files(log)) == 2

        following.now += 31.0
        following.look()
        assert len(_open_files(log)) == 1  # the writer's own


def _open_files(log: Path) -> list[str]:
    links = list(Path("/proc/self/fd").iterdir())
    return [str(link) for link in links if _target(link).startswith(str(log))]


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:
        return ""


def test_a_file_deleted_and_made_anew_is_read_from_its_start_whatever_its_inode(
    log: Path, follow: Callable[..., Following]
) -> None:
    following = follow(log, linger_s=0.0)
    for i in range(20):
        append(log, *ids(10 * i, 10 * i + 10))
        following.look()
        log.unlink()
        if i % 2:
            following.restart()
        else:
            following.look()

    assert found(following) == list(range(200))


@pytest.mark.parametrize("down", [False, True], ids=["running", "down"])
@pytest.mark.parametrize("noticed", [False, True], ids=["at once", "copy seen before"])
def test_copy_and_truncate_loses_and_repeats_nothing(
    log: Path, follow: Callable[..., Following], *, down: bool, noticed: bool
) -> None:
    append(log, *ids(0, 100))
    following = follow(log)
    following.look()

    append(log, *ids(100, 150))
    shutil.copyfile(log, f"{log}.1")
    if noticed:
        following.look()
    os.truncate(log, 0)
    append(log, *ids(150, 200))
    if down:
        following.restart()
    following.look()
    following.now += COPY_WAIT_S
    following.look()

    assert sorted(found(following)) == list(range(200))


@pytest.mark.parametrize("down", [False, True], ids=["running", "down"])
def test_a_copy_that_ends_before_what_was_read_is_not_read_again(
    log: Path, follow: Callable[..., Following], *, down: bool
) -> None:
    append(log, *ids(0, 100))
    following = follow(log)
    following.look()

    append(log, *ids(100, 150))
    shutil.copyfile(log, f"{log}.1")
    append(log, *ids(150, 160))
    following.poll()
    os.truncate(log, 0)
    append(log, *ids(160, 170))
    if down:
        following.restart()
    for _ in range(3):
        following.look()
        following.now += COPY_WAIT_S

    assert found(following) == list(range(170))


def test_a_copy_being_written_is_no_new_stream(log: Path, follow: Callable[..., Following]) -> None:
    append(log, *ids(0, 100))
    following = follow(log)
    following.look()
    whole = log.read_bytes()

    for size in (10, 1000, len(whole) - 5, len(whole)):
        Path(f"{log}.1").write_bytes(whole[:size])
        assert following.look() == []
    os.truncate(log, 0)
    append(log, *ids(100, 110))
    following.look()

    assert found(following) == list(range(110))


def test_a_copy_that_was_read_past_is_never_read(
    log: Path, follow: Callable[..., Following]
) -> None:
    append(log, *ids(0, 50))
    following = follow(log)
    following.look()
    shutil.copyfile(log, f"{log}.1")
    append(log, *ids(50, 100))
    following.look()
    following.now += COPY_WAIT_S
    following.look()

    os.truncate(log, 0)
    following.look()
    following.restart()
    following.now += COPY_WAIT_S
    following.look()

    assert found(following) == list(range(100))


def test_a_copy_that_goes_on_by_itself_is_read_on(
    log: Path, follow: Callable[..., Following]
) -> None:
    append(log, *ids(0, 50))
    following = follow(log)
    following.look()
    shutil.copyfile(log, f"{log}.1")
    following.look()

    append(Path(f"{log}.1"), *ids(50, 60))
    append(log, *ids(60, 70))
    following.look()
    append(Path(f"{log}.1"), *ids(70, 80))
    following.look()

    assert sorted(found(following)) == list(range(80))


@pytest.mark.parametrize("down", [False, True], ids=["running", "down"])
def test_a_file_truncated_and_filled_beyond_the_old_offset_is_read_from_its_start(
    log: Path, follow: Callable[..., Following], *, down: bool
) -> None:
    append(log, *ids(0, 50))
    following = follow(log)
    following.look()

    log.write_text("")
    append(log, *ids(50, 200))
    if down:
        following.restart()
    following.look()

    assert found(following) == list(range(200))


@pytest.mark.parametrize("down", [False, True], ids=["running", "down"])
def test_a_hole_left_by_a_writer_that_was_not_told_of_a_truncation_is_passed_over(
    log: Path, follow: Callable[..., Following], *, down: bool
) -> None:
    following = follow(log, max_event_bytes=1000)
    with log.open("w") as writer:
        writer.write("\n".join(ids(0, 100)) + "\n")
        writer.flush()
        following.look()
        os.truncate(log, 0)
        writer.write("\n".join(ids(100, 110)) + "\n")

    if down:
        following.restart()
    following.look()

    assert found(following) == list(range(110))
    assert following.skipped == []


def test_two_logs_with_the_same_first_kibibyte_are_two_streams(
    tmp_path: Path, follow: Callable[..., Following]
) -> None:
    header = "#" * 2000
    one, other = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    append(one, header, "one")
    following = follow(tmp_path / "*.jsonl")
    following.look()

    append(other, header, "two")
    following.look()
    append(one, "three")
    append(other, "four")
    following.look()
    following.now += COPY_WAIT_S
    following.look()

    assert sorted(set(following.lines)) == sorted(
        [header.encode(), b"one", b"two", b"three", b"four"]
    )
    assert following.lines.count(b"two") == following.lines.count(b"four") == 1


def test_a_log_shorter_than_another_with_the_same_start_is_read_after_a_wait(
    tmp_path: Path, follow: Callable[..., Following]
) -> None:
    header = "#" * 2000
    append(tmp_path / "a.jsonl", header, *ids(0, 100))
    following = follow(tmp_path / "*.jsonl")
    following.look()

    append(tmp_path / "b.jsonl", header, "short")
    assert following.look() == []
    following.now += COPY_WAIT_S

    assert following.look() == [header.encode(), b"short"]


def test_rotated_files_at_the_very_first_look_are_history(
    log: Path, follow: Callable[..., Following]
) -> None:
    append(Path(f"{log}.1"), *ids(0, 10))
    append(log.with_name("predictions-20260304.jsonl"), *ids(10, 20))
    append(log, *ids(20, 30))
    following = follow(log)

    following.look()
    log.rename(f"{log}.3")
    following.restart()
    following.look()

    assert found(following) == list(range(20, 30))


@pytest.mark.parametrize("there", [False, True], ids=["no file yet", "an empty file"])
def test_a_file_rotated_before_anything_was_read_is_no_history(
    log: Path, follow: Callable[..., Following], *, there: bool
) -> None:
    if there:
        log.touch()
    following = follow(log)
    following.look()

    append(log, *ids(0, 10))
    log.rename(f"{log}.1")
    append(log, *ids(10, 20))
    following.restart()
    following.look()

    assert sorted(found(following)) == list(range(20))


def test_history_that_did_not_fit_into_the_first_look_stays_history(
    log: Path, follow: Callable[..., Following]
) -> None:
    for i in range(1, 21):
        append(Path(f"{log}.{i}"), f"old {i}")
    append(log, "new")
    following = follow(log, files_open_max=3)

    following.poll()
    following.restart()
    for _ in range(20):
        following.look()

    assert following.lines == [b"new"]


def test_the_older_file_of_a_log_is_read_to_its_end_before_the_newer(
    log: Path, follow: Callable[..., Following]
) -> None:
    following = follow(log)
    append(log, "first")
    following.look()
    many = ["x" * 999] * (POLL_BYTES // 1000 + 2000)
    append(log, *many, "last of the old")
    log.rename(f"{log}.1")
    append(log, "first of the new")
    os.utime(f"{log}.1", (1, 1))

    following.look()

    assert following.lines[-2:] == [b"last of the old", b"first of the new"]


@pytest.mark.parametrize("ending", ["", ".gz"], ids=["plain", "compressed"])
def test_files_renamed_between_listing_and_opening_are_read_in_their_order(
    log: Path, follow: Callable[..., Following], monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    following = follow(log)
    append(log, *ids(0, 1))
    following.look()
    oldest, older = log.with_name(f"{log.name}.2{ending}"), log.with_name(f"{log.name}.1{ending}")
    for path, number in ((oldest, 1), (older, 2)):
        lines = ids(1000 * number, 1000 * number + 100)
        data = b"".join(line.encode() + b"\n" for line in lines)
        path.write_bytes(gzip.compress(data) if ending else data)
        os.utime(path, (number, number))
    log.unlink()
    append(log, *ids(3000, 3100))

    def rotated_after_the_last_listing(pattern: str) -> list[Found]:
        listed = find(pattern)
        calls.append(listed)
        if len(calls) == 2:
            oldest.rename(log.with_name(f"{log.name}.3{ending}"))
            older.rename(oldest)
        return listed

    calls: list[list[Found]] = []
    monkeypatch.setattr("collectors.tail.tailed_files.find", rotated_after_the_last_listing)
    following.look()

    assert len(calls) > 2
    assert found(following)[1:] == [*range(1000, 1100), *range(2000, 2100), *range(3000, 3100)]


def test_live_logs_take_turns(tmp_path: Path, follow: Callable[..., Following]) -> None:
    for name in "abc":
        append(tmp_path / f"{name}.jsonl", *[name * 999] * 3000)
    following = follow(tmp_path / "*.jsonl")

    following.poll()

    assert {line[:1] for line in following.lines} == {b"a", b"b", b"c"}
    following.look()
    assert len(following.lines) == 9000


def test_a_poll_hands_out_a_bounded_amount(log: Path, follow: Callable[..., Following]) -> None:
    append(log, *["x" * 999] * 20_000)
    following = follow(log)

    following.poll()

    handed = sum(len(chunk.lines) for chunk in following.chunks)
    assert handed <= POLL_BYTES + (1 << 20)
    assert sum(following.tail.unread_bytes().values()) == 20_000_000 - handed
    following.look()
    assert len(following.lines) == 20_000


def test_a_line_too_long_is_skipped_once_and_its_neighbours_are_kept(
    log: Path, follow: Callable[..., Following]
) -> None:
    long = "x" * (2 << 20)
    append(log, "before", long, "between", long, "after")
    following = follow(log)

    following.look()

    assert following.lines == [b"before", b"between", b"after"]
    assert following.skipped == [b"x" * 4096] * 2


def test_a_line_as_long_as_allowed_is_kept(log: Path, follow: Callable[..., Following]) -> None:
    append(log, "a" * 100, "b" * 101, "c" * 100, "d" * 500, "e")
    following = follow(log, max_event_bytes=100)

    following.look()

    assert following.lines == [b"a" * 100, b"c" * 100, b"e"]
    assert following.skipped == [b"b" * 101, b"d" * 500]


def test_an_endless_line_takes_bounded_memory_and_is_reported_once_over_restarts(
    log: Path, follow: Callable[..., Following]
) -> None:
    append(log, "before", "")
    os.truncate(log, 300 << 20)
    with log.open("r+b") as file:
        file.seek(7)
        file.write(b"x" * 4096)
    following = follow(log)

    for i in range(100):
        following.now += 1
        following.poll()
        assert max(map(len, (chunk.lines for chunk in following.chunks))) < 100
        if i % 10 == 0:
            following.restart()
    append(log, "\nafter")
    following.look()

    assert following.lines == [b"before", b"after"]
    assert following.skipped == [b"x" * 4096]


def test_binary_garbage_is_handed_on_and_stops_nothing(
    log: Path, follow: Callable[..., Following]
) -> None:
    garbage = os.urandom(1 << 20)
    log.write_bytes(garbage + b"\nafter\n")
    following = follow(log)

    following.look()

    assert following.lines[-1] == b"after"


def test_more_files_than_may_be_open_are_all_read(
    tmp_path: Path, follow: Callable[..., Following]
) -> None:
    for i in range(100):
        append(tmp_path / f"{i:03}.jsonl", f"first of {i}")
    following = follow(tmp_path / "*.jsonl", files_open_max=8)

    for _ in range(30):
        following.look()
    for i in range(100):
        append(tmp_path / f"{i:03}.jsonl", f"second of {i}")
    for _ in range(30):
        following.look()

    assert len(_open_files(tmp_path)) <= 8
    assert sorted(following.lines) == sorted(
        f"{which} of {i}".encode() for i in range(100) for which in ("first", "second")
    )


def test_unfinished_files_and_other_compressions_are_left_alone(
    log: Path, follow: Callable[..., Following]
) -> None:
    following = follow(log.with_name("predictions*"))
    for ending in (".1.gz.tmp", ".1.tmp", ".1.bz2", ".1.xz"):
        append(Path(f"{log}{ending}"), "not text")

    assert following.look() == []
    assert following.tail.unreadable == {}


def test_a_folder_or_a_pipe_that_matches_is_left_alone(
    tmp_path: Path, follow: Callable[..., Following]
) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    os.mkfifo(tmp_path / "pipe.jsonl")
    append(tmp_path / "log.jsonl", "one")

    assert follow(tmp_path / "*.jsonl").look() == [b"one"]


def test_a_symlink_that_is_turned_to_another_file_is_followed(
    tmp_path: Path, log: Path, follow: Callable[..., Following]
) -> None:
    old, new = tmp_path / "old.log", tmp_path / "new.log"
    append(old, "one")
    log.symlink_to(old)
    following = follow(log)
    following.look()

    append(old, "two")
    append(new, "three")
    (tmp_path / "link").symlink_to(new)
    (tmp_path / "link").rename(log)
    following.look()

    assert sorted(following.lines) == [b"one", b"three", b"two"]


def test_a_position_is_kept_while_its_file_may_come_back(
    log: Path, tmp_path: Path, follow: Callable[..., Following]
) -> None:
    append(log, *ids(0, 10))
    following = follow(log, linger_s=0.0)
    following.look()
    log.rename(tmp_path / "away")
    following.look()
    following.now += SOUGHT_S + 2
    following.look()

    (tmp_path / "away").rename(log)
    append(log, *ids(10, 20))
    following.look()

    assert found(following) == list(range(20))


def test_a_position_is_retired_days_after_its_file_has_gone(
    log: Path, follow: Callable[..., Following]
) -> None:
    append(log, "one")
    following = follow(log, linger_s=0.0)
    following.look()
    log.unlink()
    following.look()

    following.wall += KEPT_S + 1
    following.look()
    assert len(following.positions.keys() - {LOOKED}) == 1
    following.now += SOUGHT_S + 2
    following.look()

    assert following.positions.keys() == {LOOKED}


def test_an_idle_poll_reads_nothing(
    log: Path, follow: Callable[..., Following], monkeypatch: pytest.MonkeyPatch
) -> None:
    append(log, *ids(0, 100), "partial", end="")
    following = follow(log)
    following.look()
    reads: list[int] = []
    real = os.pread

    def counted(descriptor: int, size: int, offset: int) -> bytes:
        reads.append(size)
        return real(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", counted)

    for _ in range(50):
        following.poll()

    assert reads == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"path": ""}, "path: "), ({"path": "x", "max_event_bytes": 0}, "max_event_bytes: ")],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        TailSettings(**settings)  # type: ignore[arg-type] # wrong on purpose
