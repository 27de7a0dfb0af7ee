"""The set-up for Elasticsearch: its files fit each other, and its template every field we log."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import strptime
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "elk"
CODE = (Path(__file__).parents[2] / "monitor" / "log_fields.py").read_text()
PAGE = (Path(__file__).parents[2] / "docs" / "logs.md").read_text()

COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
FLUENT_BIT = yaml.safe_load((FOLDER / "fluent-bit.yaml").read_text())
TEMPLATE = json.loads((FOLDER / "index-template.json").read_text())


def names(properties: Mapping[str, Any], at: str = "") -> Iterator[str]:
    for name, mapping in properties.items():
        if "properties" in mapping:
            yield from names(mapping["properties"], f"{at}{name}.")
        else:
            yield f"{at}{name}"


def test_the_template_has_every_field_of_ours_and_no_other() -> None:
    mapped = set(names(TEMPLATE["template"]["mappings"]["properties"])) - {"message"}

    assert mapped == set(re.findall(r'"(kedge\.[\w.]+)"', CODE))


def test_every_field_of_ours_is_in_the_documentation() -> None:
    for name in set(re.findall(r'"(kedge\.[\w.]+)"', CODE)):
        group, _, last = name.rpartition(".")
        assert f"`{name}`" in PAGE or (f"`{group}." in PAGE and f"`{last}`" in PAGE), name


def test_what_fluent_bit_sends_goes_where_the_template_looks() -> None:
    (output,) = FLUENT_BIT["pipeline"]["outputs"]
    (entry,) = FLUENT_BIT["pipeline"]["inputs"]

    assert output["match"] == entry["tag"]
    assert output["host"] in COMPOSE["services"]
    assert output["write_operation"] == "create"
    assert re.fullmatch(TEMPLATE["index_patterns"][0].replace("*", ".*"), output["index"])


def test_the_parser_that_is_named_reads_our_times() -> None:
    parsers = {one["name"]: one for one in FLUENT_BIT["parsers"]}
    (entry,) = FLUENT_BIT["pipeline"]["inputs"]
    asked = parsers[entry["parser"]]

    assert (asked["format"], asked["time_key"]) == ("json", "@timestamp")
    # %L, milliseconds, is Fluent Bit's own; Python calls them %f.
    assert strptime("2026-03-04T12:00:00.250Z", asked["time_format"].replace("%L", "%f"))


def test_the_files_that_are_mounted_are_there_and_the_log_is_read_where_it_is_mounted() -> None:
    mounts = [
        mount.split(":")
        for service in COMPOSE["services"].values()
        for mount in service.get("volumes", [])
    ]

    for source, *_ in mounts:
        if source.startswith("./"):
            assert (FOLDER / source).is_file()
        else:
            assert source in COMPOSE["volumes"] or source.startswith("${LOGS")
    (entry,) = FLUENT_BIT["pipeline"]["inputs"]
    assert any(str(Path(entry["path"]).parent) in mount for mount in mounts)
