"""The actuators there are: what ``type`` may be in a ``[[rollback.steps]]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rollback.actuators.argo_rollout import ArgoRolloutSettings
from rollback.actuators.kserve import KserveSettings
from rollback.actuators.kubernetes_deployment import KubernetesDeploymentSettings
from rollback.actuators.kubernetes_service import KubernetesServiceSettings
from rollback.actuators.mlflow_alias import MlflowAliasSettings
from rollback.actuators.mlflow_stage import MlflowStageSettings
from rollback.actuators.program import CommandSettings
from rollback.actuators.seldon import SeldonSettings
from rollback.actuators.traffic_routes import GatewayHttprouteSettings, IstioVirtualserviceSettings
from rollback.actuators.webhook import WebhookSettings

#: Each is a dataclass with ``build(*, model, alias, registry)`` that returns an actuator.
STEP_KINDS: Final[Mapping[str, type[Any]]] = {
    kind.type: kind
    for kind in (
        MlflowAliasSettings,
        MlflowStageSettings,
        KubernetesDeploymentSettings,
        KubernetesServiceSettings,
        GatewayHttprouteSettings,
        IstioVirtualserviceSettings,
        ArgoRolloutSettings,
        KserveSettings,
        SeldonSettings,
        WebhookSettings,
        CommandSettings,
    )
}
