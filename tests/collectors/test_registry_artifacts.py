"""Files of a model version: stored in a real MLflow and in folders, and fetched unharmed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from collectors.registry.artifacts import (
    ArtifactAddress,
    ArtifactAddressError,
    RegistryArtifacts,
    artifact_place,
    parse_artifact_address,
)
from collectors.registry.client import MlflowRegistry, RegistryError
from tests.collectors.registered import SOURCE, register

DATA = bytes(range(256)) * 1000


@pytest.mark.real
async def test_a_file_comes_back_from_mlflow_as_it_was(mlflow_uri: str) -> None:
    async with MlflowRegistry(mlflow_uri) as registry:
        artifacts = RegistryArtifacts(registry)

        stored = await artifacts.store(ArtifactAddress("mlflow-artifacts", "kedge/a b/1"), DATA)
        data = await artifacts.fetch(parse_artifact_address(str(stored)), bytes_max=len(DATA))

    assert data == DATA
    assert stored.sha256


@pytest.mark.real
async def test_files_of_a_version_whose_artifacts_are_elsewhere_are_kept_apart(
    mlflow_uri: str,
) -> None:
    await register(mlflow_uri, "placed", 1)
    async with MlflowRegistry(mlflow_uri) as registry:
        folder = await registry.download_uri("placed", "1")

    place = artifact_place(folder, "placed", "1", "r.kedge")

    assert folder == SOURCE
    assert str(place) == "mlflow-artifacts:/kedge/placed/1/r.kedge"


@pytest.mark.real
@pytest.mark.parametrize(
    ("checksum", "bytes_max", "said"),
    [("00" * 32, len(DATA), "was changed or damaged"), ("", 1000, "longer than 1000 bytes")],
    ids=["another checksum", "too large"],
)
async def test_what_is_not_as_stated_is_not_returned(
    mlflow_uri: str, checksum: str, bytes_max: int, said: str
) -> None:
    async with MlflowRegistry(mlflow_uri) as registry:
        artifacts = RegistryArtifacts(registry)
        await artifacts.store(ArtifactAddress("mlflow-artifacts", "kedge/stated"), DATA)
        address = ArtifactAddress("mlflow-artifacts", "kedge/stated", checksum)

        with pytest.raises(RegistryError, match=said):
            await artifacts.fetch(address, bytes_max=bytes_max)


@pytest.mark.real
async def test_a_file_that_mlflow_does_not_have_is_missing(mlflow_uri: str) -> None:
    async with MlflowRegistry(mlflow_uri) as registry:
        artifacts = RegistryArtifacts(registry)

        with pytest.raises(RegistryError):
            await artifacts.fetch(ArtifactAddress("mlflow-artifacts", "no/such"), bytes_max=9)


async def test_a_folder_of_this_machine_keeps_it_too(tmp_path: Path) -> None:
    place = artifact_place(tmp_path.as_uri(), "m", "7", "r.kedge")
    async with MlflowRegistry("http://127.0.0.1:1") as registry:
        artifacts = RegistryArtifacts(registry)

        stored = await artifacts.store(place, DATA)
        data = await artifacts.fetch(parse_artifact_address(str(stored)), bytes_max=len(DATA))

    assert data == DATA == (tmp_path / "kedge" / "r.kedge").read_bytes()


async def test_a_pipe_in_the_place_of_a_file_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    async with MlflowRegistry("http://127.0.0.1:1") as registry:
        artifacts = RegistryArtifacts(registry)

        with pytest.raises(RegistryError, match="it is no file"):
            await artifacts.fetch(ArtifactAddress("file", str(tmp_path / "pipe")), bytes_max=9)


@pytest.mark.parametrize(
    "text",
    ["s3://bucket/r.kedge", "mlflow-artifacts:/a/../../b", "file://host/r", "r.kedge", "file:///"],
)
def test_an_address_that_names_no_such_file_says_what_one_looks_like(text: str) -> None:
    with pytest.raises(ArtifactAddressError, match="expected"):
        parse_artifact_address(text)
