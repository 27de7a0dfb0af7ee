"""The actuators there are: what ``type`` may be in a ``[[rollback.steps]]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rollback.kubernetes_deployment import KubernetesDeploymentSettings
from rollback.mlflow_alias import MlflowAliasSettings

#: Each is a dataclass with ``build(*, model, alias, registry)`` that returns an actuator.
STEP_KINDS: Final[Mapping[str, type[Any]]] = {
    kind.type: kind
    for kind in (
        MlflowAliasSettings,
        KubernetesDeploymentSettings,
    )
}
