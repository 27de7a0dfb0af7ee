"""The manifests build, are valid, and allow what the code does: that, and nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from monitor.settings.settings import load
from rollback.kinds import STEP_KINDS
from rollback.kubernetes.lease import LEASES
from rollback.kubernetes.move import GuardedMove
from tests.deploy.manifests import (
    KUBERNETES,
    Manifest,
    Right,
    built,
    built_with,
    loaded,
    of_kind,
    rights_of,
    tool,
)

#: What the settings of each kind of step need besides the name of the object.
SETTINGS: dict[str, dict[str, Any]] = {
    "kubernetes-deployment": {},
    "kubernetes-service": {},
    "gateway-httproute": {"from_backend": "a", "to_backend": "b"},
    "istio-virtualservice": {"from_backend": "a", "to_backend": "b"},
    "argo-rollout": {},
    "kserve": {"storage_uri": "s3://m/{version}"},
    "seldon": {"from_candidate": "a", "to_candidate": "b"},
}
LEASE = {
    (LEASES.group, LEASES.plural, True, "get"),
    (LEASES.group, LEASES.plural, True, "update"),
}


def moves() -> dict[str, GuardedMove]:
    """The steps that move objects of Kubernetes, by type."""
    found: dict[str, GuardedMove] = {}
    for kind, settings in SETTINGS.items():
        actuator = STEP_KINDS[kind](name="flight-delay", **settings).build(model="flight-delay")
        assert isinstance(actuator, GuardedMove)
        found[kind] = actuator
    return found


def used(move: GuardedMove) -> set[Right]:
    """What a step asks its own account to be allowed, before it acts."""
    resource = move.kind.resource
    plural = "/".join(filter(None, (resource.plural, move.kind.subresource)))
    asked = {
        (resource.group, resource.plural, True, "get"),
        (resource.group, plural, True, "patch"),
    }
    others = move.kind.rights("flight-delay")
    return asked | {(r.resource.group, r.resource.plural, bool(r.name), r.verb) for r in others}


def test_every_kind_of_step_in_the_cluster_has_a_component_and_no_other_has() -> None:
    clustered = {name for name, kind in STEP_KINDS.items() if "cluster" in kind.__slots__}
    folders = {one.name for one in (KUBERNETES / "steps").iterdir()}

    assert clustered == set(SETTINGS) == folders


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_component_allows_what_its_step_does_and_nothing_else(kind: str, tmp_path: Path) -> None:
    objects = loaded(built_with(f"steps/{kind}", tmp_path))

    assert rights_of(objects) == used(moves()[kind]) | LEASE


def test_the_actuator_by_itself_may_touch_its_lease_only() -> None:
    assert rights_of(loaded(built(KUBERNETES / "actuator"))) == LEASE


@pytest.mark.parametrize("kind", SETTINGS)
def test_every_role_is_bound_to_the_actuator(kind: str, tmp_path: Path) -> None:
    objects = loaded(built_with(f"steps/{kind}", tmp_path))

    roles = {one["metadata"]["name"] for one in of_kind(objects, "Role")}
    bound = {
        one["roleRef"]["name"]: [subject["name"] for subject in one["subjects"]]
        for one in of_kind(objects, "RoleBinding")
    }
    assert bound == {role: ["kedge-actuator"] for role in roles}
    assert not of_kind(objects, "ClusterRole")


@pytest.mark.parametrize("kind", SETTINGS)
def test_the_documented_role_is_that_of_the_component(kind: str, tmp_path: Path) -> None:
    page = (KUBERNETES.parents[1] / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    yaml_text = page.partition("## Least rights")[2].partition("```yaml\n")[2].partition("```")[0]

    missing = used(moves()[kind]) - rights_of(loaded(yaml_text))

    assert not missing


@pytest.mark.parametrize("folder", ["actuator", "example"])
def test_what_is_built_is_valid_to_the_last_field(folder: str, tmp_path: Path) -> None:
    validate = tool("kubernetes-validate")
    manifest = tmp_path / "built.yaml"
    manifest.write_text(built(KUBERNETES / folder))

    done = subprocess.run(
        [validate, "--strict", "-k", "1.36", str(manifest)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def example() -> list[Manifest]:
    """The objects of the example."""
    return loaded(built(KUBERNETES / "example"))


def test_every_image_has_a_version(example: list[Manifest]) -> None:
    images = [c["image"] for d in of_kind(example, "Deployment") for c in _containers(d)]

    assert len(images) == 3
    assert all(tag and tag != "latest" for _, _, tag in (one.rpartition(":") for one in images))


def test_a_watched_pod_gets_no_token_and_the_measuring_one_no_right(
    example: list[Manifest],
) -> None:
    (watched,) = [d for d in of_kind(example, "Deployment") if len(_containers(d)) == 2]
    pod = watched["spec"]["template"]["spec"]

    assert pod["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in pod
    accounts = {s["name"] for b in of_kind(example, "RoleBinding") for s in b["subjects"]}
    assert accounts == {"kedge-actuator"}


def test_every_container_is_as_restricted_as_pods_can_be(example: list[Manifest]) -> None:
    for deployment in of_kind(example, "Deployment"):
        pod = deployment["spec"]["template"]["spec"].get("securityContext", {})
        for container in _containers(deployment):
            context = {**pod, **container["securityContext"]}
            assert context["runAsNonRoot"] is True
            assert context["runAsUser"] > 0
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}
            assert {"memory"} <= set(container["resources"]["limits"])


def test_the_actuator_is_probed_where_it_answers(example: list[Manifest]) -> None:
    (actuator,) = [d for d in of_kind(example, "Deployment") if _named(d) == "kedge-actuator"]
    (container,) = _containers(actuator)
    settings = load(KUBERNETES / "example" / "kedge.toml", {})

    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    assert ports == {"http": settings.http.address[1], "events": _port(settings)}
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}


def test_the_lease_that_is_configured_is_the_one_that_is_made(example: list[Manifest]) -> None:
    settings = load(KUBERNETES / "example" / "kedge.toml", {})
    (lease,) = of_kind(example, "Lease")

    assert settings.rollback.lease.kind == "kubernetes"
    assert settings.rollback.lease.name == _named(lease)
    assert "spec" not in lease


def test_every_secret_that_the_configuration_reads_is_mounted(example: list[Manifest]) -> None:
    (actuator,) = [d for d in of_kind(example, "Deployment") if _named(d) == "kedge-actuator"]
    pod = actuator["spec"]["template"]["spec"]
    (volume,) = [one["secret"] for one in pod["volumes"] if "secret" in one]
    (mount,) = [one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "secrets"]
    text = (KUBERNETES / "example" / "kedge.toml").read_text(encoding="utf-8")

    read = {line.split('"')[1] for line in text.splitlines() if "token_file" in line}

    assert read == {f"{mount['mountPath']}/{item['path']}" for item in volume["items"]}


def test_the_configurations_that_ship_change_nothing() -> None:
    for folder in ("actuator", "sidecar", "example"):
        assert load(KUBERNETES / folder / "kedge.toml", {}).rollback.mode != "act"


def _containers(deployment: Manifest) -> list[Manifest]:
    found: list[Manifest] = deployment["spec"]["template"]["spec"]["containers"]
    return found


def _named(one: Manifest) -> str:
    return str(one["metadata"]["name"])


def _port(settings: Any) -> int:  # noqa: ANN401 - the tables of the configuration
    return int(settings.http.ingest_address[1])
