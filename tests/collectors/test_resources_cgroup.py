"""Control groups as folders of real files, written as the kernel writes them."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from collectors.resources.cgroup import Cgroup
from collectors.resources.resources import Meter
from collectors.resources.sample import ResourceError
from tests.collectors.laborer import laborer

MIB = 1 << 20

FILES = {
    "cpu.stat": "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\nnr_periods 0\n",
    "cpu.max": "150000 100000\n",
    "memory.current": f"{300 * MIB}\n",
    "memory.max": f"{1024 * MIB}\n",
    "memory.stat": f"anon {150 * MIB}\nfile {100 * MIB}\ninactive_file {44 * MIB}\n",
    "pids.current": "17\n",
    "cgroup.procs": "",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return group(tmp_path / "container")


def group(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True)
    for name, text in {**FILES, **files}.items():
        (folder / name).write_text(text)
    return folder


def reason(folder: Path) -> str:
    with pytest.raises(ResourceError) as caught:
        Cgroup(folder).read()
    return caught.value.reason


def test_memory_is_the_working_set_and_the_rest_is_what_the_files_say(folder: Path) -> None:
    usage = Cgroup(folder).read()

    assert usage.memory_bytes == (300 - 44) * MIB
    assert usage.cpu_s == 2.5
    assert usage.threads == 17
    assert usage.cores_max == 1.5
    assert usage.memory_max_bytes == 1024 * MIB
    assert usage.failures == ()


def test_a_sample_is_of_the_time_since_the_last_and_in_shares_of_the_limits(folder: Path) -> None:
    clock = iter([100.0, 110.0])
    meter = Meter(Cgroup(folder), monotonic=lambda: next(clock))
    meter.sample()

    (folder / "cpu.stat").write_text("usage_usec 14500000\n")
    sample = meter.sample()

    assert sample.cpu_ratio == pytest.approx(12 / 10)
    assert sample.cpu_limit_ratio == pytest.approx(1.2 / 1.5)
    assert sample.memory_limit_ratio == pytest.approx(0.25)


def test_without_limits_there_is_no_share_of_them(folder: Path) -> None:
    (folder / "cpu.max").write_text("max 100000\n")
    (folder / "memory.max").write_text("max\n")

    usage = Cgroup(folder).read()

    assert (usage.cores_max, usage.memory_max_bytes) == (None, None)


def test_a_working_set_is_never_below_zero(folder: Path) -> None:
    (folder / "memory.current").write_text(f"{10 * MIB}\n")

    assert Cgroup(folder).read().memory_bytes == 0


def test_figures_of_controllers_that_are_off_are_untold(folder: Path) -> None:
    for name in ("cpu.max", "memory.current", "memory.max", "memory.stat", "pids.current"):
        (folder / name).unlink()

    usage = Cgroup(folder).read()

    assert usage.cpu_s == 2.5
    assert (usage.memory_bytes, usage.threads, usage.cores_max) == (None, None, None)


def test_another_container_under_the_same_path_begins_with_a_first_sample(folder: Path) -> None:
    clock = itertools.count(100.0, 10.0)
    meter = Meter(Cgroup(folder), monotonic=lambda: next(clock))
    meter.sample()

    (folder / "cpu.stat").write_text("usage_usec 1000000\n")
    fresh = meter.sample()
    (folder / "cpu.stat").write_text("usage_usec 6000000\n")
    second = meter.sample()

    assert fresh.cpu_ratio is None
    assert second.cpu_ratio == pytest.approx(0.5)


def test_open_files_are_those_of_every_process_in_the_group_and_below(tmp_path: Path) -> None:
    with laborer() as one, laborer() as two:
        pod = group(tmp_path / "pod")
        group(pod / "a", **{"cgroup.procs": f"{one.pid}\n"})
        group(pod / "b", **{"cgroup.procs": f"{two.pid}\n"})
        one.open(4)
        two.open(5)

        usage = Cgroup(pod).read()

    assert usage.open_files == (3 + 4) + (3 + 5)


def test_open_files_of_processes_of_another_namespace_are_untold(folder: Path) -> None:
    (folder / "cgroup.procs").write_text("0\n")

    usage = Cgroup(folder).read()

    assert usage.open_files is None
    assert usage.failures == ("hidden",)


def test_a_group_that_vanished_is_not_found(folder: Path) -> None:
    meter = Meter(Cgroup(folder))
    meter.sample()

    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    sample = meter.sample()

    assert sample.failures == ("not_found",)
    assert sample.memory_bytes is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("cpu.stat", "nr_periods 0\nnr_throttled 0\n", id="a group of version 1"),
        pytest.param("cpu.stat", "usage_usec many\n", id="a number that is none"),
        pytest.param("memory.current", "\n", id="nothing"),
        pytest.param("memory.stat", "inactive_file\n", id="a name without a number"),
    ],
)
def test_files_that_make_no_sense_are_unreadable(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)

    assert reason(folder) == "unreadable"


def test_a_path_that_is_no_group_is_unreadable(folder: Path) -> None:
    (folder / "cpu.stat").unlink()
    (folder / "cpu.stat").mkdir()

    assert reason(folder) == "unreadable"


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_group_that_may_not_be_read_is_denied(folder: Path) -> None:
    (folder / "cpu.stat").chmod(0)

    assert reason(folder) == "denied"
