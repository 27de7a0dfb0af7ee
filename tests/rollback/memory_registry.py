"""A registry in memory, for tests in which MLflow is not what matters."""

from __future__ import annotations

from collections.abc import Sequence

from collectors.registry.client import ModelVersion, RegisteredModel
from tests.rollback.scenes import versions


class MemoryRegistry:
    """One model, its versions 1 to n, and one alias."""

    def __init__(self, model: str, n: int, alias: str) -> None:
        self._model = model
        self._n = n
        self.alias = alias

    async def model(self, model: str) -> RegisteredModel:
        return RegisteredModel(model, {"champion": self.alias})

    async def versions(self, model: str) -> Sequence[ModelVersion]:
        return versions(*range(1, self._n + 1))

    async def version(self, model: str, version: str) -> ModelVersion | None:
        return next((v for v in await self.versions(model) if v.version == version), None)

    async def download_uri(self, model: str, version: str) -> str:
        return f"memory:{model}/{version}"

    async def set_alias(self, model: str, alias: str, version: str) -> None:
        self.alias = version
