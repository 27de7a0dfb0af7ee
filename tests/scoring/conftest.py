"""Models to serve, made once a session by a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


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
