"""The demo's children: started with a log, watched, and ended in every case."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

import monitor
from monitor.demo.processes import Child, ChildError, child, end_group

SLEEP = ["-c", "import time; time.sleep(60)"]
#: Says its child's pid, and waits; the child waits too, and neither minds SIGTERM.
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pid = os.fork()
if pid:
    open("pids.part", "w").write(f"{os.getpid()} {pid}")
    os.rename("pids.part", "pids")
time.sleep(60)
"""


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} was not written"
        time.sleep(0.02)
    return path.read_text()


def is_running(pid: int) -> bool:
    try:
        # A zombie still has a pid; whoever has none of its own memory has ended.
        return Path(f"/proc/{pid}/statm").read_text().split()[0] != "0"
    except OSError:
        return False


def test_a_child_ends_with_its_block_even_when_the_block_fails(tmp_path: Path) -> None:
    started: list[Child] = []

    def interrupted() -> None:
        with child("sleeper", SLEEP, tmp_path) as sleeper:
            started.append(sleeper)
            sleeper.check()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert started[0].process.returncode == -signal.SIGTERM


def test_a_group_that_ignores_being_asked_is_made_to_end(tmp_path: Path) -> None:
    with child("stubborn", ["-c", STUBBORN], tmp_path) as stubborn:
        pids = [int(pid) for pid in wait_for(tmp_path / "pids").split()]

        end_group(stubborn.process, timeout_s=0.2)

    deadline = time.monotonic() + 30
    while any(is_running(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [is_running(pid) for pid in pids] == [False, False]


def test_a_child_that_ended_is_told_with_its_status_and_the_end_of_its_log(
    tmp_path: Path,
) -> None:
    program = "import sys; print('the registry is away', file=sys.stderr); sys.exit(3)"

    with child("failing one", ["-c", program], tmp_path) as failing:
        failing.process.wait(60)

        with pytest.raises(ChildError, match="failing one ended with status 3") as caught:
            failing.check()

    assert "the registry is away" in str(caught.value)
    assert str(tmp_path / "failing-one.log") in str(caught.value)


def test_waiting_for_an_answer_gives_up_when_the_program_has_ended(tmp_path: Path) -> None:
    with (
        child("quick", ["-c", "pass"], tmp_path) as quick,
        pytest.raises(ChildError, match=r"quick ended with status 0; its log .* is empty"),
    ):
        quick.wait_until_answers("http://127.0.0.1:9/", timeout_s=60)


@pytest.mark.parametrize(
    ("program", "timeout_s", "told"),
    [
        ("import time; time.sleep(60)", 0.1, "has not ended after 0\\.1 s"),
        ("raise SystemExit(2)", 20, "failed with status 2"),
    ],
    ids=["too slow", "bad status"],
)
def test_waiting_for_the_end_has_a_limit_and_wants_status_0(
    program: str, timeout_s: float, told: str, tmp_path: Path
) -> None:
    with child("job", ["-c", program], tmp_path) as job, pytest.raises(ChildError, match=told):
        job.wait(timeout_s)


def test_a_child_imports_this_kedge_and_knows_no_mlflow_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://registry.example")
    program = (
        "import os, monitor; from pathlib import Path;"
        "Path('seen').write_text(f'{monitor.__file__} {os.getenv(\"MLFLOW_TRACKING_URI\")}')"
    )

    with child("curious", ["-c", program], tmp_path) as curious:
        curious.wait(20)

    assert (tmp_path / "seen").read_text() == f"{monitor.__file__} None"


def test_a_child_is_out_of_reach_of_the_terminal(tmp_path: Path) -> None:
    with child("sleeper", SLEEP, tmp_path) as sleeper:
        assert os.getpgid(sleeper.process.pid) == sleeper.process.pid
        assert os.getsid(sleeper.process.pid) != os.getsid(0)
