"""The drill finds what would stop a rollback, on the day before; and changes nothing."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from monitor.cli import cli
from monitor.deciding.drill import ask_program
from monitor.store.remembering import say_to_store
from rollback.observation import HoldSet, VersionQuarantined
from tests.collectors.registered import point, register
from tests.monitor.test_whole_loop import configuration

pytestmark = pytest.mark.real


def drill(config: Path, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["drill", "-c", str(config), *options], standalone_mode=False)
    assert result.exception is None, result.exception
    return int(result.return_value), result.output


def whole_model(uri: str, name: str) -> dict[str, Any]:
    with urllib.request.urlopen(
        f"{uri}/api/2.0/mlflow/registered-models/get?name={name}", timeout=10
    ) as answer:
        return dict(json.load(answer))


@pytest.fixture(scope="module")
def served(registry_uri: str) -> str:
    """The address of a registry whose model scoring-plain has four versions that load."""
    asyncio.run(point(registry_uri, "scoring-plain", "drilled", "4"))
    return registry_uri


def configured(folder: Path, uri: str, mode: str = "act") -> Path:
    """A configuration whose alias is one that no other test moves."""
    path = configuration(folder, uri, "scoring-plain", mode)
    path.write_text(path.read_text().replace("[model]", '[model]\nalias = "drilled"'))
    return path


def test_a_path_that_works_is_ready_and_nothing_has_changed(tmp_path: Path, served: str) -> None:
    config = configured(tmp_path, served)
    before = whole_model(served, "scoring-plain")

    status, said = drill(config)

    assert status == 0, said
    assert "ok    registry: scoring-plain@drilled points to version 4" in said
    assert "ok    gate target: version 3 is previous, and READY" in said
    not_asked = "judged on a breach's evidence, and not part of a drill"
    assert f"--    gate world_or_model: on: {not_asked}" in said
    assert f"--    gate better_on_shadow: if-available: {not_asked}" in said
    assert "ok    loads version 3: fetched in" in said
    assert "ok    step mlflow-alias scoring-plain@drilled: would move version 4 to 3" in said
    assert whole_model(served, "scoring-plain") == before
    assert not (tmp_path / "kedge.db").exists()


def test_a_gate_that_is_off_is_told_so(tmp_path: Path, mlflow_uri: str) -> None:
    asyncio.run(register(mlflow_uri, "ungated", 2, champion="2"))
    config = configuration(tmp_path, mlflow_uri, "ungated", "act")
    with config.open("a") as file:
        file.write('\n[rollback.gates]\nworld_or_model = false\nbetter_on_shadow = "off"\n')

    status, said = drill(config, "--no-load")

    assert status == 0, said
    assert "--    gate world_or_model: off: it lets every breach pass" in said
    assert "--    gate better_on_shadow: off: it lets every breach pass" in said


def test_a_target_whose_files_are_gone_is_not_ready(tmp_path: Path, mlflow_uri: str) -> None:
    asyncio.run(register(mlflow_uri, "gone", 2, champion="2"))
    config = configuration(tmp_path, mlflow_uri, "gone", "act")

    status, said = drill(config)
    without, unloaded = drill(config, "--no-load")

    assert status == 1
    assert "FAIL  loads version 1: " in said
    assert without == 0
    assert "loads" not in unloaded


def test_a_model_that_does_not_load_is_told_as_one_line_of_json(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: no.such\n")

    ended = subprocess.run(
        [sys.executable, "-m", "scoring.rehearse", str(tmp_path)],
        capture_output=True,
        check=False,
        timeout=120,
    )

    assert ended.returncode == 1
    told = json.loads(ended.stdout)
    assert told["ok"] is False
    assert told["detail"]


def test_what_a_model_s_code_leaves_running_does_not_hold_up_the_drill() -> None:
    left = ["sh", "-c", "sleep 20 & echo '{}'; echo one >&2; echo two >&2; exit 3"]

    began = time.monotonic()
    told = asyncio.run(ask_program(left, dict(os.environ), timeout_s=30))

    assert (told.line, told.last_words, told.status) == (b"{}\n", ["one", "two"], 3)
    assert time.monotonic() - began < 15


def test_a_program_that_does_not_end_is_ended_with_all_that_it_started() -> None:
    endless = ["sh", "-c", "sleep 61.25 & sleep 62.25"]

    with pytest.raises(TimeoutError):
        asyncio.run(ask_program(endless, dict(os.environ), timeout_s=0.5))

    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert not {"sleep 61.25", "sleep 62.25"} & set(running.stdout.splitlines())


def test_a_hold_and_a_quarantine_are_told_and_the_rest_of_the_path_too(
    tmp_path: Path, served: str
) -> None:
    config = configured(tmp_path, served, "observe")
    store, now = f"sqlite:///{tmp_path / 'kedge.db'}", time.time()
    words = (HoldSet(now + 600, "release day"), VersionQuarantined("3", now + 600, "leaks"))
    for word in words:
        say_to_store(store, "scoring-plain", word, now, config="kedge.toml")

    status, said = drill(config, "--no-load")

    assert status == 1
    assert "FAIL  gate hold: held: release day" in said
    assert "ok    gate target: version 2 is previous, and READY" in said
    assert "ok    step mlflow-alias scoring-plain@drilled: would move version 4 to 2" in said
    assert "ok    mode: observe: nothing is ever changed" in said


def test_a_version_that_is_named_is_drilled(tmp_path: Path, served: str) -> None:
    config = configured(tmp_path, served)

    status, said = drill(config, "--to", "1", "--no-load")
    missing, why = drill(config, "--to", "9", "--no-load")

    assert (status, missing) == (0, 1)
    assert "would move version 4 to 1" in said
    assert "FAIL  gate target: version 9 does not exist in the registry" in why


def test_a_registry_that_is_away_is_not_ready(tmp_path: Path) -> None:
    config = configuration(tmp_path, "http://127.0.0.1:1", "flight", "act")

    status, said = drill(config, "--json")

    told = json.loads(said)
    assert status == 1
    assert told["ready"] is False
    assert told["findings"][0]["what"] == "registry"


def test_every_step_is_rehearsed_and_a_permission_that_is_missing_is_named(
    tmp_path: Path, served: str
) -> None:
    config = configured(tmp_path, served)
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text("current-context: x\n")
    step = '[[rollback.steps]]\ntype = "kubernetes-deployment"\nname = "flight"\n'
    config.write_text(config.read_text() + f'{step}kubeconfig_path = "kubeconfig"\n')

    status, said = drill(config, "--no-load")

    assert status == 1
    assert "ok    step mlflow-alias" in said
    assert "FAIL  step kubernetes-deployment flight: " in said
    assert "there is no context called 'x'" in said
