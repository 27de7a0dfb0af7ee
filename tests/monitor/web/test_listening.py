"""Where the daemon listens is said as one types it, and what stands against it in one line."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiohttp import web

from monitor.web.guard import CannotListenError, Guard, listen

CONFIG = """
[model]
name = "m"

[[collect]]
type = "tail"
path = "none.jsonl"

[http]
listen = "127.0.0.1:{port}"
"""
GUARD = Guard(lambda _reason: None)


async def test_an_address_of_ipv6_stands_in_brackets() -> None:
    listening = await listen(web.Application(), "::1", 0, GUARD)

    assert listening.addresses[0].startswith("[::1]:")
    await listening.close()


async def test_a_host_that_nobody_knows_is_named() -> None:
    with pytest.raises(CannotListenError, match=r"cannot listen on nosuch\.invalid:80: \w"):
        await listen(web.Application(), "nosuch.invalid", 80, GUARD)


@pytest.mark.real
def test_a_port_that_is_taken_ends_the_daemon_with_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (tmp_path / "kedge.toml").write_text(CONFIG.format(port=port))

        done = subprocess.run(
            [sys.executable, "-m", "monitor.cli", "run", "-c", "kedge.toml"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert done.returncode == 1
    *_, last = done.stderr.splitlines()
    assert last == f"kedge: cannot listen on 127.0.0.1:{port}: Address already in use"
    assert "Traceback" not in done.stderr


@pytest.mark.real
def test_a_hangup_while_it_starts_does_not_end_the_daemon(tmp_path: Path) -> None:
    (tmp_path / "kedge.toml").write_text(CONFIG.format(port=0))
    daemon = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "monitor.cli", "run", "-c", "kedge.toml"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert daemon.stderr is not None
    try:
        ends = time.monotonic() + 120
        for line in daemon.stderr:
            if "| monitor.settings.settings\n" in line or "listening on" in line:
                daemon.send_signal(signal.SIGHUP)
            if "listening on" in line:
                break
            assert time.monotonic() < ends
        daemon.send_signal(signal.SIGTERM)
        daemon.stderr.read()
        assert daemon.wait(60) == 0
    finally:
        daemon.kill()
        daemon.stderr.close()
