"""The examples of the pages are what they look like: TOML with keys that there are, YAML."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from monitor.settings.catalogue import every_setting
from tests.docs.blocks import Block, blocks_of, pages

BLOCKS = [block for page in pages() for block in blocks_of(page)]
KEYS = {setting.key for setting in every_setting()}


def named(block: Block) -> str:
    return f"{block.page}:{block.line}"


def of(*languages: str) -> list[Any]:
    return [pytest.param(b, id=named(b)) for b in BLOCKS if b.language in languages]


def keys(table: Mapping[str, Any], at: str = "") -> Iterator[str]:
    """Keys as the catalogue has them; of a table that names no type, those of any type."""
    for key, value in table.items():
        there = f"{at}.{key}" if at else key
        match value:
            case dict() if there not in KEYS:
                yield from keys(value, there)
            case [dict(), *_]:
                for one in value:
                    yield from keys(one, f"{there}[{one.get('type', '')}]")
            case _:
                yield there


@pytest.mark.parametrize("block", of("toml"))
def test_an_example_of_the_configuration_has_only_keys_that_there_are(block: Block) -> None:
    table = tomllib.loads(block.text)
    if {"project", "build-system"} & table.keys():
        return

    unknown = [key for key in keys(table) if key not in KEYS]

    assert unknown == []


@pytest.mark.parametrize("block", of("yaml"))
def test_an_example_in_yaml_is_yaml(block: Block) -> None:
    found = list(yaml.safe_load_all(block.text))

    assert found
    assert all(isinstance(one, (dict, list)) for one in found)


def test_every_block_that_is_not_output_says_its_language() -> None:
    drawn = [b for b in BLOCKS if b.language == "" and ("= " in b.text and "[[" in b.text)]

    assert [named(block) for block in drawn] == []
