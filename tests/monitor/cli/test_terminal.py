"""On a terminal: tables that fit, a status that is watched, completion, and JSON of every fact."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import click
import pytest
from rich.console import Console

from monitor.cli import cli
from monitor.cli.group import LazyGroup
from monitor.cli.screen import fitting
from monitor.cli.status_view import tables
from tests.monitor.cli.test_cli import VALID, kedge
from tests.monitor.reference_tables import table

ROOT = Path(__file__).parents[3]

#: Commands that print no facts: they do something and say that they did, or run until stopped.
WITHOUT_JSON = frozenset(
    {
        *("demo", "init", "run", "serve", "dashboards", "completion", "report"),
        *("rollback", "hold", "resume", "bless", "quarantine"),
    }
)

RULE = {
    "name": "age-drift", "state": "breach", "since": "2026-03-04T12:00:00Z", "metric": "psi",
    "column": "age_of_the_customer_in_years", "value": 0.5, "low": 0.4, "high": 0.6,
    "threshold": 0.25, "action": "rollback",
}  # fmt: skip
VERSION = {"version": "7", "events": 12_345, "last_window_end": "2026-03-04T12:00:00Z"}
STATUS: dict[str, Any] = {
    "model": {"name": "m", "alias": "champion", "live_version": "7"},
    "versions": [VERSION],
    "rules": [RULE],
    "rollback": {"state": "WATCHING", "mode": "dry-run"},
    "totals": {"all": {"events": 12_345, "rejected": 0, "late": 0, "shed": 0}},
}


@pytest.fixture
def daemon() -> Iterator[str]:
    """The address of what answers as a daemon does."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said = {"rollbacks": []} if "rollbacks" in self.path else STATUS
            body = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def environment(**more: str) -> dict[str, str]:
    left = ("NO_COLOR", "FORCE_COLOR", "COLUMNS")
    kept = {name: value for name, value in os.environ.items() if name not in left}
    return kept | {"PYTHONPATH": str(ROOT), "TERM": "xterm", **more}


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, *arguments: str, **more: str) -> None:
        self._outer, inner = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "monitor.cli", *arguments],
            stdin=inner, stdout=inner, stderr=inner, env=environment(**more),
            start_new_session=True,
        )  # fmt: skip
        os.close(inner)
        self.shown = ""

    def press(self, keys: bytes) -> None:
        os.write(self._outer, keys)

    def until(self, text: str, deadline_s: float = 60.0) -> None:
        ends = time.monotonic() + deadline_s
        while text not in self.shown:
            assert time.monotonic() < ends, f"{text!r} is not in {self.shown!r}"
            self._read(0.2)

    def ended(self) -> int:
        ends = time.monotonic() + 60
        while self.process.poll() is None:
            assert time.monotonic() < ends, "it has not ended"
            self._read(0.05)
        self._read(0)
        return self.process.returncode

    def _read(self, seconds: float) -> None:
        if select.select([self._outer], [], [], seconds)[0]:
            with contextlib.suppress(OSError):  # the other end is closed
                self.shown += os.read(self._outer, 65_536).decode(errors="replace")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._outer)


@contextlib.contextmanager
def terminal(*arguments: str, **more: str) -> Iterator[Terminal]:
    one = Terminal(*arguments, **more)
    try:
        yield one
    finally:
        one.close()


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_tables_fit_the_width_and_lose_nothing(width: int) -> None:
    file = io.StringIO()
    console = Console(file=file, width=width, color_system=None)

    for one in tables(STATUS):
        console.print(fitting(one, console))

    text = file.getvalue()
    assert max(len(line) for line in text.splitlines()) <= width
    for cell in ("age-drift", "breach", "0.5 [0.4, 0.6]", "0.25", "12,345"):
        assert cell in text


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_status_is_as_wide_as_columns_says(width: int, daemon: str) -> None:
    command = [sys.executable, "-m", "monitor.cli", "status", "--url", daemon]

    done = subprocess.run(
        command, env=environment(COLUMNS=str(width)), capture_output=True, text=True, check=True
    )

    assert max(len(line) for line in done.stdout.splitlines()) <= width
    assert "0.5 [0.4, 0.6]" in done.stdout


@pytest.mark.parametrize(
    ("variables", "red"), [({}, True), ({"NO_COLOR": "1"}, False)], ids=["as is", "NO_COLOR"]
)
def test_a_breach_is_red_on_a_terminal_unless_colours_are_not_wanted(
    variables: Mapping[str, str], *, red: bool, daemon: str
) -> None:
    with terminal("status", "--url", daemon, **variables) as shown:
        assert shown.ended() == 0
        text = shown.shown

    assert "breach" in text
    assert ("31m" in text) is red


def test_a_watched_status_is_shown_again_and_q_ends_it(daemon: str) -> None:
    with terminal("status", "--url", daemon, "--watch", "--interval", "100ms") as shown:
        shown.until("age-drift")
        first = len(shown.shown)
        shown.until("q ends")
        while shown.shown[first:].count("age-drift") < 1:
            shown.until("q ends")
            shown._read(0.2)
        shown.press(b"q")

        assert shown.ended() == 0
        # The screen as it was comes back.
        assert "\x1b[?1049l" in shown.shown


def test_ctrl_c_ends_a_watched_status_and_gives_the_terminal_back(daemon: str) -> None:
    with terminal("status", "--url", daemon, "--watch") as shown:
        shown.until("q ends")
        shown.process.send_signal(signal.SIGINT)

        assert shown.ended() == 130
        assert "\x1b[?1049l" in shown.shown
        assert "Traceback" not in shown.shown


@pytest.mark.parametrize("json_too", [False, True], ids=["words", "json"])
def test_a_watched_status_without_a_terminal_is_printed_once_an_interval(
    daemon: str, *, json_too: bool
) -> None:
    command = [sys.executable, "-m", "monitor.cli", "status", "--url", daemon, "--watch"]
    command += ["--interval", "50ms", *(["--json"] if json_too else [])]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None

    shown: list[str] = []
    while sum('"rules"' in line if json_too else "age-drift" in line for line in shown) < 3:
        shown.append(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    process.stdout.close()

    assert process.wait(60) in (1, 130)  # 1: the reader went first
    assert "\x1b" not in "".join(shown)
    if json_too:
        assert json.loads(shown[0])["model"]["name"] == "m"


def test_a_watched_daemon_that_is_away_is_told_of_and_looked_for_again() -> None:
    with terminal("status", "--url", "http://127.0.0.1:1", "--watch") as shown:
        shown.until("no daemon answers")
        shown.until("q ends")
        shown.press(b"q")

        assert shown.ended() == 0


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("kedge ca", "calibrate"),
        ("kedge status --wa", "--watch"),
        ("kedge reference b", "build"),
        ("kedge completion z", "zsh"),
        ("kedge no-such-command --", ""),
    ],
)
def test_bash_completes_by_the_script_that_is_printed(
    line: str, found: str, tmp_path: Path
) -> None:
    script = kedge("completion", "bash").stdout
    (tmp_path / "kedge").write_text(f'#!/bin/sh\nexec {sys.executable} -m monitor.cli "$@"\n')
    (tmp_path / "kedge").chmod(0o755)
    words = line.split()
    program = f"""{script}
COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}
_kedge_completion kedge "{words[-1]}" "{words[-2]}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""

    done = subprocess.run(
        ["bash", "--norc", "-c", program],
        env=environment(PATH=f"{tmp_path}:{os.environ['PATH']}"),
        capture_output=True,
        text=True,
        check=True,
    )

    assert found in done.stdout.split() or not found
    assert done.stderr == ""


@pytest.mark.parametrize(("shell", "sign"), [("zsh", "#compdef kedge"), ("fish", "complete ")])
def test_the_other_shells_have_scripts_too(shell: str, sign: str) -> None:
    done = kedge("completion", shell)

    assert done.returncode == 0
    assert sign in done.stdout


def commands(group: click.Group, at: str = "") -> Iterator[tuple[str, click.Command]]:
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        found = group.get_command(ctx, name)
        assert found is not None
        yield f"{at}{name}", found
        if isinstance(found, click.Group):
            yield from commands(found, f"{at}{name} ")


def test_every_command_has_help_with_an_example_and_json_where_it_prints_facts() -> None:
    assert isinstance(cli, LazyGroup)
    for name, command in commands(cli):
        ctx = click.Context(command, info_name=name, max_content_width=100)
        page = command.get_help(ctx)
        assert page.startswith("Usage: "), name
        if isinstance(command, click.Group):
            continue
        assert "Example" in page, name
        options = {option for param in command.params for option in param.opts}
        assert ("--json" in options) is (name not in WITHOUT_JSON), name


def test_check_prints_its_summary_or_its_faults_as_json(tmp_path: Path) -> None:
    (tmp_path / "kedge.toml").write_text(VALID)
    (tmp_path / "faulty.toml").write_text(VALID.replace("0.25", '"high"'))

    good = kedge("check", "--json", cwd=tmp_path)
    bad = kedge("check", "--json", "-c", "faulty.toml", cwd=tmp_path)

    assert good.returncode == 0
    assert json.loads(good.stdout)["valid"] is True
    assert any("flight-delay" in line for line in json.loads(good.stdout)["summary"])
    assert bad.returncode == 2
    assert [one["key"] for one in json.loads(bad.stdout)["faults"]] == ["rules[0].above"]


def test_a_reference_that_was_built_and_a_store_that_was_made_are_told_as_json(
    tmp_path: Path,
) -> None:
    table(tmp_path / "rows.jsonl", 500)
    (tmp_path / "kedge.toml").write_text(VALID)

    built = kedge(
        "reference", "build", "--from", "rows.jsonl", "--out", "r.kedge", "--json", cwd=tmp_path
    )
    made = kedge("db", "upgrade", "--json", cwd=tmp_path)

    assert json.loads(built.stdout)["wrote"] == "r.kedge"
    assert json.loads(built.stdout)["rows"] == 500
    assert json.loads(made.stdout)["before"] is None
    assert json.loads(made.stdout)["after"]
