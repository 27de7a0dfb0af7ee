"""The kinds of source, of meter and of format that a configuration can name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from collectors.batch import Schema
from collectors.format import Format
from collectors.formats.kedge import KedgeFormat
from collectors.resources import Meter, ResourceSettings
from collectors.source import Source
from collectors.spool_source import SpoolSettings
from collectors.tail import TailSettings


class SourceSettings(Protocol):
    """The keys of one ``[[collect]]`` table: a frozen dataclass that builds its source."""

    @property
    def format(self) -> str:
        """Name of the format of what the source hands out, one of `FORMATS`."""

    def build(self, name: str) -> Source:
        """Make the source; `name` tells it from the others."""


class FormatKind(Protocol):
    """Makes a format for the configured model."""

    def __call__(
        self, model: str, schema: Schema | None = None, *, columns_max: int = 500
    ) -> Format:
        """Return a format that decodes `schema`, or learns up to `columns_max` columns."""


class MeterSettings(Protocol):
    """The keys of one ``[[collect]]`` table of which come samples, and no lines."""

    @property
    def interval_s(self) -> float:
        """Time between two samples, in seconds."""

    def describe(self) -> str:
        """Name what is sampled for a person."""

    def build(self, name: str) -> Meter:
        """Make the meter; `name` tells it from the others."""


#: ``type = "…"`` of a ``[[collect]]`` table of which come samples, and the keys of that table.
METERS: Mapping[str, type[MeterSettings]] = {
    "resources": ResourceSettings,
}

#: ``type = "…"`` of a ``[[collect]]`` table of which come lines, and the keys of that table.
SOURCES: Mapping[str, type[SourceSettings]] = {
    "tail": TailSettings,
    "http": SpoolSettings,
}

#: ``format = "…"`` of a ``[[collect]]`` table.
FORMATS: Mapping[str, FormatKind] = {
    "kedge": KedgeFormat,
}
