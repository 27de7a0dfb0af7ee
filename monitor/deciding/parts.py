"""From settings to what a rollback is made of: the registry's client, the steps, the decision."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from collectors.registry.client import MlflowRegistry
from monitor.deciding.deciding import Bystander, Deciding, Decision, Reporter
from monitor.metrics.catalogue import Metrics
from monitor.notifications.queues import Notifier
from monitor.references.dependence import columns_read
from monitor.references.references import References
from monitor.settings.settings import Settings
from monitor.store.journal import StoreJournal
from monitor.store.remembering import change_of
from monitor.store.store import Store
from monitor.store.writer import Writer
from rollback.actuator import Actuator
from rollback.actuators.mlflow_alias import MlflowAliasSettings
from rollback.actuators.webhook import WebhookSettings
from rollback.better import about_answers
from rollback.controller import Controller, record_id
from rollback.kubernetes.client import Permit
from rollback.kubernetes.move import GuardedMove
from rollback.leased_step import LeasedStep
from rollback.memory import Memory

if TYPE_CHECKING:
    from monitor.shadow.composition import ShadowParts
    from monitor.shadow.target_comparison import TargetComparisons

#: Any of these can load a model of its kind.
LOADERS: Final = ("sklearn", "onnxruntime", "lightgbm", "xgboost", "torch", "mlflow")


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


def alias_stays(settings: Settings) -> bool:
    """Say whether no step moves the alias that says what serves."""
    model, steps = settings.model, settings.rollback.steps
    own = (
        (step.settings.model or model.name, step.settings.alias or model.alias)
        for step in steps
        if isinstance(step.settings, MlflowAliasSettings)
    )
    return bool(steps) and (model.name, model.alias) not in own


def _leased(actuator: Actuator, settings: object, permit: Permit) -> Actuator:
    if isinstance(actuator, GuardedMove):
        # Its client asks before every patch.
        actuator = replace(actuator, connect=partial(actuator.cluster.connect, permit))
    call_s = settings.timeout_s if isinstance(settings, WebhookSettings) else 0.0
    return LeasedStep(actuator, permit, call_s)


def compares_targets(settings: Settings) -> bool:
    """Say whether targets are compared with what serves, before they are gone to.

    Where that is not required, it takes something on this machine that can load a model.
    """
    policy, how = settings.rollback.policy, settings.rollback.policy.gates.better_on_shadow
    rolling = any(
        rule.action == "rollback"
        and about_answers(rule.metric, rule.column or "".join(rule.columns))
        for rule in settings.rules
    )
    alerted = how == "require" and bool(settings.alerts.confirm)
    if policy.mode == "observe" or how == "off" or not (rolling or alerted):
        return False
    if not settings.model.tracking_uri or not settings.shadow.recent_max:
        return False
    return how == "require" or any(find_spec(name) is not None for name in LOADERS)


def comparisons_of(
    settings: Settings, shadow: ShadowParts | None, metrics: Metrics
) -> TargetComparisons | None:
    """Return what compares targets; None where none are compared."""
    if not compares_targets(settings):
        return None
    from monitor.shadow.composition import (  # noqa: PLC0415 - the scoring server's modules
        target_comparisons,
    )

    def count(verdict: str) -> None:
        metrics.target_comparisons.labels(settings.model.name, verdict).inc()

    return target_comparisons(settings, shadow, count)


def deciding_of(
    settings: Settings,
    store: Store,
    writer: Writer,
    *,
    metrics: Metrics,
    registry: MlflowRegistry | None,
    references: References,
    memory: Memory,
    notifier: Notifier,
    permit: Permit | None = None,
    comparisons: TargetComparisons | None = None,
) -> Deciding:
    """Return the decision, fed from the store; one that decides nothing without a registry."""
    model, policy = settings.model, settings.rollback.policy
    if registry is None:
        return Bystander(policy.mode)

    async def keep_incidents(incidents: Sequence[dict[str, Any]]) -> None:
        await writer.run(lambda: store.add_incidents(incidents))

    async def keep_memory(memory: Memory) -> None:
        change = change_of(memory)
        await writer.run(lambda: store.commit(change))

    reporter = Reporter(model.name, metrics, keep_incidents, tell=notifier.tell)
    return Decision(
        Controller(
            model.name,
            model.alias,
            policy,
            journal=StoreJournal(store, writer),
            registry=registry,
            actuators=actuators_of(settings, registry, permit),
            now=time.time,
            new_id=lambda: record_id(time.time()),
            memory=memory,
            on_change=reporter.changed,
            on_memory=keep_memory,
            # References belong to the thread that counts.
            reads=lambda versions: writer.run(lambda: columns_read(references, versions)),
            compare=None if comparisons is None else comparisons.compare,
            alias_stays=alias_stays(settings),
        ),
        reporter,
        comparisons,
    )
