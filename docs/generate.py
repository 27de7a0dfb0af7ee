"""Pages of the book that are made from the code, so that they cannot say anything else.

`docs/conf.py` writes them before each build, into a folder that is not kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import click

from docs.machine import machine_page, machine_picture
from monitor.cli import cli
from monitor.metrics.catalogue import Metrics
from monitor.settings.catalogue import Setting, every_setting
from monitor.version import VERSION
from monitor.web import openapi

#: What is said of a table whose keys do not say it.
_TABLES: Final = {
    "collect": "Where predictions come from: one `[[collect]]` table a source.",
    "rules": "When a measurement is a breach: one `[[rules]]` table a rule.",
    "rollback.steps": "What is moved back, in order: `[[rollback.steps]]` tables.",
    "notify": "Who is told: `[[notify]]` tables.",
}
_METHODS: Final = ("get", "post", "put", "patch", "delete")

_OF_CONFIGURATION: Final = """\
Every key of `kedge.toml`, made from the code that reads it.
Durations are texts (`"500ms"`, `"30s"`, `"5m"`, `"4h"`, `"7d"`), sizes too (`"64KiB"`, `"64MiB"`).
Unknown keys are errors.
`${NAME}` in a text is an environment variable.
Any secret `x` may be given as `x_file`.
The [example](#the-example-as-a-whole) at the end shows them all in a file; `kedge check -c FILE`
names every mistake in yours."""
_OF_METRICS: Final = """\
What `GET /metrics` shows, made from the code that exports it.
Prometheus text, or OpenMetrics when asked for. Units are base units.
Label values from the data are bounded: past a limit they fold into `other`, and
`kedge_folded_labels_total` counts it."""
_OF_API: Final = """\
What the daemon answers at `[http] listen`, made from the description that it serves itself:
`GET /api/v1/openapi.json`.
Errors are `application/problem+json`.
Calls marked *token* need `Authorization: Bearer TOKEN`; with no token configured they answer 403.
`GET /` is the status page, for people."""
_OF_SCORING: Final = "What `kedge serve` answers; it describes itself at `GET /openapi.json`."


def write_pages(folder: Path) -> None:
    """Write every page into `folder`; a page that is as it was keeps its time."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        text, path = make(), folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def configuration_page() -> str:
    """Every key of ``kedge.toml``: type, default and meaning, from the settings' dataclasses."""
    parts = [
        "# Configuration",
        _OF_CONFIGURATION,
    ]
    for table, settings in groupby(every_setting(), key=lambda one: _table(one.key)):
        parts.append(f"## {_title(table)}")
        if (what := _TABLES.get(table.partition("[")[0])) is not None:
            parts.append(what)
        parts += [_setting(one, table) for one in settings]
    parts.append(
        "## The example as a whole\n\n```{literalinclude} ../../config.example.toml\n"
        ":language: toml\n```"
    )
    return _page(parts)


def _table(key: str) -> str:
    """Return the table that a key stands in; sub-tables of an element stand with it."""
    if "]" in key:
        return key[: key.index("]") + 1]
    return key.rpartition(".")[0]


def _title(table: str) -> str:
    name, _, kind = table.rstrip("]").partition("[")
    if "[" not in table:
        return f"`[{name}]`"
    return f'`[[{name}]]`, `type = "{kind}"`' if kind else f"`[[{name}]]`"


def _setting(setting: Setting, table: str) -> str:
    key = setting.key.removeprefix(f"{table}.")
    match setting.default:
        case "required":
            default = "Required."
        case None:
            default = "No default."
        case value:
            default = f"Default: `{_toml(value)}`."
    doc = " ".join(setting.doc.split())
    return f"`{key}`\n: *{setting.type}.* {default} {doc}"


def _toml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def metrics_page() -> str:
    """Every metric of the daemon and of the scoring server."""
    from scoring.log.metrics import ScoringMetrics  # noqa: PLC0415 - the daemon's are made first

    daemon = Metrics(columns_max=1, versions_max=1)
    return _page(
        [
            "# Metrics",
            _OF_METRICS,
            "## The daemon",
            _table_of(("metric", "type", "labels", "what it says"), metric_rows(daemon)),
            "## The scoring server",
            _table_of(("metric", "type", "labels", "what it says"), metric_rows(ScoringMetrics())),
        ]
    )


def metric_rows(metrics: object) -> list[tuple[str, str, str, str]]:
    """Return name, type, labels and meaning of each metric that an object holds."""
    rows = []
    collectors: Iterable[Any] = vars(metrics).values()
    for collector in collectors:
        if not hasattr(collector, "collect") or hasattr(collector, "register"):
            continue
        # The client has no public way to a metric's labels before it has values.
        labels: Iterable[str] = getattr(collector, "_labelnames", ())
        labels = labels or getattr(collector, "_labels", ())
        for family in collector.collect():
            name = f"{family.name}_total" if family.type == "counter" else family.name
            marked = ", ".join(f"`{label}`" for label in labels)
            rows.append((f"`{name}`", family.type, marked, family.documentation))
    return rows


def api_page() -> str:
    """Every path of the daemon's API and of the scoring server's, from their descriptions."""
    from scoring.web.openapi import description  # noqa: PLC0415 - the daemon's comes first

    parts = ["# HTTP API", _OF_API, "## The daemon", *_operations(openapi.description())]
    return _page([*parts, "## The scoring server", _OF_SCORING, *_operations(description(VERSION))])


def _operations(document: Mapping[str, Any]) -> Iterator[str]:
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                yield from _operation(path, method, item, item[method])


def _operation(
    path: str, method: str, item: Mapping[str, Any], operation: Mapping[str, Any]
) -> Iterator[str]:
    yield f"### `{method.upper()} {path}`"
    token = " *Token.*" if operation.get("security") else ""
    yield f"{operation['summary']}.{token}"
    parameters = [*item.get("parameters", ()), *operation.get("parameters", ())]
    if parameters:
        rows = [(f"`{one['name']}`", one["in"], _schema(one["schema"])) for one in parameters]
        yield _table_of(("parameter", "in", "type"), rows)
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"Takes `{kind}`{_fields(content.get('schema', {}))}"
    for status, response in operation["responses"].items():
        for kind, content in response["content"].items() if "content" in response else ():
            if status < "400":
                yield f"Answers {status}, `{kind}`{_fields(content.get('schema', {}))}"
    bad = [status for status in operation["responses"] if status >= "400"]
    if bad:
        yield f"Refuses with {', '.join(bad)}."


def _fields(schema: Mapping[str, Any]) -> str:
    """Return the keys of an object, or of the objects in its one array."""
    properties = schema.get("properties", {})
    for name, inner in properties.items():
        if inner.get("type") == "array" and "properties" in inner.get("items", {}):
            return f": `{name}`, an array of objects with {_keys(inner['items'])}."
    return f": {_keys(schema)}." if properties else "."


def _keys(schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    optional = ", may be left out"
    return "; ".join(
        f"`{name}` ({_schema(inner)}{'' if name in required else optional})"
        for name, inner in schema["properties"].items()
    )


def _schema(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(f"`{one}`" for one in schema["enum"])
    kinds = schema.get("type", "anything")
    text = kinds if isinstance(kinds, str) else " or ".join(kinds)
    return f"{text}, {schema['format']}" if "format" in schema else text


def command_line_page() -> str:
    """Every command with the help that it prints."""
    parts = [
        "# Command line",
        "What `kedge COMMAND --help` prints, made from the commands themselves.",
    ]
    for name, path in commands():
        mark = "##" if len(path) == 1 else "###"
        parts += [f"{mark} `kedge {name}`", f"```text\n{help_of(path)}\n```"]
    parts.append("## Exit status")
    parts.append(
        "0 done, 1 failed, 2 wrong use or configuration, 3 breach found where asked to report it, "
        "130 ended by Ctrl-C. Errors are one plain line on standard error; `--debug` shows the "
        "traceback."
    )
    return _page(parts)


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield every command and each below it, in the order of the help."""
    context = click.Context(cli, info_name="kedge")
    for name in cli.list_commands(context):
        yield name, [name]
        command = cli.get_command(context, name)
        if isinstance(command, click.Group):
            for below in command.list_commands(context):
                yield f"{name} {below}", [name, below]


def help_of(path: list[str]) -> str:
    """Return the help of a command, on a terminal of 90 columns."""
    context = click.Context(cli, info_name="kedge", terminal_width=90)
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)  # noqa: S101 - `commands` says so
        found = command.get_command(context, name)
        assert found is not None  # noqa: S101 - as above
        command, context = found, click.Context(found, context, name, terminal_width=90)
    return command.get_help(context)


def _table_of(head: tuple[str, ...], rows: list[tuple[str, ...]] | list[Any]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in lines)


def _page(parts: list[str]) -> str:
    return "\n\n".join(parts) + "\n"


PAGES: Final[dict[str, Callable[[], str]]] = {
    "configuration.md": configuration_page,
    "metrics.md": metrics_page,
    "api.md": api_page,
    "command-line.md": command_line_page,
    "rollback-machine.md": machine_page,
    "rollback-machine.svg": machine_picture,
}
