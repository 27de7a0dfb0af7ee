"""The demo's preparation as a process, against a real registry."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from collectors.registry.client import MlflowRegistry
from monitor.demo import story
from monitor.demo.models import ALIAS, MODEL_NAME, VERSION_1, VERSION_2
from monitor.demo.processes import ChildError, child

PREPARATION = ["-m", "monitor.demo.preparation"]


@pytest.mark.real
async def test_both_versions_are_trained_and_registered_and_the_alias_is_at_the_second(
    mlflow_uri: str, tmp_path: Path
) -> None:
    with child("preparation", PREPARATION, tmp_path, pipes=True) as trainer:
        trained = story._heard(trainer, "trained")
        story._tell(trainer, mlflow_uri)
        numbers = story._heard(trainer, "registered")
        trainer.wait(60)

    assert numbers == {"1": "1", "2": "2"}
    async with MlflowRegistry(mlflow_uri) as registry:
        assert await registry.version_by_alias(MODEL_NAME, ALIAS) == "2"
        versions = await registry.versions(MODEL_NAME)
    assert [version.status for version in versions] == ["READY", "READY"]
    assert trained["2"]["errors"]["reference"] < trained["1"]["errors"]["reference"]
    for version in (VERSION_1, VERSION_2):
        table = pd.read_parquet(tmp_path / "reference-rows" / f"{version.number}.parquet")
        assert table.columns.tolist() == [*version.columns, "prediction"]


def test_a_preparation_that_is_told_no_registry_ends_with_a_word(tmp_path: Path) -> None:
    with child("preparation", PREPARATION, tmp_path, pipes=True) as trainer:
        story._heard(trainer, "trained")
        story._tell(trainer, "")

        with pytest.raises(ChildError, match="no registry address came on standard input"):
            story._heard(trainer, "registered")
