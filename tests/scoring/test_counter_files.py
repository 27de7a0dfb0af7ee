"""What processes that have ended counted: kept, in files that do not become more."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from scoring.log.counter_files import fold
from scoring.log.metrics import ScoringMetrics
from tests.scoring.served import ROOT

#: Counts as a worker does, says its page, and ends.
_COUNTS = """
import sys
from scoring.log.metrics import ScoringMetrics
metrics = ScoringMetrics()
metrics.predictions.labels("m", sys.argv[1], "200").inc(3)
metrics.latency.labels("m", sys.argv[1]).observe(0.003)
metrics.build_info.labels("1").set(1)
print(metrics.render("")[0].decode())
"""


def process(folder: Path, version: str = "1") -> tuple[int, str]:
    """Run a process that counts; return its number, and the page that it saw."""
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder)}
    with subprocess.Popen(
        [sys.executable, "-c", _COUNTS, version],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as started:
        page, _ = started.communicate(timeout=60)
    assert started.returncode == 0
    return started.pid, page


def sample(page: str, name: str) -> float:
    (line,) = (line for line in page.splitlines() if line.startswith(f"{name} "))
    return float(line.rpartition(" ")[2])


def test_nothing_is_lost_and_no_file_is_left(tmp_path: Path) -> None:
    for version in ("1", "2", "1"):
        pid, _ = process(tmp_path, version)
        fold(tmp_path, pid)
    kept = sorted(path.name for path in tmp_path.iterdir())

    _, page = process(tmp_path, "1")

    assert kept == ["counter_ended.db", "histogram_ended.db", "lock"]
    assert sample(page, 'kedge_predictions_total{model="m",status="200",version="1"}') == 9
    assert sample(page, 'kedge_predictions_total{model="m",status="200",version="2"}') == 3
    seconds = "kedge_prediction_latency_seconds"
    assert sample(page, f'{seconds}_count{{model="m",version="1"}}') == 3
    assert sample(page, f'{seconds}_bucket{{le="0.002",model="m",version="1"}}') == 0
    assert sample(page, f'{seconds}_bucket{{le="0.005",model="m",version="1"}}') == 3
    assert sample(page, 'kedge_build_info{version="1"}') == 1


def test_a_process_that_counted_nothing_leaves_nothing(tmp_path: Path) -> None:
    fold(tmp_path, 1)

    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


@pytest.mark.timeout(120)
def test_a_scrape_meanwhile_sees_every_count_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, _ = process(tmp_path)
    processes = range(counts + 1, counts + 101)
    for pid in processes:
        shutil.copy(tmp_path / f"counter_{counts}.db", tmp_path / f"counter_{pid}.db")
    metrics = ScoringMetrics()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    name = 'kedge_predictions_total{model="m",status="200",version="1"}'

    def fold_all() -> None:
        for pid in processes:
            fold(tmp_path, pid)

    folding = threading.Thread(target=fold_all)

    folding.start()
    seen = []
    while folding.is_alive():
        seen.append(sample(metrics.render("")[0].decode(), name))
    folding.join()

    assert len(seen) > 1
    assert set(seen) == {303}
    assert sample(metrics.render("")[0].decode(), name) == 303
