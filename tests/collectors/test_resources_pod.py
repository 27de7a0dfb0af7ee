"""What a sidecar can see of its pod, from `/proc` and `/sys/fs/cgroup` as containers have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors.resources.pod import Shared, in_container
from collectors.resources.sample import ResourceError
from tests.collectors.laborer import laborer
from tests.collectors.test_resources_cgroup import MIB, group

KEDGE = 7
POD = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{}.slice".format(
    "0d1e2f3a_4b5c_6d7e_8f90_a1b2c3d4e5f6"
)


class Container:
    """Fake folders of what one container sees; processes and groups are added one by one."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        self.cgroups = folder / "cgroup"
        self.proc.mkdir()

    def process(self, pid: int, *, parent: int, group: str = "/", name: str = "python3") -> None:
        folder = self.proc / str(pid)
        folder.mkdir()
        (folder / "cgroup").write_text(f"0::{group}\n")
        (folder / "comm").write_text(f"{name}\n")
        (folder / "stat").write_text(f"{pid} (a) name) S {parent} 1 1 0\n")

    def shared(self, *, contained: bool = True) -> Shared:
        return Shared(contained=contained, cgroups=self.cgroups, proc=self.proc, pid=KEDGE)


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return Container(tmp_path)


def test_the_pods_own_group_is_measured_where_the_hosts_groups_are_mounted(
    container: Container,
) -> None:
    container.process(KEDGE, parent=0, group=f"/{POD}/cri-containerd-abc.scope")
    group(container.cgroups / POD)

    usage = container.shared().read()

    assert usage.memory_bytes == 256 * MIB


def test_processes_of_other_containers_are_seen_with_a_shared_process_namespace(
    container: Container,
) -> None:
    container.process(1, parent=0, group="/../pause", name="pause")
    container.process(KEDGE, parent=0)
    container.process(20, parent=0, group="/../served", name="uvicorn")
    container.process(21, parent=20, group="/../served", name="uvicorn")

    assert container.shared().others() == {20, 21}


def test_a_container_that_kedge_shares_with_the_server_is_measured_as_a_whole(
    container: Container,
) -> None:
    container.process(1, parent=0, name="tini")
    container.process(KEDGE, parent=1)
    container.process(8, parent=1, name="uvicorn")
    group(container.cgroups)

    usage = container.shared().read()

    assert usage.threads == 17


def test_where_groups_are_of_version_1_the_containers_processes_are_measured(
    container: Container,
) -> None:
    with laborer() as server:
        container.process(1, parent=0, name="tini")
        container.process(KEDGE, parent=1)
        container.process(server.pid, parent=1, name="uvicorn")
        server.open(6)

        usage = container.shared().read()

    assert usage.open_files == 3 + 6


def test_a_pod_that_sees_the_hosts_processes_does_not_take_them_for_its_own(
    container: Container,
) -> None:
    container.process(1, parent=0, group="/../../init.scope", name="systemd")
    container.process(2, parent=0, group="/../../..", name="kthreadd")
    container.process(KEDGE, parent=1)
    container.process(900, parent=1, group="/../../system.slice/sshd", name="sshd")

    assert container.shared().others() == frozenset()


def test_a_sidecar_that_sees_only_itself_says_what_to_do(container: Container) -> None:
    container.process(1, parent=0, name="tini")
    container.process(KEDGE, parent=1)
    container.process(8, parent=KEDGE)
    group(container.cgroups)

    with pytest.raises(ResourceError, match="shareProcessNamespace") as caught:
        container.shared().read()

    assert caught.value.reason == "hidden"


def test_what_somebody_runs_in_the_sidecar_is_not_the_server(container: Container) -> None:
    container.process(1, parent=0, name="tini")
    container.process(KEDGE, parent=1)
    container.process(90, parent=0, name="sh")
    container.process(91, parent=90, name="top")

    assert container.shared().company() == frozenset()


def test_a_server_that_starts_after_the_sidecar_is_found(container: Container) -> None:
    container.process(KEDGE, parent=1)
    container.process(1, parent=0, name="tini")
    group(container.cgroups)
    shared = container.shared()
    with pytest.raises(ResourceError):
        shared.read()

    container.process(8, parent=1, name="uvicorn")

    assert shared.read().threads == 17


def test_on_a_plain_machine_a_target_must_be_named(container: Container) -> None:
    with pytest.raises(ResourceError, match="pid, process or cgroup") as caught:
        container.shared(contained=False).read()

    assert caught.value.reason == "not_found"


def test_the_kubelets_variable_is_a_sign_of_a_pod() -> None:
    assert in_container({"KUBERNETES_SERVICE_HOST": "10.0.0.1"})
