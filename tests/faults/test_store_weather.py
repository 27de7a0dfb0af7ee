"""A store that is locked for long, or damaged: waited for, or refused and kept."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.store.database import BUSY_TIMEOUT_MS
from tests.faults.scene import configure, exactly, refused, unready, write
from tests.monitor.daemon import eventually, running

pytestmark = pytest.mark.real

PAGE = 4096


def test_locked_by_another_process_for_longer_than_it_waits_it_pauses_and_goes_on(
    tmp_path: Path,
) -> None:
    config = configure(tmp_path)
    write(tmp_path, 200)

    with running(config) as kedge:
        kedge.counted(200)
        other = sqlite3.connect(tmp_path / "kedge.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        write(tmp_path, 1_000, after=200)
        reason = eventually(lambda: unready(kedge), what="the daemon is not ready")
        asked = time.monotonic()
        page = kedge.page("/metrics")
        status = kedge.get("/api/v1/status")
        answered_s = time.monotonic() - asked
        other.execute("ROLLBACK")
        other.close()
        exactly(kedge, 1_200)

    assert "locked" in (reason or "")
    assert answered_s < BUSY_TIMEOUT_MS / 1000 / 2
    assert "kedge_predictions_total" in page
    assert status["totals"]["all"]["events"] == 200


def zeroed(data: bytes) -> bytes:
    """A page in the middle that was never written, as after a lost write."""
    middle = len(data) // PAGE // 2 * PAGE
    return data[:middle] + bytes(PAGE) + data[middle + PAGE :]


def flipped(data: bytes) -> bytes:
    """Every bit turned from the fourth page on."""
    begin = 3 * PAGE
    return data[:begin] + bytes(byte ^ 0xFF for byte in data[begin:])


def torn(data: bytes) -> bytes:
    """The second half missing."""
    return data[: len(data) // PAGE // 2 * PAGE]


def header(data: bytes) -> bytes:
    """Something else's file, with a database behind its first page."""
    return b"\x7fELF" + bytes(96) + data[100:]


@pytest.mark.parametrize("damage", [zeroed, flipped, torn, header])
def test_a_damaged_store_is_refused_in_one_line_and_kept_as_it_is(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    config = configure(tmp_path)
    store = tmp_path / "kedge.db"
    write(tmp_path, 2_000)
    with running(config) as kedge:
        exactly(kedge, 2_000)
        assert kedge.stop() == 0
    damaged = damage(store.read_bytes())
    store.write_bytes(damaged)

    said = refused(config)

    assert "is damaged" in said
    assert "Move it aside" in said
    assert store.read_bytes() == damaged


def test_moved_aside_as_the_message_says_a_new_store_counts_the_log_from_its_start(
    tmp_path: Path,
) -> None:
    config = configure(tmp_path)
    write(tmp_path, 500)
    (tmp_path / "kedge.db").write_bytes(b"no database\n" * 1000)
    refused(config)

    (tmp_path / "kedge.db").rename(tmp_path / "kedge.db.damaged")
    with running(config) as kedge:
        exactly(kedge, 500)
