"""The daemon with its store in Postgres: it outlives its server, itself, and a rival."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.monitor.daemon import eventually, running
from tests.monitor.events import append, events, lines
from tests.monitor.postgres import Postgres, PostgresUnavailableError

BEGIN = 1_772_618_400.0
WINDOW_EVENTS = 100

pytestmark = pytest.mark.real


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A server that no other test uses, to be stopped and started."""
    try:
        server = Postgres()
    except PostgresUnavailableError as error:
        pytest.skip(f"no PostgreSQL server: {error}")
    yield server
    server.remove()


def configuration(folder: Path, url: str) -> Path:
    path = folder / "kedge.toml"
    path.write_text(
        f"""
[model]
name = "m"

[[collect]]
type = "tail"
path = "predictions*.jsonl"

[windows]
length = "{WINDOW_EVENTS} events"
min_events = 50
idle = "1s"

[store]
url = "{url}"
commit_interval = "20ms"

[http]
listen = "127.0.0.1:0"
"""
    )
    return path


def write(folder: Path, first: int, count: int) -> None:
    rows = events(count, version="7", begins=BEGIN + first / 100, seed=first)
    append(folder / "predictions.jsonl", lines(rows))


def in_windows(server: Postgres, name: str) -> int:
    return int(server.execute("SELECT sum(events) FROM kedge_windows", name)[0][0] or 0)


def closed(server: Postgres, name: str, rows: int) -> None:
    """Wait for the windows of so many rows: those of a backlog close over several commits."""
    eventually(lambda: in_windows(server, name) >= rows, what="the last window")


def test_a_server_that_goes_and_comes_back_costs_no_event_and_doubles_none(
    tmp_path: Path, own_postgres: Postgres
) -> None:
    name = own_postgres.new_database()
    write(tmp_path, 0, 2_000)

    with running(configuration(tmp_path, own_postgres.url(name))) as kedge:
        kedge.counted(2_000)
        for turn, how in enumerate((signal.SIGINT, signal.SIGQUIT), 1):
            own_postgres.stop(how)
            write(tmp_path, 2_000 * turn, 2_000)
            eventually(lambda: "reading pauses" in kedge.log.read_text(), what="it has noticed")
            own_postgres.start()
            kedge.counted(2_000 * (turn + 1))
        closed(own_postgres, name, 6_000)
        totals = kedge.totals()
        assert kedge.stop() == 0

    assert totals["events"] == 6_000
    assert in_windows(own_postgres, name) == 6_000


def test_a_daemon_that_is_killed_counts_every_event_once(
    tmp_path: Path, postgres: Postgres
) -> None:
    name = postgres.new_database()
    config = configuration(tmp_path, postgres.url(name))
    rng, written = random.Random(5), 0

    for _ in range(6):
        write(tmp_path, written, 3_000)
        written += 3_000
        with running(config) as kedge:
            time.sleep(rng.uniform(0.0, 0.3))
            kedge.kill()
    with running(config) as kedge:
        kedge.counted(written)
        closed(postgres, name, written)
        totals = kedge.totals()
        assert kedge.stop() == 0

    assert totals["events"] == written
    assert in_windows(postgres, name) == written


def test_a_second_daemon_is_refused_in_one_line(tmp_path: Path, postgres: Postgres) -> None:
    config = configuration(tmp_path, postgres.url(postgres.new_database()))

    with running(config) as kedge:
        second = subprocess.run(
            [sys.executable, "-m", "monitor.cli", "run", "-c", str(config)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        holder = kedge.process.pid

    assert second.returncode == 1
    assert f"another Kedge (process {holder} on " in second.stderr
