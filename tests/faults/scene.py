"""A daemon's folder for fault tests: a configuration, a log to write, and what was counted."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from tests.monitor.daemon import Kedge, eventually
from tests.monitor.events import append, events, lines

BEGIN = 1_772_618_400.0
WINDOW_EVENTS = 100


def configure(
    folder: Path, *, store: Path | None = None, windows: str = "", model: str = "m", more: str = ""
) -> Path:
    """Write a configuration: windows of 100 events unless told otherwise, quick commits."""
    path = folder / "kedge.toml"
    windows = windows or f'length = "{WINDOW_EVENTS} events"'
    path.write_text(
        f"""
[model]
name = "{model}"

[[collect]]
type = "tail"
path = "predictions*.jsonl"

[windows]
{windows}
min_events = 50
idle = "1s"

[store]
url = "sqlite:///{store or "kedge.db"}"
commit_interval = "20ms"

[http]
listen = "127.0.0.1:0"
{more}
"""
    )
    return path


def write(folder: Path, count: int, *, after: int = 0) -> None:
    """Append events to the log; `after` is how many were written before."""
    rows = events(count, version="7", begins=BEGIN + after / 100, seed=after)
    append(folder / "predictions.jsonl", lines(rows))


def unready(kedge: Kedge) -> str | None:
    """Return why the daemon is not ready; None while it is."""
    try:
        kedge.get("/readyz")
    except urllib.error.HTTPError as error:
        if error.code != 503:
            raise
        return error.read().decode()
    return None


def exactly(kedge: Kedge, count: int) -> None:
    """Wait for so many events, and find every one in one window, however long it took."""
    kedge.counted(count)
    windows = eventually(
        lambda: (
            (found := kedge.get("/api/v1/windows?limit=1000")["windows"])[
                count // WINDOW_EVENTS - 1 :
            ]
            and found
        ),
        what="the windows",
    )
    assert kedge.totals() == {"events": count, "rejected": 0, "late": 0, "shed": 0}
    assert [row["events"] for row in windows] == [WINDOW_EVENTS] * (count // WINDOW_EVENTS)


def refused(config: Path) -> str:
    """Run the daemon, which must refuse to start; return the one line that it says."""
    ran = subprocess.run(
        [sys.executable, "-m", "monitor.cli", "run", "-c", str(config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1, ran.stderr
    assert "Traceback" not in ran.stderr
    return ran.stderr.strip().splitlines()[-1]


def rss_mb(kedge: Kedge) -> float:
    """Resident memory of the daemon."""
    status = Path(f"/proc/{kedge.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def sample(page: str, series: str) -> float:
    """Return the value of one series of a metrics page, 0 where it is not there."""
    found = re.search(rf"^{re.escape(series)} (\S+)$", page, re.MULTILINE)
    return float(found[1]) if found else 0.0
