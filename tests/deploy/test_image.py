"""The Dockerfile: pinned, without root and without tools, and of files that are there."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.deploy.manifests import DEPLOY, tool

DOCKERFILE = DEPLOY / "Dockerfile"
ROOT = DEPLOY.parent


def stages() -> list[list[tuple[str, str]]]:
    """Instructions by stage; what stands before the first stage is left out."""
    text = re.sub(r"\\\n\s*", " ", DOCKERFILE.read_text(encoding="utf-8"))
    found: list[list[tuple[str, str]]] = []
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "FROM":
            found.append([])
        if found and line and not line.startswith("#"):
            found[-1].append((kind, rest))
    return found


def all_of(stage: list[tuple[str, str]], kind: str) -> list[str]:
    return [rest for one, rest in stage if one == kind]


def test_the_linter_has_nothing_to_say() -> None:
    done = subprocess.run(
        [tool("hadolint"), str(DOCKERFILE)], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, "")


def test_the_base_has_an_exact_version() -> None:
    (base,) = re.findall(r"^ARG BASE=(\S+)$", DOCKERFILE.read_text(), flags=re.MULTILINE)

    assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-[a-z]+", base)
    assert [one[0] for one in stages()] == [("FROM", "${BASE} AS build"), ("FROM", "${BASE}")]


def test_what_comes_from_outside_is_checked_by_its_hash() -> None:
    build, last = stages()
    installs = [
        command
        for run in all_of(build, "RUN")
        for command in run.split("&&")
        if " install " in command
    ]

    assert len(installs) == 3
    for command in installs:
        assert "--require-hashes" in command or "--no-index" in command
    assert not [run for run in all_of(last, "RUN") if "pip install" in run or "apt" in run]


@pytest.mark.parametrize("lock", ["build", "postgres"])
def test_the_image_installs_the_very_versions_of_the_tests(lock: str) -> None:
    tested = (ROOT / "requirements" / "dev.lock").read_text(encoding="utf-8")
    text = (ROOT / "requirements" / f"{lock}.lock").read_text(encoding="utf-8")
    blocks = [b for b in re.split(r"^(?=[a-z])", text, flags=re.MULTILINE) if "==" in b]

    assert blocks
    assert all(block in tested for block in blocks)


def test_the_last_stage_runs_as_nobody_in_particular_and_is_probed() -> None:
    last = stages()[-1]

    assert all_of(last, "USER") == ["10001:10001"]
    assert [kind for kind, _ in last].index("USER") > [kind for kind, _ in last].index("RUN")
    assert "/healthz" in all_of(last, "HEALTHCHECK")[0]
    assert all_of(last, "ENTRYPOINT") == ['["kedge"]']


def test_the_last_stage_takes_one_folder_of_the_first_and_drops_the_installer() -> None:
    last = stages()[-1]

    assert all_of(last, "COPY") == ["--from=build /opt/kedge /opt/kedge"]
    assert "pip uninstall --yes pip" in all_of(last, "RUN")[0]


def test_every_file_that_is_copied_exists_and_is_sent_to_the_builder() -> None:
    sent = {
        line[1:]
        for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {name for rest in all_of(stages()[0], "COPY") for name in rest.split()[:-1]}

    assert copied == sent
    assert all((ROOT / name).exists() for name in copied)


def test_every_package_of_the_wheel_is_in_the_image() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (listed,) = re.findall(r"^packages = \[(.+)\]$", project, flags=re.MULTILINE)

    packages = {name.strip(' "') for name in listed.split(",")}

    assert packages <= {rest.split()[0] for rest in all_of(stages()[0], "COPY")}
