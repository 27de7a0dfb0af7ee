"""From settings to what a rollback moves: the registry's client, and the steps."""

from __future__ import annotations

from collections.abc import Sequence

from collectors.registry import MlflowRegistry
from monitor.settings import Settings
from rollback.actuator import Actuator
from rollback.mlflow_alias import MlflowAliasSettings


def registry_of(settings: Settings) -> MlflowRegistry | None:
    """Return a client of the registry; None where none is configured. The caller closes it."""
    model = settings.model
    if not model.tracking_uri:
        return None
    return MlflowRegistry(
        model.tracking_uri,
        token=model.token.reveal() if model.token else None,
        username=model.username or None,
        password=model.password.reveal() if model.password else None,
    )


def actuators_of(settings: Settings, registry: MlflowRegistry) -> Sequence[Actuator]:
    """Return the plan, in the order of doing."""
    model = settings.model
    # A dry run without steps rehearses the one step that a model in a registry always has.
    steps = [step.settings for step in settings.rollback.steps] or [MlflowAliasSettings()]
    return [step.build(model=model.name, alias=model.alias, registry=registry) for step in steps]
