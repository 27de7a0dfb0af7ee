"""Fixtures that several folders of tests use: real servers, shared by the session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.demo.mlflow_server import mlflow_server


@pytest.fixture(scope="session")
def mlflow_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow tracking server and registry; tests use model names of their own."""
    folder: Path = tmp_path_factory.mktemp("mlflow")
    with mlflow_server(folder) as uri:
        yield uri
