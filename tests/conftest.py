"""Fixtures that several folders of tests use: real servers and models, shared by the session."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.demo.mlflow_server import mlflow_server

ROOT = Path(__file__).parents[1]


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
    """A tracking server with the registered models scoring-plain (4 versions) and scoring-tensor"""
    make_models(str(tmp_path_factory.mktemp("unused")), mlflow_uri)
    return mlflow_uri
