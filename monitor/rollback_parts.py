"""From settings to what a rollback moves: the registry's client, and the steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from collectors.registry import MlflowRegistry
from monitor.settings import Settings
from rollback.actuator import Actuator
from rollback.kubernetes_client import Permit
from rollback.kubernetes_move import GuardedMove
from rollback.leased_step import LeasedStep
from rollback.mlflow_alias import MlflowAliasSettings
from rollback.webhook import WebhookSettings


def registry_of(settings: Settings, permit: Permit | None = None) -> MlflowRegistry | None:
    """Return a client of the registry; None where none is configured. The caller closes it.

    Parameters
    ----------
    permit
        A lease's word on whether something may be changed.
    """
    model = settings.model
    if not model.tracking_uri:
        return None
    return MlflowRegistry(
        model.tracking_uri,
        token=model.token.reveal() if model.token else None,
        username=model.username or None,
        password=model.password.reveal() if model.password else None,
        permit=permit,
    )


def actuators_of(
    settings: Settings, registry: MlflowRegistry, permit: Permit | None = None
) -> Sequence[Actuator]:
    """Return the plan, in the order of doing; each change asks `permit` before it is made."""
    model = settings.model
    # A dry run without steps rehearses the one step that a model in a registry always has.
    steps = [step.settings for step in settings.rollback.steps] or [MlflowAliasSettings()]
    built = [step.build(model=model.name, alias=model.alias, registry=registry) for step in steps]
    if permit is None:
        return built
    return [_leased(one, step, permit) for one, step in zip(built, steps, strict=True)]


def _leased(actuator: Actuator, settings: object, permit: Permit) -> Actuator:
    if isinstance(actuator, GuardedMove):
        # Its client asks before every patch.
        actuator = replace(actuator, connect=partial(actuator.cluster.connect, permit))
    call_s = settings.timeout_s if isinstance(settings, WebhookSettings) else 0.0
    return LeasedStep(actuator, permit, call_s)
