"""Prometheus' and Alertmanager's own tools find nothing wrong with rules, routes and scrapes."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.dashboards.boards import FOLDER, exported, metric_names
from tests.dashboards.under_load import prometheus
from tests.monitor.alerting_servers import PROMETHEUS, program
from tests.monitor.daemon import eventually

ROOT = Path(__file__).parents[2]
RULES, ALERTS = (FOLDER / "prometheus" / f"kedge.{kind}.yaml" for kind in ("rules", "alerts"))
CASES = sorted((Path(__file__).parent / "promtool").glob("*.yaml"))


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"not installed: {name}")
    return found


def passes(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def rules(path: Path) -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load(path.read_text())["groups"]:
        yield from group["rules"]


@pytest.mark.parametrize("path", [RULES, ALERTS], ids=lambda path: path.name)
def test_promtool_finds_nothing_wrong_with_the_rules(path: Path) -> None:
    passes(tool("promtool"), "check", "rules", "--lint=all", "--lint-fatal", str(path))


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_rules_do_what_their_cases_say(case: Path) -> None:
    passes(tool("promtool"), "test", "rules", str(case))


def test_every_alert_has_a_case() -> None:
    tested = "".join(case.read_text() for case in CASES)

    for rule in rules(ALERTS):
        assert f"alertname: {rule['alert']}\n" in tested
        assert f"runbook_url: docs/runbooks/{rule['alert']}.md" in tested


def test_every_alert_has_a_severity_words_and_a_runbook_that_there_is() -> None:
    names = [rule["alert"] for rule in rules(ALERTS)]

    assert len(set(names)) == len(names)
    for rule in rules(ALERTS):
        assert rule["labels"]["severity"] in {"page", "warning"}
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{rule['alert']}.md"
        page = (ROOT / "docs" / "runbooks" / f"{rule['alert']}.md").read_text()
        assert page.startswith(f"# {rule['alert']}\n")
        for part in ("## What it means", "## Look at", "## Do"):
            assert part in page, rule["alert"]
    pages = {path.stem for path in (ROOT / "docs" / "runbooks").glob("Kedge*.md")}
    assert pages == set(names)


def test_rules_name_metrics_that_kedge_exports() -> None:
    known = set().union(*exported().values())

    for path in (RULES, ALERTS):
        for rule in rules(path):
            recorded = re.sub(r"\b[a-z_]+:[a-z_]+:[a-z0-9_]+", "", rule["expr"])
            assert metric_names(recorded) <= known


def test_amtool_finds_nothing_wrong_with_the_route() -> None:
    passes(tool("amtool"), "check-config", str(FOLDER / "alertmanager" / "kedge.yaml"))


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ("alertname=ModelErrorRate model=m", "kedge,people"),
        ("alertname=KedgeBreach model=m", "people"),
        ("alertname=DiskFull", "people"),
    ],
)
def test_alerts_of_others_about_a_model_go_to_kedge_and_on_to_people(
    labels: str, receivers: str
) -> None:
    config = f"--config.file={FOLDER / 'alertmanager' / 'kedge.yaml'}"
    passes(
        *(tool("amtool"), "config", "routes", "test", config),
        *(f"--verify.receivers={receivers}", *labels.split()),
    )


def kubernetes_as_files(targets: Path) -> str:
    """The scrape configuration, with pods from a file: Debian's build knows no Kubernetes."""
    config = yaml.safe_load((FOLDER / "prometheus" / "scrape.yaml").read_text())
    pods = config["scrape_configs"][0]
    assert pods.pop("kubernetes_sd_configs") == [{"role": "pod"}]
    pods["file_sd_configs"] = [{"files": [str(targets)]}]
    config["rule_files"] = [str(FOLDER / "prometheus" / name) for name in config["rule_files"]]
    return str(yaml.safe_dump(config))


@pytest.mark.real
def test_a_pod_that_says_so_by_annotations_is_scraped_once_and_others_are_not(
    tmp_path: Path,
) -> None:
    if program(PROMETHEUS) is None:
        pytest.skip("not installed: prometheus")
    targets = tmp_path / "pods.yml"
    pods = [pod("10.0.0.7", port) for port in ("8080", "9464")]
    targets.write_text(yaml.safe_dump([*pods, pod("10.0.0.8", "80", scrape="false")]))

    with prometheus(tmp_path, kubernetes_as_files(targets)) as server:
        active = eventually(
            lambda: [one for one in server.targets() if one["scrapePool"] == "kedge"],
            what="the pod is a target",
        )

    (only,) = active
    assert only["scrapeUrl"] == "http://10.0.0.7:9464/metrics"
    assert only["labels"]["namespace"] == "ml"
    assert only["labels"]["pod"] == "model-0"


def pod(address: str, port: str, *, scrape: str = "true") -> dict[str, Any]:
    """What service discovery tells of one port of a pod."""
    kubernetes = "__meta_kubernetes"
    return {
        "targets": [f"{address}:{port}"],
        "labels": {
            f"{kubernetes}_pod_annotation_prometheus_io_scrape": scrape,
            f"{kubernetes}_pod_annotation_prometheus_io_port": "9464",
            f"{kubernetes}_pod_ip": address,
            f"{kubernetes}_pod_name": "model-0",
            f"{kubernetes}_namespace": "ml",
        },
    }


def test_the_pod_monitors_ask_for_the_ports_that_the_manifests_name() -> None:
    made = yaml.safe_load_all((FOLDER / "prometheus" / "podmonitor.yaml").read_text())
    deploy = ROOT / "deploy" / "kubernetes"

    asked = {one["metadata"]["name"]: one["spec"]["podMetricsEndpoints"][0] for one in made}

    for name, manifest in (
        ("kedge", "sidecar/sidecar.yaml"),
        ("kedge-actuator", "actuator/deployment.yaml"),
    ):
        named = re.search(r"- name: (\S+)\n\s+containerPort: 9464", (deploy / manifest).read_text())
        assert named is not None
        assert asked[name]["port"] == named[1]
        assert asked[name]["path"] == "/metrics"


def test_grafana_is_told_where_the_dashboards_are() -> None:
    folder = FOLDER / "provisioning"
    source = yaml.safe_load((folder / "datasources" / "prometheus.yaml").read_text())
    provider = yaml.safe_load((folder / "dashboards" / "kedge.yaml").read_text())

    assert source["datasources"][0]["type"] == "prometheus"
    assert provider["providers"][0]["type"] == "file"
    assert provider["providers"][0]["options"]["path"].startswith("/var/lib/grafana/")
