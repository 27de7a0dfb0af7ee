"""The actuators there are: what ``type`` may be in a ``[[rollback.steps]]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rollback.argo_rollout import ArgoRolloutSettings
from rollback.kserve import KserveSettings
from rollback.kubernetes_deployment import KubernetesDeploymentSettings
from rollback.kubernetes_service import KubernetesServiceSettings
from rollback.mlflow_alias import MlflowAliasSettings
from rollback.mlflow_stage import MlflowStageSettings
from rollback.program import CommandSettings
from rollback.seldon import SeldonSettings
from rollback.traffic_routes import GatewayHttprouteSettings, IstioVirtualserviceSettings
from rollback.webhook import WebhookSettings

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
