"""What `deploy/kubernetes` becomes when it is built, as kubectl builds it."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
import yaml

Manifest: TypeAlias = dict[str, Any]
#: API group, resource, whether it is narrowed to names, verb.
Right: TypeAlias = tuple[str, str, bool, str]

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
KUBERNETES: Final = DEPLOY / "kubernetes"
#: Components came with 3.7, and kubectl 1.20 has 2.0.
KUSTOMIZE_MIN: Final = 5


def tool(name: str) -> str:
    """Return the path of a program of requirements/deploy.txt, or skip."""
    beside = DEPLOY.parent / ".venv-deploy" / "bin"
    found = shutil.which(name, path=f"{beside}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        pytest.skip(f"there is no {name}: see requirements/deploy.txt")
    return found


@functools.cache
def kubectl() -> str:
    """Return a kubectl that is new enough, or skip."""
    found = shutil.which("kubectl")
    if found is None:
        pytest.skip("there is no kubectl, so nothing can be built")
    said = subprocess.run(
        [found, "version", "--client"], capture_output=True, text=True, check=False
    ).stdout
    version = re.search(r"Kustomize Version: v(\d+)", said)
    if version is None or int(version[1]) < KUSTOMIZE_MIN:
        pytest.skip(f"kubectl has no Kustomize {KUSTOMIZE_MIN}: {said.strip()}")
    return found


def built(folder: Path) -> str:
    """Return what a folder builds to."""
    done = subprocess.run(
        [kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def built_with(component: str, folder: Path) -> str:
    """Return what the actuator builds to with one component."""
    here = os.path.relpath(KUBERNETES.resolve(), folder.resolve())
    (folder / "kustomization.yaml").write_text(
        f"resources: [{here}/actuator]\ncomponents: [{here}/{component}]\n"
    )
    return built(folder)


def loaded(text: str) -> list[Manifest]:
    """Return the objects of a stream of YAML."""
    return [one for one in yaml.safe_load_all(text) if one]


def of_kind(objects: list[Manifest], kind: str) -> list[Manifest]:
    """Return the objects of one kind."""
    return [one for one in objects if one["kind"] == kind]


def rights_of(objects: list[Manifest]) -> set[Right]:
    """Return all that the Roles allow."""
    return {right for role in of_kind(objects, "Role") for right in _rights(role)}


def _rights(role: Mapping[str, Any]) -> Iterator[Right]:
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    yield group, resource, bool(rule.get("resourceNames")), verb
