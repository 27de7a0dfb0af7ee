"""Rotated files that are compressed before, while, and after they are read."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd

from collectors.tail import compressed, compressed_files
from collectors.tail.compressed_files import WRITING_WAIT_S
from collectors.tail.log_files import find
from tests.collectors.following import Following, append, found, ids

PACK: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".zst": zstd.compress}


def pack(path: Path, ending: str = ".gz") -> Path:
    """Compress a file as gzip does: a new file beside it, then the old one goes."""
    packed = Path(f"{path}{ending}")
    packed.write_bytes(PACK[ending](path.read_bytes()))
    path.unlink()
    return packed


@pytest.mark.parametrize("down", [False, True], ids=["running", "down"])
@pytest.mark.parametrize("ending", PACK)
def test_what_was_not_read_before_compression_is_read_once(
    log: Path, follow: Callable[..., Following], ending: str, *, down: bool
) -> None:
    append(log, *ids(0, 100))
    following = follow(log, linger_s=0.0)
    following.look()

    append(log, *ids(100, 5_000))
    if down:
        following.tail.close()
    log.rename(f"{log}.1")
    pack(Path(f"{log}.1"), ending)
    append(log, *ids(5_000, 5_100))
    if down:
        following.restart()
    for _ in range(3):
        following.look()
        following.restart()

    assert found(following) == list(range(5_100))


def test_a_file_rotated_and_compressed_unseen_is_read_from_its_start(
    log: Path, follow: Callable[..., Following]
) -> None:
    append(log, *ids(0, 10))
    following = follow(log, linger_s=0.0)
    following.look()

    following.tail.close()
    for i in (1, 2, 3):
        log.rename(f"{log}.{9 - i}")
        pack(Path(f"{log}.{9 - i}"))
        append(log, *ids(10 * i, 10 * i + 10))
    following.restart()
    following.look()

    assert found(following) == list(range(40))


@pytest.mark.parametrize("ending", PACK)
def test_a_file_that_was_read_is_not_read_again_when_it_is_compressed(
    log: Path, follow: Callable[..., Following], ending: str
) -> None:
    append(log, *ids(0, 100))
    following = follow(log, linger_s=0.0)
    following.look()

    log.rename(f"{log}.1")
    following.look()
    pack(Path(f"{log}.1"), ending)
    following.look()
    Path(f"{log}.1{ending}").rename(f"{log}.2{ending}")
    following.restart()
    following.look()

    assert found(following) == list(range(100))


def test_a_file_that_was_dealt_with_is_not_decompressed_again(
    log: Path, follow: Callable[..., Following], monkeypatch: pytest.MonkeyPatch
) -> None:
    append(log, *ids(0, 100))
    following = follow(log, linger_s=0.0)
    following.look()
    following.tail.close()
    append(log, *ids(100, 200))
    log.rename(f"{log}.1")
    pack(Path(f"{log}.1"))
    following.restart()
    for _ in range(3):
        following.look()
    begun: list[str] = []

    def counted(descriptor: int, packing: str) -> compressed.Inflated:
        begun.append(packing)
        return inflate(descriptor, packing)

    inflate = compressed.Inflated
    monkeypatch.setattr(compressed_files, "Inflated", counted)
    monkeypatch.setattr(compressed.Inflated, "head", lambda _: pytest.fail("decompressed"))
    for _ in range(3):
        following.look()
    assert begun == []
    Path(f"{log}.1.gz").rename(f"{log}.2.gz")
    following.restart()
    following.look()

    assert found(following) == list(range(200))


def test_compressed_files_at_the_very_first_look_are_history_for_ever(
    log: Path, follow: Callable[..., Following]
) -> None:
    for i in (1, 2):
        append(Path(f"{log}.{i}"), *ids(100 * i, 100 * i + 10))
        pack(Path(f"{log}.{i}"))
    append(log, *ids(0, 10))
    following = follow(log)

    following.look()
    Path(f"{log}.2.gz").rename(f"{log}.3.gz")
    following.restart()
    following.look()

    assert found(following) == list(range(10))


def test_members_behind_one_another_are_one_file(
    log: Path, follow: Callable[..., Following]
) -> None:
    append(log, *ids(0, 10))
    following = follow(log, linger_s=0.0)
    following.look()
    following.tail.close()
    append(log, *ids(10, 50))
    whole = log.read_bytes()
    log.unlink()

    parts = [gzip.compress(whole[begin : begin + 700]) for begin in range(0, len(whole), 700)]
    Path(f"{log}.1.gz").write_bytes(b"".join(parts) + bytes(512))
    parts = [zstd.compress(whole.replace(b"id", b"ID")), zstd.compress(b"last\n")]
    Path(f"{log}.2.zst").write_bytes(b"".join(parts))
    following.restart()
    following.look()

    assert len(parts) == 2
    assert [line for line in following.lines if b"id" in line] == whole.splitlines()
    assert sum(b"ID" in line for line in following.lines) == 50
    assert following.lines.count(b"last") == 1
    assert following.tail.unreadable == {}


def test_while_it_is_being_compressed_a_file_is_read_once(
    log: Path, follow: Callable[..., Following]
) -> None:
    append(log, *ids(0, 10))
    following = follow(log, linger_s=0.0)
    following.look()
    append(log, *ids(10, 3_000))
    following.tail.close()
    log.rename(f"{log}.1")
    packed = gzip.compress(Path(f"{log}.1").read_bytes())

    following.restart()
    for share in (0.0, 0.01, 0.3, 0.9):
        Path(f"{log}.1.gz").write_bytes(packed[: int(len(packed) * share)])
        following.look()
    Path(f"{log}.1.gz").write_bytes(packed)
    following.look()
    Path(f"{log}.1").unlink()
    for _ in range(3):
        following.look()
        following.restart()

    assert found(following) == list(range(3_000))


def test_a_compressed_file_that_is_still_written_waits_for_its_end(
    log: Path, follow: Callable[..., Following]
) -> None:
    append(log, *ids(0, 2_000))
    following = follow(log, linger_s=0.0)
    following.look()
    following.tail.close()
    append(log, *ids(2_000, 3_000))
    packed = gzip.compress(log.read_bytes())
    log.unlink()

    following.restart()
    for share in (0.1, 0.5, 1.0):
        Path(f"{log}.1.gz").write_bytes(packed[: int(len(packed) * share)])
        following.look()

    assert found(following) == list(range(3_000))


def test_a_copy_that_is_truncated_and_compressed_at_once_is_read_on(
    log: Path, follow: Callable[..., Following]
) -> None:
    append(log, *ids(0, 100))
    following = follow(log, linger_s=0.0)
    following.look()

    append(log, *ids(100, 150))
    shutil.copyfile(log, f"{log}.1")
    os.truncate(log, 0)
    pack(Path(f"{log}.1"))
    append(log, *ids(150, 160))
    for _ in range(3):
        following.look()

    assert sorted(found(following)) == list(range(160))


def test_a_compressed_copy_that_ends_before_what_was_read_is_not_read_again(
    log: Path, follow: Callable[..., Following]
) -> None:
    append(log, *ids(0, 100))
    following = follow(log, linger_s=0.0)
    following.look()

    append(log, *ids(100, 150))
    shutil.copyfile(log, f"{log}.1")
    append(log, *ids(150, 160))
    following.poll()
    os.truncate(log, 0)
    pack(Path(f"{log}.1"))
    append(log, *ids(160, 170))
    for _ in range(3):
        following.look()

    assert sorted(found(following)) == list(range(170))


def test_a_long_file_is_compared_in_steps_and_its_log_is_read_in_order(
    log: Path, follow: Callable[..., Following], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressed_files, "COMPARED_BYTES", 300_000)
    append(log, *ids(0, 30_000))
    following = follow(log, linger_s=0.0)
    following.look()
    following.tail.close()
    append(log, *ids(30_000, 30_100))
    log.rename(f"{log}.1")
    packed = pack(Path(f"{log}.1"))
    os.utime(packed, (1, 1))
    append(log, *ids(30_100, 30_200))

    following.restart()
    first = following.poll()
    polls = 1
    while not first and polls < 30:
        first, polls = following.poll(), polls + 1
    following.look()

    assert polls > 2
    assert found(following) == list(range(30_200))


@pytest.mark.parametrize("ending", PACK)
def test_a_damaged_file_is_read_up_to_the_damage_and_told_of(
    log: Path, follow: Callable[..., Following], ending: str
) -> None:
    rng = random.Random(3)
    lines = [f'{{"id": "{i:06d}", "n": {rng.random()}}}' for i in range(60_000)]
    append(log, lines[0])
    following = follow(log, linger_s=0.0)
    following.look()
    append(log, *lines[1:])
    following.tail.close()
    packed = bytearray(PACK[ending](log.read_bytes()))
    packed[len(packed) // 2 : len(packed) // 2 + 64] = os.urandom(64)
    log.unlink()
    Path(f"{log}.1{ending}").write_bytes(packed)
    append(log, "after")

    following.restart()
    for _ in range(4):
        following.look()
    read = [line.decode("latin-1") for line in following.lines if line != b"after"]
    whole = next((i for i, line in enumerate(read) if line != lines[i]), len(read))

    # Behind the damage comes what the checksum has not refuted yet.
    assert 20_000 < whole <= len(read) < 60_000
    assert following.lines.count(b"after") == 1
    assert "damaged" in following.tail.unreadable[f"{log}.1{ending}"]


def test_what_is_no_compressed_file_at_all_is_told_of(
    log: Path, follow: Callable[..., Following]
) -> None:
    append(log, "one")
    following = follow(log)
    following.look()
    Path(f"{log}.1.gz").write_text("plain text\n")
    Path(f"{log}.2.zst").write_text("plain text\n")

    following.look()

    assert following.lines == [b"one"]
    assert sorted(following.tail.unreadable) == [f"{log}.1.gz", f"{log}.2.zst"]


def test_a_file_that_ends_in_the_middle_is_told_of_and_read_on_if_it_grows(
    log: Path, follow: Callable[..., Following]
) -> None:
    append(log, "one")
    following = follow(log, linger_s=0.0)
    following.look()
    packed = gzip.compress("\n".join(ids(0, 3_000)).encode() + b"\n", mtime=0)
    Path(f"{log}.1.gz").write_bytes(packed[: len(packed) // 2])
    following.look()
    following.now += WRITING_WAIT_S
    following.look()

    assert "ends in the middle" in following.tail.unreadable[f"{log}.1.gz"]
    with Path(f"{log}.1.gz").open("ab") as file:
        file.write(packed[len(packed) // 2 :])
    following.look()
    following.look()

    assert following.lines == [b"one", *(line.encode() for line in ids(0, 3_000))]
    assert following.tail.unreadable == {}


@pytest.mark.parametrize("ending", PACK)
def test_a_bomb_is_given_up_in_bounded_memory(
    log: Path, follow: Callable[..., Following], monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(compressed, "RATIO_FROM_BYTES", 4 << 20)
    append(log, "one")
    following = follow(log)
    following.look()
    line = b'{"id": "000001", "filler": "' + b"x" * 4_000_000 + b'"}\n'
    Path(f"{log}.1{ending}").write_bytes(PACK[ending](line * 20))

    tracemalloc.start()
    for _ in range(30):
        following.look()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert "times as large" in following.tail.unreadable[f"{log}.1{ending}"]
    assert following.lines == [b"one"]
    assert peak < 12 << 20


def test_a_file_larger_than_may_be_is_read_up_to_the_limit(tmp_path: Path) -> None:
    packed = tmp_path / "log.1.gz"
    packed.write_bytes(gzip.compress(os.urandom(3 << 20)))

    with packed.open("rb") as file:
        inflated = compressed.Inflated(file.fileno(), ".gz", inflated_bytes_max=1 << 20)
        data = inflated.pread(3 << 20, 0)

    assert 1 << 20 <= len(data) <= (1 << 20) + compressed.STEP_BYTES
    assert "larger than 1048576" in (inflated.fault or "")


@pytest.mark.parametrize("ending", PACK)
def test_any_order_of_reads_gives_the_bytes_of_the_file(tmp_path: Path, ending: str) -> None:
    rng = random.Random(5)
    whole = rng.randbytes(200_000) + b"a" * 2_000_000 + rng.randbytes(200_000)
    packed = tmp_path / f"log.1{ending}"
    packed.write_bytes(
        b"".join(PACK[ending](whole[i : i + 700_000]) for i in range(0, len(whole), 700_000))
    )

    with packed.open("rb") as file:
        inflated = compressed.Inflated(file.fileno(), ending)
        for _ in range(60):
            offset, size = rng.randrange(len(whole) + 10), rng.randrange(1, 300_000)
            assert inflated.pread(size, offset) == whole[offset : offset + size]
            assert inflated.head() == whole[:1024]
        assert inflated.pread(10, len(whole)) == b""

    assert inflated.complete
    assert inflated.fault is None


def test_an_empty_compressed_file_is_dealt_with(
    log: Path, follow: Callable[..., Following]
) -> None:
    append(log, "one")
    following = follow(log)
    following.look()
    Path(f"{log}.1.gz").write_bytes(gzip.compress(b""))

    following.look()
    following.look()

    assert following.lines == [b"one"]
    assert following.tail.unreadable == {}
    assert not following.tail.unread_bytes()


def test_kubelets_rotation_is_followed_step_by_step(
    tmp_path: Path, follow: Callable[..., Following]
) -> None:
    # Its order: what is unfinished goes, the oldest goes, the older ones are compressed through
    # a .tmp, the log gets its time, and the runtime is asked to open it anew.
    log = tmp_path / "0.log"
    append(log, *ids(0, 100))
    following = follow(tmp_path / "*.log", linger_s=0.0)
    following.look()
    rng = random.Random(1)

    written, rotated = 100, 0
    for rotation in range(40):
        old = sorted(tmp_path.glob("0.log.2026*"))
        for unfinished in tmp_path.glob("*.tmp"):
            unfinished.unlink()
        if len(old) > 3:
            look_sometimes(following, rng, always=True)
            old.pop(0).unlink()
        for path in [path for path in old if path.suffix != ".gz"]:
            temporary = Path(f"{path}.tmp")
            packed = gzip.compress(path.read_bytes())
            temporary.write_bytes(packed[: len(packed) // 2])
            look_sometimes(following, rng)
            temporary.write_bytes(packed)
            temporary.rename(f"{path}.gz")
            look_sometimes(following, rng)
            path.unlink()
            look_sometimes(following, rng)
        log.rename(f"{log}.20260304-10{rotation:04}")
        rotated += 1
        look_sometimes(following, rng)
        append(log, *ids(written, written + 80))
        written += 80
    for _ in range(3):
        following.look()

    assert rotated == 40
    assert len(find(str(tmp_path / "*.log"))) == 5
    assert sorted(found(following)) == list(range(written))


def look_sometimes(following: Following, rng: random.Random, *, always: bool = False) -> None:
    """Look, be killed, or have no time just now."""
    if rng.random() < 0.2:
        following.restart()
    if always or rng.random() < 0.25:
        following.look()
