"""The registry client against a real MLflow."""

from __future__ import annotations

import asyncio
import re
from uuid import uuid4

import aiohttp
import pytest

from collectors.registry import client as registry_module
from collectors.registry.client import (
    MlflowRegistry,
    RegisteredModel,
    RegistryNotFoundError,
    RegistryPermanentError,
)
from collectors.registry.model_uri import ModelUri, ModelUriError, parse_model_uri
from tests.collectors.registered import SOURCE, post, register

pytestmark = pytest.mark.real


@pytest.fixture
def name() -> str:
    return f"flight-{uuid4().hex}"


async def test_an_alias_is_read_and_moved(mlflow_uri: str, name: str) -> None:
    await register(mlflow_uri, name, 2, champion="2")

    async with MlflowRegistry(mlflow_uri) as registry:
        before = await registry.version_by_alias(name, "champion")
        await registry.set_alias(name, "champion", "1")
        after = await registry.version_by_alias(name, "champion")

    assert (before, after) == ("2", "1")


async def test_a_missing_alias_is_none_and_a_missing_model_an_error(
    mlflow_uri: str, name: str
) -> None:
    await register(mlflow_uri, name, 1)

    async with MlflowRegistry(mlflow_uri) as registry:
        assert await registry.version_by_alias(name, "champion") is None
        with pytest.raises(RegistryNotFoundError):
            await registry.version_by_alias(f"{name}-not", "champion")


async def test_an_alias_that_mlflow_does_not_allow_is_an_error_and_not_none(
    mlflow_uri: str, name: str
) -> None:
    await register(mlflow_uri, name, 1)

    async with MlflowRegistry(mlflow_uri) as registry:
        with pytest.raises(RegistryPermanentError, match="INVALID_PARAMETER_VALUE"):
            await registry.version_by_alias(name, "a b")


async def test_a_model_has_all_its_aliases(mlflow_uri: str, name: str) -> None:
    await register(mlflow_uri, name, 2, champion="2", challenger="1")

    async with MlflowRegistry(mlflow_uri) as registry:
        model = await registry.model(name)

    assert model == RegisteredModel(name, {"champion": "2", "challenger": "1"})


async def test_versions_come_newest_first_over_several_pages(
    mlflow_uri: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "PAGE_VERSIONS", 5)
    await register(mlflow_uri, name, 11)

    async with MlflowRegistry(mlflow_uri) as registry:
        versions = await registry.versions(name)

    assert [v.version for v in versions] == [str(n) for n in range(11, 0, -1)]
    assert {v.name for v in versions} == {name}


async def test_a_version_says_what_it_is(mlflow_uri: str, name: str) -> None:
    await register(mlflow_uri, name, 1, champion="1")

    async with MlflowRegistry(mlflow_uri) as registry:
        await registry.set_version_tag(name, "1", "kedge.note", "ünfit")
        version = await registry.version(name, "1")
        missing = await registry.version(name, "2")
        uri = await registry.download_uri(name, "1")

    assert version is not None
    assert (version.status, version.ready, version.source) == ("READY", True, SOURCE)
    assert version.tags == {"kedge.note": "ünfit"}
    assert version.aliases == ("champion",)
    assert version.created > 1_600_000_000
    assert missing is None
    assert uri == SOURCE


@pytest.mark.parametrize("quoted", ["it's", 'say "so"', "50% off & more"])
async def test_a_name_with_quotes_is_found(mlflow_uri: str, name: str, quoted: str) -> None:
    await register(mlflow_uri, f"{name} {quoted}", 1)

    async with MlflowRegistry(mlflow_uri) as registry:
        versions = await registry.versions(f"{name} {quoted}")

    assert len(versions) == 1


async def test_a_model_that_is_not_there_has_no_versions(mlflow_uri: str, name: str) -> None:
    async with MlflowRegistry(mlflow_uri) as registry:
        assert await registry.versions(name) == ()


async def test_a_version_that_is_not_there_gets_no_alias(mlflow_uri: str, name: str) -> None:
    await register(mlflow_uri, name, 1)

    async with MlflowRegistry(mlflow_uri) as registry:
        with pytest.raises(RegistryNotFoundError, match="version=7"):
            await registry.set_alias(name, "champion", "7")


async def test_a_refused_host_name_comes_with_the_remedy(mlflow_uri: str, name: str) -> None:
    async with (
        aiohttp.ClientSession(headers={"Host": "mlflow.mlops.svc:5000"}) as session,
        MlflowRegistry(mlflow_uri, session=session) as registry,
    ):
        with pytest.raises(RegistryPermanentError, match="--allowed-hosts") as caught:
            await registry.model(name)

    assert caught.value.reason == "host"


async def test_concurrent_first_writes_of_an_alias_leave_one_of_them(
    mlflow_uri: str, name: str
) -> None:
    await register(mlflow_uri, name, 3)

    async with MlflowRegistry(mlflow_uri) as registry:
        results = await asyncio.gather(
            *(registry.set_alias(name, "champion", str(1 + n % 3)) for n in range(12)),
            return_exceptions=True,
        )
        left = await registry.version_by_alias(name, "champion")

    # Writes that met are told apart from those that failed: only a race may have lost.
    assert {getattr(r, "reason", None) for r in results} <= {None, "race", "server"}
    assert left in {"1", "2", "3"}


async def test_a_session_that_was_lent_stays_open(mlflow_uri: str, name: str) -> None:
    await post(mlflow_uri, "/registered-models/create", {"name": name})
    async with aiohttp.ClientSession() as session:
        async with MlflowRegistry(mlflow_uri, session=session) as registry:
            await registry.model(name)

        assert not session.closed


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("models:/m@champion", ModelUri("m", alias="champion")),
        ("models:/m/7", ModelUri("m", version="7")),
        ("models:/m/007", ModelUri("m", version="7")),
        ("models:/a@b@champion", ModelUri("a@b", alias="champion")),
        ("models:/with space/7", ModelUri("with space", version="7")),
    ],
)
def test_a_model_uri_names_a_version(uri: str, expected: ModelUri) -> None:
    assert parse_model_uri(uri) == expected


@pytest.mark.parametrize(
    "uri",
    [
        *("models:/m", "models:/m/Production", "models:/m/latest", "models:/m@", "models:/@a"),
        *("models:/m/", "models:/m/7/8", "models://host/m/7", "runs:/abc/model", "m@a", ""),
        *("models:/m/²", "models:/m-0123456789abcdef", "models:/m/x@a"),
    ],
)
def test_what_names_no_version_is_refused_with_a_remedy(uri: str) -> None:
    with pytest.raises(ModelUriError, match=re.escape("models:/NAME@ALIAS")):
        parse_model_uri(uri)
