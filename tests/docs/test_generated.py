"""The reference says all that the code has, and nothing else."""

from __future__ import annotations

import re

import click
from prometheus_client.parser import text_string_to_metric_families

from docs.generate import (
    api_page,
    command_line_page,
    commands,
    configuration_page,
    help_of,
    metric_rows,
    metrics_page,
)
from monitor.cli import cli
from monitor.metrics.catalogue import Metrics
from monitor.settings.catalogue import every_setting
from monitor.version import VERSION
from monitor.web import openapi
from scoring.log.metrics import ScoringMetrics
from scoring.web import openapi as scoring_openapi


def test_the_page_of_the_configuration_has_every_key_and_no_other() -> None:
    page = configuration_page()
    table, found = "", []

    for heading, kind, key in re.findall(
        r'^## `\[+([\w.]+)\]+`(?:, `type = "(.+)"`)?$|^`([\w.]+)`$', page, re.MULTILINE
    ):
        if heading:
            table = heading
            array = f"[[{heading}]]" in page
            table = f"{heading}[{kind}]" if kind or array else heading
        else:
            found.append(f"{table}.{key}")

    assert sorted(found) == sorted(setting.key for setting in every_setting())


def test_the_page_of_the_metrics_has_what_the_daemon_exports_and_nothing_else() -> None:
    metrics = Metrics(columns_max=1, versions_max=1)
    page, _ = metrics.page.render("")

    exported = {family.name for family in text_string_to_metric_families(page.decode())}
    listed = {row[0].strip("`").removesuffix("_total") for row in metric_rows(metrics)}

    assert sorted(listed) == sorted(exported)


def test_the_page_of_the_metrics_has_both_servers() -> None:
    page = metrics_page()
    rows = [
        *metric_rows(Metrics(columns_max=1, versions_max=1)),
        *metric_rows(ScoringMetrics()),
    ]

    assert [row[0] for row in rows if f"| {row[0]} |" not in page] == []
    assert page.count("| `kedge_") == len(rows)


def test_the_page_of_the_api_has_every_call_and_no_other() -> None:
    described = [
        f"{method.upper()} {path}"
        for document in (openapi.description(), scoring_openapi.description(VERSION))
        for path, item in document["paths"].items()
        for method in ("get", "post", "put", "patch", "delete")
        if method in item
    ]

    assert sorted(re.findall(r"^### `(.+)`$", api_page(), re.MULTILINE)) == sorted(described)


def test_the_page_of_the_command_line_has_every_command_with_every_option() -> None:
    page = command_line_page()
    context = click.Context(cli, info_name="kedge")
    names = dict(commands())

    assert set(cli.list_commands(context)) <= set(names)
    assert re.findall(r"^##+ `kedge (.+)`$", page, re.MULTILINE) == list(names)
    assert [name for name, path in names.items() if help_of(path) not in page] == []
