"""The settings of the daemon, and how they are read from ``kedge.toml``.

One error::

    ConfigurationError    a file that cannot be read, or everything that is wrong within it
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from monitor.settings.alerts import AlertSettings
from monitor.settings.checks import cross_faults
from monitor.settings.faults import Fault, dotted
from monitor.settings.kinds import SOURCES, SourceSettings, StepSettings
from monitor.settings.loader import UNUSABLE, Loader
from monitor.settings.log import LogSettings
from monitor.settings.notify import NOTICES, NoticeSettings
from monitor.settings.otel import OtelSettings
from monitor.settings.quantities import EventSpan, Quorum, Span, TimeSpan
from monitor.settings.reference import ReferenceSettings
from monitor.settings.rules import RuleSettings
from monitor.settings.secret import Secret, SecretUnreadableError
from monitor.settings.segments import SegmentSettings
from monitor.settings.shadow import ShadowSettings
from monitor.settings.tables import (
    DetectorSettings,
    HttpSettings,
    LabelSettings,
    LimitSettings,
    ModelSettings,
    RollbackSettings,
    StoreSettings,
    WindowSettings,
)

__all__ = [
    "ConfigurationError",
    "DetectorSettings",
    "EventSpan",
    "Fault",
    "HttpSettings",
    "LabelSettings",
    "LimitSettings",
    "LogSettings",
    "ModelSettings",
    "OtelSettings",
    "Quorum",
    "ReferenceSettings",
    "RollbackSettings",
    "RuleSettings",
    "Secret",
    "SecretUnreadableError",
    "SegmentSettings",
    "Settings",
    "ShadowSettings",
    "SourceSettings",
    "Span",
    "StepSettings",
    "StoreSettings",
    "TimeSpan",
    "WindowSettings",
    "load",
]

_SQLITE = "sqlite:///"
_VARIABLE = re.compile(r"\$(\$?)\{([^}]*)\}")
_TOML_PLACE = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")


class ConfigurationError(Exception):
    """Everything that is wrong with a configuration; a line each.

    Parameters
    ----------
    path
        The file, as it was asked for.
    faults
        At least one, in the order of the file's keys as they are read.
    """

    def __init__(self, path: Path, faults: Sequence[Fault]) -> None:
        self.path = path
        self.faults = tuple(faults)
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """Return one line a fault: ``FILE: rules[2].above: expected a number, got "high"``."""
        return [f"{self.path}: {fault}" for fault in self.faults]


@dataclass(frozen=True, slots=True)
class Settings:
    """A whole configuration. Paths in it are absolute."""

    model: ModelSettings
    """The model that is watched."""

    collect: Annotated[tuple[SourceSettings, ...], SOURCES] = ()
    """Where predictions come from."""

    reference: ReferenceSettings = field(default_factory=ReferenceSettings)
    """What they are compared with."""

    windows: WindowSettings = field(default_factory=WindowSettings)
    """How they are cut."""

    detectors: DetectorSettings = field(default_factory=DetectorSettings)
    """How they are measured."""

    segments: SegmentSettings = field(default_factory=SegmentSettings)
    """Which parts are watched by themselves."""

    labels: LabelSettings = field(default_factory=LabelSettings)
    """How labels join their predictions."""

    store: StoreSettings = field(default_factory=StoreSettings)
    """Where results are kept."""

    http: HttpSettings = field(default_factory=HttpSettings)
    """Where results are shown."""

    limits: LimitSettings = field(default_factory=LimitSettings)
    """What the data may cost."""

    rules: tuple[RuleSettings, ...] = ()
    """When a measurement is a breach."""

    shadow: ShadowSettings = field(default_factory=ShadowSettings)
    """Which version answers the same requests, unseen."""

    rollback: RollbackSettings = field(default_factory=RollbackSettings)
    """What is done about it."""

    alerts: AlertSettings = field(default_factory=AlertSettings)
    """What is made of the alerts of others."""

    notify: Annotated[tuple[NoticeSettings, ...], NOTICES] = ()
    """Who is told of what the rollback does."""

    log: LogSettings = field(default_factory=LogSettings)
    """What is said of all that."""

    otel: OtelSettings = field(default_factory=OtelSettings)
    """Who takes metrics and traces."""

    path: Path | None = field(default=None, metadata={"no_key": True})
    """The file that it was read from."""


def load(path: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """Read and check a configuration.

    Parameters
    ----------
    environ
        Where ``${NAME}`` is looked up; the environment of the process by default.

    Raises
    ------
    ConfigurationError
        The file cannot be read, is not TOML, or says what it must not: every fault at once.
    """
    loader = Loader(path.absolute().parent)
    tree = _substituted(_parsed(path), os.environ if environ is None else environ, loader, "")
    given = loader.fields(Settings, tree, "")
    for fault in cross_faults(given):
        loader.fault(fault.key, fault.message)
    if loader.faults:
        raise ConfigurationError(path, loader.faults)
    settings = Settings(**given, path=path.absolute())
    return replace(
        settings,
        collect=_numbered(settings.collect),
        store=replace(settings.store, url=_placed(settings.store.url, loader.folder)),
    )


def _parsed(path: Path) -> Mapping[str, Any]:
    try:
        # Editors of Windows begin a text with a mark that is no TOML.
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
        hint = "; `kedge init` writes one" if isinstance(error, FileNotFoundError) else ""
        raise ConfigurationError(path, [Fault("", reason + hint)]) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(path, [Fault("", "is not UTF-8 text")]) from error
    except tomllib.TOMLDecodeError as error:
        text = str(error)
        place = _TOML_PLACE.search(text)
        where = "not TOML"
        if place is not None:
            line, column = place.groups()
            where = f"line {line}, column {column}" if line else "at its end"
            text = text[: place.start()]
        raise ConfigurationError(path, [Fault(where, text)]) from error


def _substituted(value: Any, environ: Mapping[str, str], loader: Loader, at: str) -> Any:  # noqa: ANN401 - TOML
    """Replace ``${NAME}`` in every text of the tree; ``$${`` stands for ``${``."""
    if isinstance(value, dict):
        return {
            key: _substituted(one, environ, loader, dotted(at, key)) for key, one in value.items()
        }
    if isinstance(value, list):
        return [_substituted(one, environ, loader, f"{at}[{i}]") for i, one in enumerate(value)]
    if not isinstance(value, str):
        return value
    unset = [
        name for escaped, name in _VARIABLE.findall(value) if not escaped and name not in environ
    ]
    for name in unset:
        loader.fault(at, f"the environment variable {name or '(no name)'} is not set")
    if unset:
        return UNUSABLE
    return _VARIABLE.sub(lambda match: match[0][1:] if match[1] else environ[match[2]], value)


def _numbered(sources: Sequence[SourceSettings]) -> tuple[SourceSettings, ...]:
    """Name the sources that have no name by their type, numbered from the second on."""
    taken = {source.name for source in sources if source.name}
    named = []
    for source in sources:
        name, number = source.name or source.type, 1
        while not source.name and name in taken:
            number += 1
            name = f"{source.type}-{number}"
        taken.add(name)
        named.append(replace(source, name=name))
    return tuple(named)


def _placed(url: str, folder: Path) -> str:
    """Put a relative SQLite file into the folder of the configuration."""
    if not url.startswith(_SQLITE):
        return url
    file, question, query = url.removeprefix(_SQLITE).partition("?")
    if file == ":memory:":
        return url
    return _SQLITE + os.path.normpath(folder / file) + question + query
