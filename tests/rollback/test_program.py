"""A program of the user's: no shell, few variables, an end in time."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from rollback.actuator import CheckUnavailableError, Done, Failed
from rollback.actuators.program import CommandSettings, Program


def program(code: str, *words: str, **settings: object) -> Program:
    argv = (sys.executable, "-c", code, *words)
    return CommandSettings(argv, **settings).build(model="flight-delay")  # type: ignore[arg-type]  # by name


async def test_arguments_are_filled_in_and_read_by_no_shell(tmp_path: Path) -> None:
    code = "import sys; print(sys.argv[1:])"

    result = await program(code, "{from_version}>{to_version}", "$HOME; {intent}").act(
        "2", "1", intent="id-1"
    )

    assert isinstance(result, Done)
    assert result.detail.endswith("['2>1', '$HOME; id-1']")


async def test_it_gets_the_rollback_and_no_variable_that_was_not_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KEDGE_TOKEN", "hunter2")
    monkeypatch.setenv("CLUSTER", "prod")
    code = (
        "import os; print(sorted(k for k in os.environ "
        "if k.startswith('KEDGE') or k in ('CLUSTER', 'TEAM')))"
    )

    result = await program(code, env=("CLUSTER",)).act("2", "1", intent="id-1")

    assert isinstance(result, Done)
    names = ["CLUSTER", "KEDGE_FROM_VERSION", "KEDGE_INTENT", "KEDGE_MODEL", "KEDGE_TO_VERSION"]
    assert result.detail.endswith(str(names))


@pytest.mark.parametrize(
    ("status", "kind"), [(75, "transient"), (65, "contested"), (1, "permanent"), (-9, "permanent")]
)
async def test_what_an_exit_status_means(status: int, kind: str) -> None:
    end = f"sys.exit({status})" if status > 0 else f"os.kill(os.getpid(), {-status})"

    result = await program(f"import os, sys; {end}").act("2", "1", intent="id-1")

    assert isinstance(result, Failed)
    assert (result.kind, result.changed) == (kind, True)


async def test_a_program_that_does_not_end_is_ended_with_its_children(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = (
        "import subprocess, sys, time, pathlib\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"pathlib.Path({str(pid)!r}).write_text(str(child.pid))\n"
        "time.sleep(60)"
    )

    result = await program(code, timeout_s=6.0).act("2", "1", intent="id-1")

    assert isinstance(result, Failed)
    assert (result.kind, result.changed) == ("transient", True)
    deadline = time.monotonic() + 30
    while _runs(int(pid.read_text())):
        assert time.monotonic() < deadline, "its child still runs"


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z" and os.path.exists(f"/proc/{pid}")  # noqa: PTH110 - a look, no file


async def test_output_is_kept_from_its_end(tmp_path: Path) -> None:
    result = await program("print('x' * 1_000_000 + 'END')").act("2", "1")

    assert isinstance(result, Done)
    assert len(result.detail) < 3_000
    assert result.detail.endswith("END")


async def test_a_program_that_is_not_there_is_found_by_the_rehearsal() -> None:
    (problem,) = await CommandSettings(("no-such-program",)).build(model="m").check("2", "1")

    assert problem == "there is no program no-such-program, or it may not be run"


async def test_a_rehearsal_of_its_own_tells_a_refusal_from_bad_weather() -> None:
    def rehearsal(status: int) -> Program:
        return program("", check=(sys.executable, "-c", f"raise SystemExit({status})"))

    assert await rehearsal(0).check("2", "1") == ()
    assert "ended with 1" in (await rehearsal(1).check("2", "1"))[0]
    with pytest.raises(CheckUnavailableError):
        await rehearsal(75).check("2", "1")
