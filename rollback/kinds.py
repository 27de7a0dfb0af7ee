"""The actuators there are: what ``type`` may be in a ``[[rollback.steps]]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rollback.mlflow_alias import MlflowAliasSettings

STEP_KINDS: Final[Mapping[str, type[MlflowAliasSettings]]] = {
    MlflowAliasSettings.type: MlflowAliasSettings,
}
