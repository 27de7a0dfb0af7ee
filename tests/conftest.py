"""For all folders of tests: real servers, shared by the session, and laws without a clock."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from monitor.demo.mlflow_server import mlflow_server

ROOT = Path(__file__).parents[1]

# How long an example takes is the machine's to say, and no law is broken by it.
settings.register_profile("kedge", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kedge")


@pytest.fixture(scope="session")
def mlflow_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow tracking server and registry; tests use model names of their own."""
    folder: Path = tmp_path_factory.mktemp("mlflow")
    with mlflow_server(folder) as uri:
        yield uri


def make_models(*arguments: str) -> None:
    """Run the script that makes models; its output is shown when it fails."""
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.scoring.make_models", *arguments],
        check=True,
        cwd=ROOT,
        timeout=240,
    )


@pytest.fixture(scope="session")
def model_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a folder for each model of `make_models`."""
    folder = tmp_path_factory.mktemp("models")
    make_models(str(folder))
    return folder


@pytest.fixture(scope="session")
def registry_uri(mlflow_uri: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tracking server with the registered models scoring-plain (4 versions), -tensor, -slow"""
    make_models(str(tmp_path_factory.mktemp("unused")), mlflow_uri)
    return mlflow_uri
