"""From tables of TOML to settings: the dataclass is the grammar, so there is no second list.

:mod:`monitor.settings.keys` says what a field's name, type and default mean for its key. What
types cannot say, a dataclass refuses by a ValueError from ``__post_init__``; a line of it that
begins with a field's name and a colon is put at that field's key.

Faults are collected, never raised one by one: whoever writes a configuration sees all of them.
"""

from __future__ import annotations

import dataclasses
import glob
import math
import os
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from monitor.settings.faults import Fault, alternatives, dotted, nearest, shown
from monitor.settings.keys import (
    Holds,
    Kinds,
    Reads,
    bare,
    by_name,
    hints_of,
    is_flat,
    is_path,
    is_pattern,
    is_required,
    is_union,
    key_fields,
    keys_of,
    known_keys,
)
from monitor.settings.secret import Secret


class _Unusable:
    """Stands for a value whose fault has been noted."""


UNUSABLE: Final = _Unusable()

_NAMES: Final = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def spoilt(value: object) -> bool:
    """Whether a value, or an element of it, stands for one whose fault has been noted."""
    return value is UNUSABLE or (isinstance(value, tuple) and UNUSABLE in value)


class Loader:
    """Reads tables into dataclasses and notes every fault.

    Parameters
    ----------
    folder
        What relative paths are relative to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: list[Fault] = []

    def fault(self, key: str, message: str) -> Any:  # noqa: ANN401 - stands for a value of any type
        """Note a fault and return what stands for the value."""
        self.faults.append(Fault(key, message))
        return UNUSABLE

    def table(self, kind: type, value: object, at: str) -> Any:  # noqa: ANN401 - an instance of `kind`
        """Read a table into the dataclass `kind`; `at` is the dotted key that it stands at."""
        if value is UNUSABLE:
            return UNUSABLE
        if not isinstance(value, Mapping):
            return self.fault(at, f"expected a table, got {shown(value)}")
        return self.construct(kind, self.fields(kind, value, at), at)

    def fields(self, kind: type, table: Mapping[str, Any], at: str) -> dict[str, Any]:
        """Read the values that `table` gives the fields of `kind`, by field name."""
        hints = hints_of(kind)
        given: dict[str, Any] = {}
        for field in key_fields(kind):
            hint = hints[field.name]
            if is_flat(field):
                given[field.name] = self._flat(hint, table, at)
                continue
            keys = keys_of(field, hint)
            present = [key for key in keys if key in table]
            if present:
                read = self._field(field.name, hint, table, present, at)
                given[field.name] = self._placed(field, hint, read)
            elif is_required(field):
                given[field.name] = self.fault(dotted(at, keys[0]), "is required")
        known = known_keys(kind)
        for key in table:
            if key not in known:
                self.fault(dotted(at, key), f"unknown key{nearest(key, known)}")
        return given

    def construct(self, kind: type, given: Mapping[str, Any], at: str) -> Any:  # noqa: ANN401 - an instance of `kind`
        """Make a `kind` of its fields; what it refuses stands at the field that it names."""
        if any(spoilt(part) for part in given.values()):
            return UNUSABLE
        try:
            return kind(**given)
        except ValueError as error:
            keys = {
                field.name: keys_of(field, hints_of(kind)[field.name])[0]
                for field in dataclasses.fields(kind)
            }
            for line in str(error).splitlines():
                name, colon, message = line.partition(": ")
                if colon and name in keys:
                    self.fault(dotted(at, keys[name]), message)
                else:
                    self.fault(at, line)
            return UNUSABLE

    def value(self, hint: Any, value: object, at: str) -> Any:  # noqa: ANN401 - of any type
        """Read one value as the type `hint`."""
        if value is UNUSABLE:
            return UNUSABLE
        origin = typing.get_origin(hint)
        read: Callable[[Any, object, str], Any]
        if is_union(hint):
            read = self._optional
        elif dataclasses.is_dataclass(hint):
            read = self.table
        else:
            readers = {Annotated: self._annotated, Literal: self._choice, tuple: self._array}
            read = {**readers, Mapping: self._mapping}.get(origin, self._plain)
        return read(hint, value, at)

    def _flat(self, kind: Any, table: Mapping[str, Any], at: str) -> Any:  # noqa: ANN401
        known = known_keys(kind)
        return self.table(kind, {key: one for key, one in table.items() if key in known}, at)

    def _field(
        self, name: str, hint: object, table: Mapping[str, Any], present: Sequence[str], at: str
    ) -> Any:  # noqa: ANN401
        if len(present) > 1:
            return self.fault(dotted(at, present[1]), f"give {' or '.join(present)}, not both")
        key = present[0]
        there = dotted(at, key)
        if bare(hint) is Secret and key.endswith("_file"):
            file = self.value(Path, table[key], there)
            return file if file is UNUSABLE else Secret(file=self._relative(file))
        return self.value(by_name(name, hint), table[key], there)

    def _placed(self, field: dataclasses.Field[Any], hint: object, read: Any) -> Any:  # noqa: ANN401
        """Put a relative path into the folder, whose own name is no part of a pattern."""
        if read is UNUSABLE or not is_path(field.name, hint):
            return read
        return self._relative(read, pattern=is_pattern(field))

    def _relative(self, path: Any, *, pattern: bool = False) -> Any:  # noqa: ANN401 - a text or a Path, as it came
        folder = glob.escape(str(self.folder)) if pattern else self.folder
        return type(path)(os.path.normpath(os.path.join(folder, path))) if str(path) else path  # noqa: PTH118 - a pattern is no Path

    def _annotated(self, hint: Any, value: object, at: str) -> Any:  # noqa: ANN401
        base, *marks = typing.get_args(hint)
        reads = next((mark for mark in marks if isinstance(mark, Reads)), None)
        kinds = next((mark for mark in marks if isinstance(mark, Kinds)), None)
        if kinds is not None:
            return self._kinds(kinds, value, at)
        if reads is not None:
            try:
                read = reads.parse(value)
            except ValueError as error:
                expected = f"expected {reads.expected}, got {shown(value)}"
                return self.fault(at, str(error) or expected)
        else:
            read = self.value(base, value, at)
        for mark in marks:
            if isinstance(mark, Holds) and read is not UNUSABLE and not mark.test(read):
                return self.fault(at, f"expected {mark.expected}, got {shown(value)}")
        return read

    def _choice(self, hint: Any, value: object, at: str) -> Any:  # noqa: ANN401
        choices = typing.get_args(hint)
        if value in choices and isinstance(value, str):
            return value
        offered = [str(choice) for choice in choices if choice != ""]
        hint = nearest(value, offered) if isinstance(value, str) else ""
        return self.fault(at, f"expected {alternatives(offered)}, got {shown(value)}{hint}")

    def _optional(self, hint: Any, value: object, at: str) -> Any:  # noqa: ANN401
        inner = [part for part in typing.get_args(hint) if part is not type(None)]
        return self.value(inner[0], value, at)

    def _mapping(self, hint: Any, value: object, at: str) -> Any:  # noqa: ANN401
        if not isinstance(value, Mapping):
            return self.fault(at, f"expected a table, got {shown(value)}")
        inner = typing.get_args(hint)[1]
        read = {key: self.value(inner, one, dotted(at, key)) for key, one in value.items()}
        return UNUSABLE if spoilt(tuple(read.values())) else read

    def _array(self, hint: Any, value: object, at: str) -> Any:  # noqa: ANN401
        if not isinstance(value, list):
            return self.fault(at, f"expected an array, got {shown(value)}")
        inner = typing.get_args(hint)[0]
        items = [self.value(inner, one, f"{at}[{i}]") for i, one in enumerate(value)]
        return tuple(items)

    def _plain(self, hint: Any, value: object, at: str) -> Any:  # noqa: ANN401
        if hint is Secret:
            if isinstance(value, str) and value:
                return Secret(value)
            return self.fault(at, "expected a text that is not empty")  # and never the value
        if hint is Path:
            return Path(value) if isinstance(value, str) else self._wrong(str, value, at)
        if hint is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if type(value) is hint and not (isinstance(value, float) and not math.isfinite(value)):
            return value
        return self._wrong(hint, value, at)

    def _wrong(self, hint: Any, value: object, at: str) -> Any:  # noqa: ANN401
        return self.fault(at, f"expected {_NAMES.get(hint, hint)}, got {shown(value)}")

    def _kinds(self, kinds: Kinds, value: object, at: str) -> Any:  # noqa: ANN401
        if not isinstance(value, list):
            return self.fault(at, f"expected an array of tables ([[{at}]]), got {shown(value)}")
        items = [self._kind(kinds, one, f"{at}[{i}]") for i, one in enumerate(value)]
        return tuple(items)

    def _kind(self, kinds: Kinds, value: object, at: str) -> Any:  # noqa: ANN401
        if not isinstance(value, Mapping):
            return self.fault(at, f"expected a table, got {shown(value)}")
        table = kinds.table()
        name = value.get("type")
        if name is None:
            return self.fault(dotted(at, "type"), f"is required: {alternatives(table)}")
        if name is UNUSABLE:
            return UNUSABLE
        if not isinstance(name, str) or name not in table:
            offered = alternatives(table)
            return self.fault(
                dotted(at, "type"), f"unknown {kinds.noun} {shown(name)}: expected {offered}"
            )
        own = {
            key: self.value(str, value[key], dotted(at, key)) for key in kinds.own if key in value
        }
        rest = {key: one for key, one in value.items() if key not in ("type", *kinds.own)}
        settings = self.table(table[name], rest, at)
        if settings is UNUSABLE or UNUSABLE in own.values():
            return UNUSABLE
        return kinds.wrap(name, settings, own)
