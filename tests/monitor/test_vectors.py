"""Embeddings in a real daemon and on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from collectors.batch import Column, Floats, NumberColumn, VectorColumn
from detectors.columns.profile import VectorProfile
from detectors.reference.reference_file import load
from monitor.cli import cli
from monitor.references import parquet as reference_parquet
from monitor.settings.settings import load as load_settings
from monitor.traffic.traffic_runs import Run, kinds_of, run_of, state_of
from tests.monitor.daemon import eventually, running
from tests.monitor.events import append, lines
from tests.monitor.test_daemon import BEGIN, configuration, rule

DIMENSIONS = 384
ROWS = np.random.default_rng(4).normal(size=(400, 5)).round(4)
VECTOR_RULE = """
[[rules]]
name = "embeddings"
metric = "mmd"
column = "text"
above = 0.01
for = "2 of 3"

[[rules]]
name = "moved"
metric = "mean_distance"
column = "text"
above = 0.05
for = "2 of 3"
"""


def kedge(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(one) for one in arguments], standalone_mode=False)


def embedded(count: int, *, begins: float, shift: float = 0.0) -> Iterator[Mapping[str, Any]]:
    """Texts of five subjects; with a shift there is a subject that was not there before."""
    random = np.random.default_rng(int(begins + 10 * shift))
    subjects = np.random.default_rng(1).normal(size=(6, DIMENSIONS)) * 0.05
    for number in range(count):
        subject = 5 if random.random() < shift else random.integers(5)
        text = subjects[subject] + random.normal(size=DIMENSIONS) * 0.03
        yield {
            "ts": begins + number * 0.01,
            "version": "7",
            "features": {"text": text.round(5).tolist()},
            "prediction": random.normal(),
        }


@pytest.mark.real
def test_a_new_subject_among_embeddings_makes_a_rule_fire_and_none_before(tmp_path: Path) -> None:
    log = tmp_path / "predictions.jsonl"
    append(log, lines(embedded(3_000, begins=BEGIN)))
    config = configuration(tmp_path, windows='length = "400 events"', more=VECTOR_RULE)

    with running(config) as daemon:
        daemon.counted(3_000)
        eventually(lambda: rule(daemon, "embeddings") == "ok", what="the rule is ok")
        quiet = daemon.get("/api/v1/incidents")["incidents"]
        append(log, lines(embedded(1_500, begins=BEGIN + 40, shift=0.5)))
        eventually(lambda: rule(daemon, "embeddings") == "breach", what="mmd fires")
        eventually(lambda: rule(daemon, "moved") == "breach", what="mean_distance fires")
        found = daemon.get("/api/v1/measurements?metric=mmd")["measurements"]
        page = daemon.page("/metrics")

    assert quiet == []
    assert {one["column"] for one in found} == {"text"}
    assert 'kedge_drift_statistic{column="text",metric="mmd",model="m",version="7"}' in page


def jsonl(path: Path) -> Path:
    rows = [*({"text": row.tolist(), "age": 1.0} for row in ROWS), {"text": None}, {"text": [1.0]}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def parquet(path: Path) -> Path:
    column = pa.array([*ROWS.tolist(), None, [1.0]])
    pq.write_table(pa.table({"text": column, "age": [1.0] * 402}), path)
    return path


def fixed_size(path: Path) -> Path:
    # pyarrow writes lists of a fixed size that are null, and cannot read them.
    rows = [*ROWS.tolist(), [1.0, float("inf"), 0.0, 0.0, 0.0]]
    column = pa.array(rows, pa.list_(pa.float32(), 5))
    pq.write_table(pa.table({"text": column, "age": [1.0] * 401}), path)
    return path


def built(folder: Path, table: Path) -> VectorProfile:
    out = folder / "reference.kedge"
    result = kedge("reference", "build", "--from", table, "--out", out, "--force")
    assert result.exception is None, result.exception
    profile = load(out.read_bytes()).columns["text"]
    assert isinstance(profile, VectorProfile)
    return profile


@pytest.mark.parametrize(("write", "missing"), [(jsonl, 1), (parquet, 1), (fixed_size, 0)])
@pytest.mark.parametrize("rows_at_once", [7, 4_096])
def test_lists_in_tables_make_the_same_profile_from_every_format(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[Path], Path],
    missing: int,
    rows_at_once: int,
) -> None:
    monkeypatch.setattr(reference_parquet, "ROWS_AT_ONCE_WITH_VECTORS", rows_at_once)

    profile = built(tmp_path, write(tmp_path / "rows"))

    assert (profile.rows, profile.missing, profile.invalid) == (400, missing, 1)
    mean: Floats = profile.mean * profile.axes.step + profile.axes.center
    assert mean == pytest.approx(ROWS.mean(axis=0), abs=profile.axes.step)


def test_show_tells_of_vectors(tmp_path: Path) -> None:
    built(tmp_path, jsonl(tmp_path / "rows"))

    told = json.loads(kedge("reference", "show", tmp_path / "reference.kedge", "--json").output)
    shown = kedge("reference", "show", tmp_path / "reference.kedge").output

    text = told["columns"]["text"]
    assert (text["kind"], text["dimensions"], text["kept"]) == ("vector", 5, 5)
    assert text["spread"] == pytest.approx(np.sqrt(np.cov(ROWS.T).trace()), rel=0.01)
    assert "vectors" in shown


def test_init_watches_vectors_by_a_rule_of_their_own(tmp_path: Path) -> None:
    log, out = tmp_path / "p.jsonl", tmp_path / "kedge.toml"
    append(log, lines(embedded(60, begins=BEGIN)))

    assert kedge("init", "--from", log, "--out", out).exception is None

    rules = {one.name: one for one in load_settings(out, {}).rules}
    assert (rules["vector-drift"].metric, rules["vector-drift"].columns) == ("mmd", ("text",))
    assert rules["prediction-drift"].columns == ("prediction",)


def test_runs_of_sampled_traffic_keep_vectors() -> None:
    values = np.array([[1.0, 2.0], [np.nan, np.nan], [3.0, 4.0]])
    columns: dict[str, Column] = {
        "text": VectorColumn(values, (1,)),
        "age": NumberColumn(np.arange(3.0)),
    }
    run = Run("7", 0.5, np.arange(3.0), columns)

    text = run_of(state_of(run)).columns["text"]

    assert isinstance(text, VectorColumn)
    assert np.array_equal(text.values, values, equal_nan=True)
    assert text.invalid_rows == (1,)
    assert kinds_of([run])["text"] is VectorColumn
