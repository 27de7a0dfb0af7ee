"""From a model URI to a folder with the model: where it looks, and what it does not let in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from collectors.registry.client import MlflowRegistry, RegistryNotFoundError
from collectors.registry.model_uri import ModelUri
from scoring.artifacts.artifact import CACHED_MODELS_MAX, ArtifactCache, ArtifactError
from scoring.artifacts.target import Target, TargetError, registered, resolve, unregistered
from scoring.artifacts.tracking import Tracking

NAME = "scoring-tensor"


def model(uri: str) -> ModelUri:
    found = registered(uri)
    assert found is not None
    return found


def test_a_local_folder_is_used_where_it_is(model_folders: Path) -> None:
    path = model_folders / "plain"

    for uri in (str(path), path.as_uri()):
        assert unregistered(uri) == Target("plain", "unknown", str(path))


def test_a_run_is_the_version_of_its_model() -> None:
    assert unregistered("runs:/8f3e/some/model") == Target("model", "8f3e", "runs:/8f3e/some/model")


@pytest.mark.parametrize("uri", ["models:/name", "models:/name/latest", "models:/@x", "models:/"])
def test_a_registered_model_needs_a_version_or_an_alias(uri: str) -> None:
    with pytest.raises(TargetError):
        registered(uri)


async def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no MLflow model"):
        await ArtifactCache(tmp_path / "cache", None).fetch(str(tmp_path))


@pytest.mark.real
async def test_a_registered_version_is_downloaded_over_rest_and_once(
    registry_uri: str, tmp_path: Path
) -> None:
    async with MlflowRegistry(registry_uri) as registry:
        await registry.set_alias(NAME, "champion", "1")
        target = await resolve(model(f"models:/{NAME}@champion"), registry)
    cache = ArtifactCache(tmp_path / "cache", Tracking.of(registry_uri, {}))

    folder = await cache.fetch(target.source)
    again = await ArtifactCache(tmp_path / "cache", None).fetch(target.source)

    assert (target.name, target.version, target.alias) == (NAME, "1", "champion")
    assert target.source.startswith("mlflow-artifacts:/")
    assert again == folder
    assert {path.name for path in folder.iterdir()} >= {"MLmodel", "model.pkl"}
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [folder.name]


@pytest.mark.real
async def test_a_registered_model_that_is_not_there_is_named(registry_uri: str) -> None:
    async with MlflowRegistry(registry_uri) as registry:
        with pytest.raises(TargetError, match="no alias nobody"):
            await resolve(model(f"models:/{NAME}@nobody"), registry)
        with pytest.raises(RegistryNotFoundError):
            await resolve(model(f"models:/{NAME}/77"), registry)


@pytest.mark.real
async def test_any_other_address_is_left_to_mlflow_in_a_process_of_its_own(
    registry_uri: str, tmp_path: Path
) -> None:
    async with MlflowRegistry(registry_uri) as registry:
        source = await registry.version(NAME, "1")
    assert source is not None
    assert source.source.startswith("models:/m-")
    cache = ArtifactCache(tmp_path / "cache", Tracking.of(registry_uri, {}))

    folder = await cache.fetch(source.source)

    assert (folder / "model.pkl").is_file()
    with pytest.raises(ArtifactError, match="with mlflow"):
        await cache.fetch("runs:/nothing/model")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [folder.name]


class Store:
    """A tracking server that lists and hands out what it is told to."""

    def __init__(self, listings: Mapping[str, object], *, status: int = 200) -> None:
        self.listings = listings
        self.status = status
        self.signed_in: set[str | None] = set()

    async def list(self, request: web.Request) -> web.Response:
        self.signed_in.add(request.headers.get("Authorization"))
        listing = self.listings.get(request.query["path"], [])
        return web.Response(status=self.status, text=json.dumps({"files": listing}))

    async def get(self, request: web.Request) -> web.Response:
        self.signed_in.add(request.headers.get("Authorization"))
        return web.Response(text=request.match_info["path"])

    def server(self) -> TestServer:
        app = web.Application()
        app.router.add_get("/api/2.0/mlflow-artifacts/artifacts", self.list)
        app.router.add_get("/api/2.0/mlflow-artifacts/artifacts/{path:.*}", self.get)
        return TestServer(app)


def names_below(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*")]


async def fetched(store: Store, folder: Path) -> Path:
    async with store.server() as server:
        uri = str(server.make_url("/")).replace("http://", "http://ada:secret@")
        cache = ArtifactCache(folder, Tracking.of(uri, {}))
        return await cache.fetch("mlflow-artifacts:/7/a model")


async def test_folders_are_followed_and_every_request_is_signed_in(tmp_path: Path) -> None:
    store = Store(
        {
            "7/a model": [{"path": "MLmodel"}, {"path": "data", "is_dir": True}],
            "7/a model/data": [{"path": "w 1.bin", "is_dir": False}],
        }
    )

    folder = await fetched(store, tmp_path)

    assert (folder / "MLmodel").read_text() == "7/a model/MLmodel"
    assert (folder / "data" / "w 1.bin").read_text() == "7/a model/data/w 1.bin"
    assert store.signed_in == {"Basic YWRhOnNlY3JldA=="}


@pytest.mark.parametrize(
    "name", ["../up", "..", ".", "", "/etc/passwd", "a/b", "a\\b", "a\0b", "data/../../up"]
)
async def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    store = Store({"7/a model": [{"path": "MLmodel"}, {"path": name}]})

    with pytest.raises(ArtifactError, match="lists a file named"):
        await fetched(store, tmp_path / "cache")

    assert names_below(tmp_path) == ["cache"]


async def test_folders_without_an_end_are_refused(tmp_path: Path) -> None:
    class Endless(dict[str, object]):
        def get(self, key: str, default: object = None) -> object:
            return [{"path": "again", "is_dir": True}]

    with pytest.raises(ArtifactError, match="levels"):
        await fetched(Store(Endless()), tmp_path)


async def test_a_model_over_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scoring.artifacts.artifact_proxy.BYTES_MAX", 5)

    with pytest.raises(ArtifactError, match="over 5 bytes"):
        await fetched(Store({"7/a model": [{"path": "MLmodel"}]}), tmp_path)


@pytest.mark.parametrize("status", [401, 404, 500])
async def test_what_the_server_answers_is_told(tmp_path: Path, status: int) -> None:
    with pytest.raises(ArtifactError, match=str(status)):
        await fetched(Store({}, status=status), tmp_path)


async def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path, Tracking.of("http://127.0.0.1:9", {}))

    with pytest.raises(ArtifactError, match="cannot download"):
        await cache.fetch("mlflow-artifacts:/7/model")


async def test_the_cache_keeps_the_models_used_last(tmp_path: Path) -> None:
    store = Store({f"{n}/m": [{"path": "MLmodel"}] for n in range(CACHED_MODELS_MAX + 2)})
    async with store.server() as server:
        cache = ArtifactCache(tmp_path, Tracking.of(str(server.make_url("/")), {}))
        folders = [await cache.fetch(f"mlflow-artifacts:/{n}/m") for n in range(10)]

    assert not any(folder.exists() for folder in folders[:2])
    assert all(folder.exists() for folder in folders[2:])


def test_who_we_are_comes_from_the_address_then_from_the_environment() -> None:
    environment = {"MLFLOW_TRACKING_URI": "http://env:1/", "MLFLOW_TRACKING_TOKEN": "t0ken"}

    assert Tracking.of(None, {}) is None
    assert Tracking.of(None, environment) == Tracking("http://env:1", "t0ken")
    assert Tracking.of("https://a%40b:p%3A@host:5/x/", {}) == Tracking(
        "https://host:5/x", None, "a@b", "p:"
    )
    assert "t0ken" not in repr(Tracking.of(None, environment))
