"""The command line as a program: exit statuses, plain errors, and what help costs."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from monitor.cli import cli
from monitor.cli.group import LazyGroup

VALID = """
[model]
name = "flight-delay"
tracking_uri = "http://127.0.0.1:5001"
[[collect]]
type = "tail"
path = "predictions.jsonl"
[reference]
from = "first"
[[rules]]
name = "prediction-drift"
metric = "psi"
column = "prediction"
above = 0.25
action = "rollback"
"""


def kedge(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process of its own, as a shell would."""
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root), "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-m", "monitor.cli", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_lists_every_command_and_says_how_to_begin() -> None:
    done = kedge("--help")

    assert done.returncode == 0
    assert isinstance(cli, LazyGroup)
    assert all(f"  {name} " in done.stdout for name in cli.commands_at)
    assert "kedge init --from" in done.stdout


def test_help_imports_nothing_that_is_costly() -> None:
    code = (
        "import sys\nfrom monitor.cli import run\nrun(['--help'])\n"
        "heavy = {'numpy', 'pandas', 'pyarrow', 'scipy', 'aiohttp', 'sqlalchemy', 'rich'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.endswith("loaded: []\n")


@pytest.mark.parametrize("name", list(cli.commands_at) if isinstance(cli, LazyGroup) else [])
def test_the_summary_of_a_command_is_the_first_line_of_its_help(name: str) -> None:
    assert isinstance(cli, LazyGroup)
    module, summary = cli.commands_at[name]

    command: click.Command = importlib.import_module(module).command

    assert command.name == name
    assert (command.help or "").splitlines()[0] == summary


def test_the_version_is_that_of_the_package() -> None:
    assert kedge("--version").stdout == "kedge 0.1.0\n"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["chek"], 'kedge: there is no command "chek", did you mean "check"?; see `kedge --help`'),
        (["check", "--bla"], "kedge: No such option '--bla'; see `kedge check --help`"),
        (["serve"], "kedge: Missing argument 'MODEL_URI'; see `kedge serve --help`"),
        (
            ["serve", "m", "--poll", "soon"],
            'kedge: --poll: expected a duration such as "2s", got "soon"; see `kedge serve --help`',
        ),
        (
            ["run", "-c", "nothing.toml"],
            "nothing.toml: cannot be read: No such file or directory; `kedge init` writes one",
        ),
    ],
    ids=["unknown command", "unknown option", "missing argument", "bad value", "no configuration"],
)
def test_wrong_use_is_one_plain_line_and_status_2(
    tmp_path: Path, arguments: list[str], error: str
) -> None:
    done = kedge(*arguments, cwd=tmp_path)

    assert done.returncode == 2
    assert done.stderr == f"{error}\n"
    assert done.stdout == ""


def test_check_sums_up_a_valid_configuration(tmp_path: Path) -> None:
    (tmp_path / "kedge.toml").write_text(VALID)
    (tmp_path / "predictions.jsonl").touch()

    done = kedge("check", "-c", "kedge.toml", cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("kedge.toml: valid\n")
    assert "psi of prediction above 0.25 in 3 of 4 windows: rollback" in done.stdout
    assert "moves nothing (mode dry-run)" in done.stdout


def test_check_prints_a_line_a_fault_and_exits_2(tmp_path: Path) -> None:
    (tmp_path / "kedge.toml").write_text(
        VALID.replace("above = 0.25", 'above = "high"') + "[http]\nport=1\n"
    )

    done = kedge("check", "-c", "kedge.toml", cwd=tmp_path)

    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "kedge.toml: http.port: unknown key",
        'kedge.toml: rules[0].above: expected a number, got "high"',
    ]


@pytest.mark.parametrize(
    ("before", "after", "warning"),
    [
        (VALID[VALID.index("[[rules]]") :], "", "no [[rules]]"),
        ('action = "rollback"\n', 'action = "rollback"\n[rollback]\nmode = "observe"\n', "observe"),
        ('from = "first"', 'path = "absent.kedge"', "absent.kedge does not exist yet"),
        ('from = "first"', "", "names nothing to compare with"),
        ('tracking_uri = "http://127.0.0.1:5001"\n', "", "there is no model.tracking_uri"),
        ("predictions.jsonl", "absent.jsonl", "no file matches"),
        ("[[rules]]", '[windows]\nlength = "200 events"\n[[rules]]', "always unknown"),
    ],
    ids=[
        "no rules",
        "observe",
        "reference absent",
        "no reference",
        "no registry",
        "no log",
        "short",
    ],
)
def test_check_warns_of_what_is_legal_and_odd(
    tmp_path: Path, before: str, after: str, warning: str
) -> None:
    (tmp_path / "predictions.jsonl").touch()
    (tmp_path / "kedge.toml").write_text(VALID.replace(before, after))

    done = kedge("check", cwd=tmp_path)

    assert done.returncode == 0
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("warning: ")
    assert warning in done.stderr


def test_a_failure_is_one_line_and_a_traceback_only_with_debug(tmp_path: Path) -> None:
    (tmp_path / "not-a-reference").write_text("hello")

    plain = kedge("reference", "show", "not-a-reference", cwd=tmp_path)
    debug = kedge("reference", "show", "not-a-reference", "--debug", cwd=tmp_path)

    assert plain.returncode == debug.returncode == 1
    assert plain.stderr.startswith("kedge: not-a-reference: not a reference file")
    assert plain.stderr.count("\n") == 1
    assert "Traceback" in debug.stderr


def test_ctrl_c_ends_quietly_with_130(tmp_path: Path) -> None:
    # A named pipe that nothing is written to: the command waits in reading it.
    pipe = tmp_path / "kedge.toml"
    os.mkfifo(pipe)
    root = Path(__file__).parents[3]
    process = subprocess.Popen(
        [sys.executable, "-m", "monitor.cli", "check"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_interruptible,  # noqa: PLW1509 - no thread runs here, and it calls nothing else
    )
    writer = _opened_once_read(pipe)

    # A signal may fall between two instructions that lose it; a person presses again, too.
    for _ in range(6):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
            break
    os.close(writer)

    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.strip() == ""


def _interruptible() -> None:
    """Undo what a shell does to commands in the background: there Ctrl-C is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _opened_once_read(pipe: Path) -> int:
    deadline = time.monotonic() + 30
    while True:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads yet
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_dashboards_are_written_and_never_over_others(tmp_path: Path) -> None:
    first = kedge("dashboards", "--out", "out", cwd=tmp_path)
    second = kedge("dashboards", "--out", "out", cwd=tmp_path)

    assert first.returncode == 0
    made = {str(one.relative_to(tmp_path / "out")) for one in (tmp_path / "out").rglob("*.*")}
    assert made == {
        *(f"{name}.json" for name in ("fleet", "model", "drift", "shadow", "rollback", "itself")),
        *(f"prometheus/kedge.{kind}.yaml" for kind in ("rules", "alerts")),
        *("prometheus/scrape.yaml", "prometheus/podmonitor.yaml", "alertmanager/kedge.yaml"),
        *("provisioning/dashboards/kedge.yaml", "provisioning/datasources/prometheus.yaml"),
    }
    assert second.returncode == 1
    assert "--force replaces it" in second.stderr
    assert kedge("dashboards", "--out", "out", "--force", cwd=tmp_path).returncode == 0


def test_alerts_link_to_the_runbooks_where_they_are_said_to_be(tmp_path: Path) -> None:
    done = kedge("dashboards", "--out", "out", "--runbooks", "https://wiki/kedge/", cwd=tmp_path)

    text = (tmp_path / "out" / "prometheus" / "kedge.alerts.yaml").read_text()
    links = re.findall(r"runbook_url: (\S+)", text)
    assert done.returncode == 0
    assert "https://wiki/kedge/KedgeBreach.md" in links
    assert all(link.startswith("https://wiki/kedge/Kedge") for link in links)
