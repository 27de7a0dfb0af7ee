"""`config.example.toml` loads as it is, and shows every setting with the default of the code.

In it, a key behind a bare ``#`` is one that has no default or excludes another, and a table behind
one is of a kind that few need; here they are read like the others.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from monitor.settings.catalogue import REQUIRED, Setting, every_setting
from monitor.settings.settings import load

EXAMPLE = Path(__file__).parents[3] / "config.example.toml"
SETTINGS = {setting.key: setting for setting in every_setting()}


def _written() -> dict[str, object]:
    """Keys of the example as the catalogue names them; of rules, each from the first with it."""
    text = re.sub(
        r"^#(\w+ = |\[\[)", r"\1", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    return dict(_keys(tomllib.loads(text), ""))


def _keys(table: Mapping[str, Any], at: str) -> Iterator[tuple[str, object]]:
    for key, value in table.items():
        there = f"{at}.{key}" if at else key
        match value:
            case dict() if there in SETTINGS:
                yield there, value
            case dict():
                yield from _keys(value, there)
            case [{"type": _}, *_]:
                for one in value:
                    yield from _keys(one, f"{there}[{one['type']}]")
            case [dict(), *_]:
                for one in reversed(value):
                    yield from _keys(one, f"{there}[]")
            case _:
                yield there, value


def test_the_example_loads_as_it_is() -> None:
    settings = load(EXAMPLE, {})

    assert settings.model.name == "flight-delay"


def test_every_setting_stands_in_the_example_and_nothing_else() -> None:
    assert sorted(_written()) == sorted(SETTINGS)


@pytest.mark.parametrize(
    "setting",
    [one for one in SETTINGS.values() if one.default not in (None, "", [], REQUIRED)],
    ids=lambda setting: setting.key,
)
def test_the_example_writes_the_default_of_the_code(setting: Setting) -> None:
    assert _written()[setting.key] == setting.default


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda setting: setting.key)
def test_every_setting_is_documented(setting: Setting) -> None:
    assert len(setting.doc) > 10
