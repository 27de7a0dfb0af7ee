"""What real processes use, against what they were told to use."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator

import psutil
import pytest

from collectors.resources.processes import ProcessGroup, _family, by_name, by_pid
from collectors.resources.resources import Meter, ResourceSettings
from collectors.resources.sample import ResourceError
from tests.collectors.laborer import Laborer, laborer

MIB = 1 << 20


@pytest.fixture
def worker() -> Iterator[Laborer]:
    with laborer() as started:
        started.burn(0)  # it has begun, and what it imports is in memory
        yield started


def test_processor_time_is_what_was_burnt_by_the_process_and_its_child(worker: Laborer) -> None:
    group = ProcessGroup(by_pid(worker.pid))
    before = group.read().cpu_s

    worker.burn(0.4)
    worker.start_child(burns_s=0.3)
    used_s = group.read().cpu_s - before

    # The child's start, and ticks of 10 ms, on a machine that does other things too.
    assert used_s == pytest.approx(0.7, abs=0.15)


def test_the_cpu_ratio_is_processor_time_over_the_time_between_samples(worker: Laborer) -> None:
    clock = itertools.chain([100.0, 102.0])
    meter = Meter(ProcessGroup(by_pid(worker.pid)), monotonic=lambda: next(clock))
    first = meter.sample()

    worker.burn(0.5)
    second = meter.sample()

    assert first.cpu_ratio is None
    assert second.cpu_ratio == pytest.approx(0.25, abs=0.03)


def test_processor_time_does_not_fall_when_a_child_ends(worker: Laborer) -> None:
    group = ProcessGroup(by_pid(worker.pid))
    group.read()
    worker.start_child(burns_s=0.3)
    before = group.read().cpu_s

    worker.end_child()
    after = group.read().cpu_s

    assert before == pytest.approx(0.3, abs=0.1)
    assert 0 <= after - before < 0.1


def test_memory_grows_by_what_was_allocated(worker: Laborer) -> None:
    group = ProcessGroup(by_pid(worker.pid))
    before = group.read().memory_bytes

    worker.grow(64)
    after = group.read().memory_bytes

    assert before is not None
    assert after is not None
    assert after - before == pytest.approx(64 * MIB, abs=4 * MIB)


def test_threads_and_open_files_are_counted_one_by_one(worker: Laborer) -> None:
    group = ProcessGroup(by_pid(worker.pid))
    before = group.read()

    worker.start_threads(5)
    worker.open(20)
    after = group.read()

    assert (before.threads, before.open_files) == (1, 3)
    assert (after.threads, after.open_files) == (6, 23)


def test_a_process_that_ended_has_no_figures_and_says_why(worker: Laborer) -> None:
    meter = ResourceSettings(pid=worker.pid, gpu="off").build("resources")
    alive = meter.sample()

    worker.kill()
    dead = meter.sample()

    assert alive.memory_bytes
    assert dead.failures == ("not_found",)
    assert (dead.cpu_ratio, dead.memory_bytes, dead.threads, dead.open_files) == (None,) * 4
    assert str(worker.pid) in dead.trouble


def test_a_process_that_ended_and_was_not_waited_for_has_ended(worker: Laborer) -> None:
    group = ProcessGroup(by_pid(worker.pid))
    group.read()

    worker.process.kill()
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)

    with pytest.raises(ResourceError) as caught:
        group.read()
    assert caught.value.reason == "not_found"


def test_another_process_with_the_same_id_is_not_the_target(worker: Laborer) -> None:
    choose = by_pid(worker.pid)
    choose({worker.pid: (psutil.Process(worker.pid), 1)})
    another = {worker.pid: (psutil.Process(), 1)}

    with pytest.raises(ResourceError) as caught:
        choose(another)

    assert caught.value.reason == "not_found"


def test_processes_of_one_name_are_added_up_with_their_children_once() -> None:
    mark = uuid.uuid4().hex
    with laborer(f"--serves={mark}") as one, laborer(f"--serves={mark}") as two:
        group = ProcessGroup(by_name(f"*--serves={mark}"))
        one.burn(0)
        two.burn(0)
        before = group.read()

        one.open(7)
        two.start_threads(2)
        two.start_child(burns_s=0)
        after = group.read()

    assert (before.threads, before.open_files) == (2, 6)
    # The child has three files of its own, and the parent holds the other ends of two pipes.
    assert (after.threads, after.open_files) == (5, 6 + 7 + 3 + 2)


def test_a_process_that_comes_back_under_its_name_is_measured_again() -> None:
    mark = uuid.uuid4().hex
    meter = ResourceSettings(process=f"*--serves={mark}", gpu="off").build("resources")
    with laborer(f"--serves={mark}") as one:
        one.burn(0.2)
        meter.sample()
    gone = meter.sample()

    with laborer(f"--serves={mark}") as two:
        two.burn(0.2)
        back = meter.sample()
        again = meter.sample()

    assert gone.failures == ("not_found",)
    assert back.memory_bytes
    assert back.cpu_ratio is None
    assert again.cpu_ratio == pytest.approx(0, abs=0.1)


def test_kedge_itself_is_not_chosen_by_name() -> None:
    ours = {os.getpid(): (psutil.Process(), 1)}

    with pytest.raises(ResourceError):
        by_name("*")(ours)


def test_kedge_itself_is_not_counted_as_a_child_of_the_target() -> None:
    supervisor, kedge = psutil.Process(os.getppid()), psutil.Process()
    listing = {supervisor.pid: (supervisor, 1), kedge.pid: (kedge, supervisor.pid)}

    family = _family([supervisor], listing)

    assert family == [supervisor]


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become somebody else")
def test_open_files_of_another_user_are_untold_and_the_rest_is_measured() -> None:
    with laborer() as worker:
        worker.burn(0)
        code = (
            "import os\n"
            "from collectors.resources.resources import ResourceSettings\n"
            f"meter = ResourceSettings(pid={worker.pid}, gpu='off').build('r')\n"
            "os.setuid(65534)\n"
            "s = meter.sample()\n"
            "print(s.open_files, s.threads, bool(s.memory_bytes), *s.failures)"
        )
        said = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )

    assert said.stdout.split() == ["None", "1", "True", "denied"], said.stderr
