"""What the fields of a settings dataclass say about their keys.

* ``str``, ``int``, ``float``, ``bool``, ``Literal``, ``X | None``, ``tuple[X, ...]``,
  ``Mapping[str, X]`` and other dataclasses are read as what they are;
* `Reads` and `Holds`, in ``Annotated``, read quantities and narrow a type;
* a number of bytes (``…_bytes: int``) may be written as a size, ``"64MiB"``;
* a number of seconds (``…_s: float``) is written as a duration, and its key has no unit,
  because the value carries one: ``idle = "10s"`` fills ``idle_s``;
* a ``str`` or ``Path`` called ``path``, ``file``, ``…_path`` or ``…_file`` is relative to the
  folder of the configuration;
* a :class:`monitor.settings.secret.Secret` called ``x`` may be given as ``x_file``;
* ``field(metadata={"key": …})`` names a key that is no Python name, or carries no unit;
* ``field(metadata={"no_key": True})`` is no key at all;
* ``field(metadata={"pattern": True})`` is a path in which ``*`` and the like mean something;
* ``field(metadata={"flat": True})`` is a dataclass whose keys stand among those of its parent.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from monitor.settings.faults import alternatives, nearest, shown
from monitor.settings.quantities import parse_duration, parse_size, render_duration, render_size
from monitor.settings.secret import Secret


@dataclass(frozen=True, slots=True)
class Reads:
    """How a quantity is read from TOML, and written back.

    Parameters
    ----------
    expected
        Completes "expected …", with an example.
    parse
        Raises ValueError when the value is no such quantity; with a text of its own, if it has
        one, and that of `expected` otherwise.
    render
        Gives a text that `parse` reads as the same quantity.
    """

    expected: str
    parse: Callable[[object], Any]
    render: Callable[[Any], str] = str


@dataclass(frozen=True, slots=True)
class Holds:
    """What must be true of a value beyond its type; `expected` completes "expected …"."""

    expected: str
    test: Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Kinds:
    """An array of tables, each of which names its kind in ``type``.

    Parameters
    ----------
    noun
        What one of them is, for messages.
    table
        Gives the kinds: type name to the dataclass of its settings.
    own
        Keys that every kind has besides those of its dataclass.
    wrap
        Makes the element of (type, the dataclass, the values of `own` given).
    """

    noun: str
    table: Callable[[], Mapping[str, type]]
    own: tuple[str, ...]
    wrap: Callable[[str, object, Mapping[str, str]], object]


DURATION: Final = Reads('a duration such as "30s"', parse_duration, render_duration)
SIZE: Final = Reads('a size such as "64MiB"', parse_size, render_size)


def one_of(noun: str, names: Callable[[], Iterable[str]]) -> Reads:
    """Return what reads the name of a `noun`; `names` is called when one is read."""

    def parse(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError(f"expected the name of a {noun}, got {shown(value)}")  # noqa: TRY004 - as `Reads` says
        known = list(names())
        if value not in known:
            hint = nearest(value, known) or f": expected {alternatives(known)}"
            raise ValueError(f"unknown {noun} {shown(value)}{hint}")
        return value

    return Reads(f"the name of a {noun}", parse)


def between(least: float, most: float) -> Holds:
    """Return what narrows a number to ``[least, most]``."""
    return Holds(f"a number from {least:g} to {most:g}", lambda number: least <= number <= most)


def hints_of(kind: type) -> dict[str, Any]:
    """Types of a dataclass's fields, with their annotations."""
    return typing.get_type_hints(kind, include_extras=True)


def key_fields(kind: type) -> list[dataclasses.Field[Any]]:
    """Fields of a dataclass that keys fill."""
    fields = dataclasses.fields(typing.cast("Any", kind))
    return [field for field in fields if field.init and "no_key" not in field.metadata]


def keys_of(field: dataclasses.Field[Any], hint: object) -> list[str]:
    """Keys that may fill a field: the one it is called by, and ``…_file`` for a secret."""
    key = field.metadata.get("key")
    if key is None:
        key = field.name
        if key.endswith("_s") and bare(hint) is float:
            key = key.removesuffix("_s")
    return [key, f"{key}_file"] if bare(hint) is Secret else [key]


def known_keys(kind: type) -> list[str]:
    """Every key that a table read into `kind` may have."""
    hints = hints_of(kind)
    keys: list[str] = []
    for field in key_fields(kind):
        hint = hints[field.name]
        keys += known_keys(hint) if is_flat(field) else keys_of(field, hint)
    return keys


def by_name(name: str, hint: Any) -> Any:  # noqa: ANN401 - types have no type
    """Type of a field once the unit in its name is taken into account."""
    if hint is float and name.endswith("_s"):
        return Annotated[float, DURATION]
    if hint is int and name.endswith("_bytes"):
        return Annotated[int, SIZE]
    return hint


def is_path(name: str, hint: object) -> bool:
    """Whether a field holds a path."""
    last = name.rpartition("_")[2]
    return bare(hint) is Path or (bare(hint) is str and last in ("path", "file"))


def is_pattern(field: dataclasses.Field[Any]) -> bool:
    """Whether a field's path may have ``*`` and the like in it."""
    return bool(field.metadata.get("pattern"))


def bare(hint: object) -> object:
    """Strip a type of its annotations, and of ``| None``."""
    while typing.get_origin(hint) is Annotated or is_union(hint):
        hint = typing.get_args(hint)[0]
    return hint


def is_union(hint: object) -> bool:
    """Whether a type is ``X | None``."""
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def is_flat(field: dataclasses.Field[Any]) -> bool:
    """Whether a field's own keys stand in the table of its parent."""
    return bool(field.metadata.get("flat"))


def is_required(field: dataclasses.Field[Any]) -> bool:
    """Whether a field has no default."""
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
