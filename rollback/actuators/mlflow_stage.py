"""The step ``mlflow-stage``: moves the target to a stage of MLflow's registry, as before aliases.

Stages are deprecated since MLflow 2.9; use ``mlflow-alias`` where you can. The move and the
archiving of what was there are one transaction, but there is no compare-and-set, as with aliases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from collectors.registry.client import ModelVersion, RegistryError, RegistryTransientError
from rollback.actuator import Done, Failed, Result


class StageRegistry(Protocol):
    """What of the registry the actuator needs, of `collectors.registry.client.MlflowRegistry`."""

    async def versions(self, model: str) -> Sequence[ModelVersion]: ...  # noqa: D102 - as there

    async def set_stage(self, model: str, version: str, stage: str) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class MlflowStageSettings:
    """A step of type ``mlflow-stage``."""

    type: ClassVar[str] = "mlflow-stage"

    stage: Literal["Production", "Staging"] = "Production"
    """Where the target is moved to, and what is there is archived."""

    model: str | None = None
    """The registered model; that of ``[model]`` by default."""

    def build(self, *, model: str, registry: StageRegistry, **_others: object) -> MlflowStage:
        """Return the actuator; `model` is that of ``[model]``."""
        return MlflowStage(registry, self.model or model, self.stage)


class MlflowStage:
    """Moves one stage of one registered model."""

    def __init__(self, registry: StageRegistry, model: str, stage: str) -> None:
        self._registry = registry
        self._model = model
        self._stage = stage

    @property
    def name(self) -> str:
        """Names the stage, as in ``mlflow-stage flight-delay/Production``."""
        return f"{MlflowStageSettings.type} {self._model}/{self._stage}"

    async def check(self, from_version: str, to_version: str) -> tuple[str, ...]:
        """Return what stands in the way: another version in the stage, an unfit target."""
        try:
            versions = await self._registry.versions(self._model)
        except RegistryTransientError:
            raise
        except RegistryError as error:
            return (str(error),)
        there = self._there(versions)
        problems: list[str] = []
        if there not in ((from_version,), (to_version,)):
            problems.append(self._elsewhere(there, from_version))
        target = next((v for v in versions if v.version == to_version), None)
        if target is None:
            problems.append(f"{self._model} has no version {to_version}")
        elif not target.ready:
            problems.append(f"version {to_version} is {target.status}, not READY")
        return tuple(problems)

    async def act(
        self,
        from_version: str,
        to_version: str,
        *,
        intent: str = "",  # noqa: ARG002 - a stage has no room for it
    ) -> Result:
        """Move the stage if it is where it should be, and read it back."""
        written = False
        try:
            there = self._there(await self._registry.versions(self._model))
            if there == (to_version,):
                return Done(f"version {to_version} was in {self._stage} already", changed=False)
            if there != (from_version,):
                return Failed("contested", self._elsewhere(there, from_version), changed=False)
            written = True
            lost = await self._set(to_version)
            there = self._there(await self._registry.versions(self._model))
        except RegistryError as error:
            transient = written or isinstance(error, RegistryTransientError)
            return Failed("transient" if transient else "permanent", str(error), changed=written)
        if there == (to_version,):
            return Done(f"version {to_version} is in {self._stage}")
        if lost is not None and there == (from_version,):
            transient = isinstance(lost, RegistryTransientError)
            return Failed("transient" if transient else "permanent", str(lost), changed=transient)
        return Failed("contested", self._elsewhere(there, to_version), changed=True)

    async def undone(self, from_version: str, to_version: str) -> str | None:  # noqa: ARG002
        """Return which version is in the stage if that was changed since."""
        try:
            there = self._there(await self._registry.versions(self._model))
        except RegistryError:
            return None
        return None if there == (to_version,) else self._elsewhere(there, to_version)

    async def _set(self, version: str) -> RegistryError | None:
        """Return the error of a write: only reading back tells what became of it."""
        try:
            await self._registry.set_stage(self._model, version, self._stage)
        except RegistryError as error:
            return error
        return None

    def _there(self, versions: Sequence[ModelVersion]) -> tuple[str, ...]:
        return tuple(v.version for v in versions if v.stage == self._stage)

    def _elsewhere(self, there: tuple[str, ...], expected: str) -> str:
        found = f"version {' and '.join(there)}" if there else "no version"
        return f"{found} is in {self._stage}, not version {expected}: somebody else moved it"
