"""The actuator ``mlflow-alias``: points an alias of MLflow's registry to another version.

MLflow has no compare-and-set for aliases, so a write by somebody else between our read and our
write is lost. Reading right before and right after makes that gap a few milliseconds; it cannot
close it. Servers that loaded the model by its alias go on with what they loaded until they look
again: that the traffic moved is for the verification to see.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from collectors.registry.client import (
    ModelVersion,
    RegisteredModel,
    RegistryError,
    RegistryNotFoundError,
    RegistryTransientError,
)
from rollback.actuator import Done, Failed, Result


class AliasRegistry(Protocol):
    """What of the registry the actuator needs, of `collectors.registry.client.MlflowRegistry`."""

    async def model(self, model: str) -> RegisteredModel: ...  # noqa: D102 - as there

    async def version(self, model: str, version: str) -> ModelVersion | None: ...  # noqa: D102

    async def download_uri(self, model: str, version: str) -> str: ...  # noqa: D102

    async def set_alias(self, model: str, alias: str, version: str) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class MlflowAliasSettings:
    """A step of type ``mlflow-alias``.

    Parameters
    ----------
    alias, model
        The alias to move, and the registered model it belongs to; those of ``[model]`` by
        default.
    """

    type: ClassVar[str] = "mlflow-alias"

    alias: str | None = None
    model: str | None = None

    def build(
        self, *, model: str, alias: str, registry: AliasRegistry, **_others: object
    ) -> MlflowAlias:
        """Return the actuator; `model` and `alias` are those of ``[model]``."""
        return MlflowAlias(registry, self.model or model, self.alias or alias)


class MlflowAlias:
    """Moves one alias of one registered model."""

    def __init__(self, registry: AliasRegistry, model: str, alias: str) -> None:
        self._registry = registry
        self._model = model
        self._alias = alias

    @property
    def name(self) -> str:
        """Names the alias, as in ``mlflow-alias flight-delay@champion``."""
        return f"{MlflowAliasSettings.type} {self._model}@{self._alias}"

    async def check(self, from_version: str, to_version: str) -> tuple[str, ...]:
        """Return what stands in the way: another alias target, a version that cannot be used."""
        problems: list[str] = []
        try:
            current = await self._read()
            if current not in (from_version, to_version):
                problems.append(self._elsewhere(current, from_version))
            version = await self._registry.version(self._model, to_version)
            if version is None:
                problems.append(f"{self._model} has no version {to_version}")
            elif not version.ready:
                problems.append(f"version {to_version} is {version.status}, not READY")
            elif not await self._registry.download_uri(self._model, to_version):
                problems.append(f"version {to_version} has no artifacts")
        except RegistryTransientError:
            raise
        except RegistryError as error:
            problems.append(str(error))
        return tuple(problems)

    async def act(
        self,
        from_version: str,
        to_version: str,
        *,
        intent: str = "",  # noqa: ARG002 - an alias has no room for it
    ) -> Result:
        """Move the alias if it is where it should be, and read it back."""
        try:
            current = await self._read()
        except RegistryError as error:
            return _failed(error, changed=False)
        if current == to_version:
            return Done(f"{self._alias} pointed to version {to_version} already", changed=False)
        if current != from_version:
            return Failed("contested", self._elsewhere(current, from_version), changed=False)
        return await self._move(from_version, to_version)

    async def undone(self, from_version: str, to_version: str) -> str | None:  # noqa: ARG002
        """Return where the alias points if it was moved since."""
        try:
            current = await self._read()
        except RegistryError:
            return None
        return None if current == to_version else self._elsewhere(current, to_version)

    async def _move(self, from_version: str, to_version: str, *, again: bool = False) -> Result:
        lost: RegistryTransientError | None = None
        try:
            await self._registry.set_alias(self._model, self._alias, to_version)
        except RegistryTransientError as error:
            # It may have happened all the same; only reading it back tells.
            lost = error
        except RegistryError as error:
            return _failed(error, changed=False)
        try:
            current = await self._read()
        except RegistryError as error:
            return Failed("transient", f"written, but not read back: {error}", changed=True)
        if current == to_version:
            return Done(f"{self._alias} points to version {to_version}")
        if lost is not None and current == from_version:
            if lost.reason == "race" and not again:
                return await self._move(from_version, to_version, again=True)
            # An answer that was late may stand for a write that is late.
            return Failed("transient", str(lost), changed=lost.reason not in ("race", "lease"))
        return Failed("contested", self._elsewhere(current, to_version), changed=True)

    async def _read(self) -> str | None:
        return (await self._registry.model(self._model)).aliases.get(self._alias)

    def _elsewhere(self, current: str | None, expected: str) -> str:
        where = "nowhere" if current is None else f"to version {current}"
        return f"{self._alias} points {where}, not to version {expected}: somebody else moved it"


def _failed(error: RegistryError, *, changed: bool) -> Failed:
    if isinstance(error, RegistryTransientError):
        return Failed("transient", str(error), changed)
    if isinstance(error, RegistryNotFoundError):
        return Failed("permanent", f"gone from the registry: {error}", changed)
    return Failed("permanent", str(error), changed)
