"""Every setting there is: its key, type, default and documentation, read from the dataclasses.

Tests hold ``config.example.toml`` against it; documentation can be made of it.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from monitor.settings.keys import (
    Kinds,
    Reads,
    bare,
    by_name,
    hints_of,
    is_flat,
    is_required,
    is_union,
    key_fields,
    keys_of,
)
from monitor.settings.secret import Secret
from monitor.settings.settings import Settings

#: Stands for the default of a key that has none.
REQUIRED: Final = "required"


@dataclass(frozen=True, slots=True)
class Setting:
    """One key.

    Parameters
    ----------
    key
        Dotted, as in messages; ``[]`` stands for a table of an array, and the kind of a source
        or of a step for its ``type``: ``collect[tail].path``.
    type
        What it holds, in words.
    default
        As it would stand in the file: a TOML value, or its text for a quantity; None where
        leaving it out cannot be written; `REQUIRED` where it cannot be left out.
    doc
        What it means.
    """

    key: str
    type: str
    default: object
    doc: str


def every_setting() -> list[Setting]:
    """Return every setting, table by table, in the order of the dataclasses."""
    return list(_settings(Settings, ""))


def _settings(kind: type, at: str) -> Iterator[Setting]:
    hints, docs = hints_of(kind), _docs(kind)
    for field in key_fields(kind):
        hint = hints[field.name]
        doc = docs.get(field.name, "")
        if is_flat(field):
            yield from _settings(hint, at)
            continue
        for key in keys_of(field, hint):
            yield from _of_key(field, hint, f"{at}.{key}" if at else key, doc)


def _of_key(field: dataclasses.Field[Any], hint: Any, key: str, doc: str) -> Iterator[Setting]:  # noqa: ANN401 - types have no type
    kinds = next((mark for mark in typing.get_args(hint) if isinstance(mark, Kinds)), None)
    elements = typing.get_args(hint)[0] if typing.get_origin(hint) is tuple else None
    if kinds is not None:
        yield from _of_kinds(kinds, key)
    elif dataclasses.is_dataclass(hint):
        yield from _settings(typing.cast("type", hint), key)
    elif dataclasses.is_dataclass(elements):
        yield from _settings(typing.cast("type", elements), f"{key}[]")
    else:
        hint = by_name(field.name, hint)
        yield Setting(key, _type(hint, key), _default(field, hint), doc)


def _of_kinds(kinds: Kinds, key: str) -> Iterator[Setting]:
    for name, settings in kinds.table().items():
        at = f"{key}[{name}]"
        yield Setting(f"{at}.type", f'"{name}"', REQUIRED, f"Which kind of {kinds.noun}.")
        for own in kinds.own:
            yield Setting(f"{at}.{own}", "text", None, f"What this {kinds.noun} is called.")
        yield from _settings(settings, at)


def _type(hint: Any, key: str) -> str:  # noqa: ANN401 - types have no type
    if is_union(hint):
        return _type(typing.get_args(hint)[0], key)
    if typing.get_origin(hint) is Annotated:
        marks = typing.get_args(hint)
        words = [mark.expected for mark in marks[1:]]
        return words[-1] if words else _type(marks[0], key)
    if typing.get_origin(hint) is Literal:
        return " | ".join(f'"{choice}"' for choice in typing.get_args(hint) if choice)
    if typing.get_origin(hint) is tuple:
        return f"an array of {_type(typing.get_args(hint)[0], key)}"
    if bare(hint) is Secret:
        return "a path" if key.endswith("_file") else "a secret text"
    names = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    return {**names, Mapping: "a table"}.get(typing.get_origin(hint) or hint, str(hint))


def _default(field: dataclasses.Field[Any], hint: Any) -> object:  # noqa: ANN401 - types have no type
    if is_required(field):
        return REQUIRED
    factory = field.default_factory
    value = field.default if factory is dataclasses.MISSING else factory()
    while is_union(hint):
        hint = typing.get_args(hint)[0]
    reads = next((mark for mark in typing.get_args(hint) if isinstance(mark, Reads)), None)
    if reads is not None and value is not None:
        return reads.render(value)
    return list(value) if isinstance(value, tuple) else value


def _docs(kind: type) -> Mapping[str, str]:
    """Documentation of the fields of a dataclass: the text below each, or its "Parameters"."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    docs = dict(_parameters(inspect.getdoc(kind) or ""))
    if isinstance(body, ast.ClassDef):
        for field, text in zip(body.body, body.body[1:], strict=False):
            match field, text:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(doc))),
                ):
                    docs[name] = inspect.cleandoc(doc)
    return docs


def _parameters(doc: str) -> Iterator[tuple[str, str]]:
    """Read the section "Parameters" of a numpydoc docstring."""
    _, found, rest = doc.partition("Parameters\n----------\n")
    section = re.split(r"\n\n?[A-Z]\w+\n-+\n", rest, maxsplit=1)[0] if found else ""
    for names, text in re.findall(r"^(\w[\w, ]*)\n((?:[ ]{4}.*\n?|\n)+)", section, re.MULTILINE):
        for name in names.split(","):
            yield name.strip(), textwrap.dedent(text).strip()
