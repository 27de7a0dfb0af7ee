"""Registers models and versions in a real MLflow, over its REST API."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp

#: Remote sources are taken without a run; local ones must lie within a run's artifacts.
SOURCE = "s3://models/flight-delay"


async def post(uri: str, path: str, body: Mapping[str, object]) -> Mapping[str, object]:
    """Call MLflow's REST API; an error fails the test with MLflow's words."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{uri}/api/2.0/mlflow{path}", json=body) as response,
    ):
        assert response.status == 200, await response.text()
        answer: Mapping[str, object] = await response.json()
        return answer


async def register(uri: str, name: str, versions: int, **aliases: str) -> None:
    """Register a model with versions 1 … n, and point aliases to some."""
    await post(uri, "/registered-models/create", {"name": name})
    for _ in range(versions):
        await post(uri, "/model-versions/create", {"name": name, "source": SOURCE})
    for alias, version in aliases.items():
        await point(uri, name, alias, version)


async def point(uri: str, name: str, alias: str, version: str) -> None:
    """Move an alias, as a person or a pipeline would."""
    body = {"name": name, "alias": alias, "version": version}
    await post(uri, "/registered-models/alias", body)
