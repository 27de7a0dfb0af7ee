"""A full disk: reading pauses, nothing is lost or counted twice, and it goes on by itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.scene import configure, exactly, refused, unready, write
from tests.monitor.daemon import eventually, running

pytestmark = pytest.mark.real

DISK_BYTES = 2 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB in memory."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "kedge-test", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root, and the right to mount")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Take every free byte of the disk."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (64 << 10, 4096, 1):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                continue
    return ballast


def test_on_a_full_disk_reading_pauses_and_goes_on_by_itself_with_exact_totals(
    tmp_path: Path, disk: Path
) -> None:
    config = configure(tmp_path, store=disk / "kedge.db")
    write(tmp_path, 300)

    with running(config) as kedge:
        kedge.counted(300)
        ballast = fill(disk)
        write(tmp_path, 5_000, after=300)
        reason = eventually(lambda: unready(kedge), what="the daemon is not ready")
        stuck = kedge.totals()["events"]
        alive = kedge.get("/healthz")
        page = kedge.page("/metrics")
        ballast.unlink()
        eventually(lambda: unready(kedge) is None, what="the daemon is ready again")
        exactly(kedge, 5_300)

    assert "full" in (reason or "")
    assert stuck < 5_300
    assert alive["status"] == "ok"
    assert 'kedge_store_commits_total{outcome="failed"} 0.0' not in page
    assert 'kedge_store_commits_total{outcome="failed"}' in page


def test_killed_on_a_full_disk_it_reads_on_where_the_last_commit_stood(
    tmp_path: Path, disk: Path
) -> None:
    config = configure(tmp_path, store=disk / "kedge.db")
    write(tmp_path, 300)
    with running(config) as kedge:
        kedge.counted(300)
        ballast = fill(disk)
        write(tmp_path, 1_000, after=300)
        eventually(lambda: unready(kedge), what="the daemon is not ready")
        kedge.kill()
    ballast.unlink()

    with running(config) as kedge:
        exactly(kedge, 1_300)


def test_asked_to_stop_on_a_full_disk_it_leaves_the_last_lines_to_the_next_start(
    tmp_path: Path, disk: Path
) -> None:
    config = configure(tmp_path, store=disk / "kedge.db")
    with running(config) as kedge:
        ballast = fill(disk)
        write(tmp_path, 1_000)
        eventually(lambda: unready(kedge), what="the daemon is not ready")
        status = kedge.stop()
    ballast.unlink()

    with running(config) as kedge:
        exactly(kedge, 1_000)

    assert status == 0


def test_a_first_start_on_a_full_disk_is_refused_in_one_line(tmp_path: Path, disk: Path) -> None:
    config = configure(tmp_path, store=disk / "kedge.db")
    fill(disk)

    said = refused(config)

    assert "kedge.db" in said
    assert "fault of Kedge's own" not in said
