"""Every kind of step is loaded from a configuration and gives an actuator."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.settings.settings import load
from rollback.kinds import STEP_KINDS
from tests.rollback.memory_registry import MemoryRegistry

KEYS = {
    "mlflow-alias": ("", "mlflow-alias flight-delay@champion"),
    "mlflow-stage": ("", "mlflow-stage flight-delay/Production"),
    "kubernetes-deployment": ("", "kubernetes-deployment ml/flight"),
    "kubernetes-service": ("", "kubernetes-service ml/flight"),
    "gateway-httproute": (
        'from_backend = "a"\nto_backend = "b"',
        "gateway-httproute ml/flight",
    ),
    "istio-virtualservice": (
        'from_backend = "a:v{version}"\nto_backend = "b"',
        "istio-virtualservice ml/flight",
    ),
    "argo-rollout": ("", "argo-rollout ml/flight"),
    "kserve": ('storage_uri = "s3://m/{version}"', "kserve ml/flight"),
    "seldon": ('from_candidate = "a"\nto_candidate = "b"', "seldon ml/flight"),
    "webhook": (
        'url = "https://user:pass@example.com/x?key=y"\nsecret = "s"',
        "webhook https://example.com/x",
    ),
    "command": ('argv = ["/bin/true"]', "command true"),
}


def test_every_kind_is_tested_here() -> None:
    assert sorted(KEYS) == sorted(STEP_KINDS)


@pytest.mark.parametrize("kind", sorted(KEYS))
def test_a_step_is_loaded_and_names_what_it_moves(kind: str, tmp_path: Path) -> None:
    more, name = KEYS[kind]
    where = 'namespace = "ml"\nname = "flight"\n' if name.endswith("ml/flight") else ""
    (path := tmp_path / "kedge.toml").write_text(
        '[model]\nname = "flight-delay"\n'
        '[[collect]]\ntype = "tail"\npath = "x.jsonl"\n'
        f'[[rollback.steps]]\ntype = "{kind}"\n{where}{more}\n'
    )

    (step,) = load(path, {}).rollback.steps
    registry = MemoryRegistry("flight-delay", 2, "2")
    built = step.settings.build(model="flight-delay", alias="champion", registry=registry)

    assert built.name == name
