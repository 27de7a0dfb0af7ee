"""The kinds of source, of meter and of format that a configuration can name.

A format of your own is an entry point of the group ``kedge.formats``; docs/formats.md shows one.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator, Mapping
from typing import Protocol, cast

from collectors.batch import Schema
from collectors.format import Format
from collectors.formats.access_logs import ENVOY, NGINX
from collectors.formats.auto import AutoFormat
from collectors.formats.azureml import AZUREML
from collectors.formats.bentoml import BENTOML
from collectors.formats.cloud_events import CLOUDEVENTS, KSERVE, SELDON
from collectors.formats.csv_table import CSV
from collectors.formats.databricks import DATABRICKS
from collectors.formats.kedge import KedgeFormat
from collectors.formats.line_format import EXCHANGE
from collectors.formats.logged_bodies import MLFLOW, V2
from collectors.formats.mirrored import MIRRORED
from collectors.formats.options import FormatOptions
from collectors.formats.sagemaker import SAGEMAKER
from collectors.parquet_folder import ParquetSettings
from collectors.resources.resources import Meter, ResourceSettings
from collectors.source import Source
from collectors.spool.source import SpoolSettings
from collectors.tail.tail import TailSettings
from collectors.taps.settings import CloudEventsSettings, MirrorSettings, ProxySettings

#: Entry points of installed packages that hold formats.
ENTRY_POINTS = "kedge.formats"
#: How many of them are looked at.
ENTRY_POINTS_MAX = 100

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


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
        self,
        model: str,
        schema: Schema | None = None,
        *,
        columns_max: int = 500,
        options: FormatOptions | None = None,
    ) -> Format:
        """Return a format that decodes `schema`, or learns up to `columns_max` columns."""


class FormatLoadError(KeyError):
    """A format that is installed and cannot be used; the message says whose it is, and why."""

    def __str__(self) -> str:
        return str(self.args[0])


class Formats(Mapping[str, FormatKind]):
    """Kedge's own formats, and those of installed packages.

    A package's code is imported when its format is asked for, never to list the names. A name
    of Kedge's own, and of two that are alike the second, is passed over.

    Parameters
    ----------
    own
        Kedge's formats by name.
    """

    def __init__(self, own: Mapping[str, FormatKind]) -> None:
        self._own = own

    def __getitem__(self, name: str) -> FormatKind:
        """Return a format.

        Raises
        ------
        FormatLoadError
            It is a package's, and importing it failed.
        KeyError
            There is none of that name.
        """
        if name in self._own:
            return self._own[name]
        return _loaded(self._installed()[name])

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from self._installed()

    def __len__(self) -> int:
        return len(self._own) + len(self._installed())

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._installed()

    def _installed(self) -> Mapping[str, importlib.metadata.EntryPoint]:
        found: dict[str, importlib.metadata.EntryPoint] = {}
        for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
            if len(found) >= ENTRY_POINTS_MAX:
                break
            if _NAME.fullmatch(point.name) and point.name not in self._own:
                found.setdefault(point.name, point)
        return found


def _loaded(point: importlib.metadata.EntryPoint) -> FormatKind:
    package = f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown package"
    whose = f'the format "{point.name}" ({point.value} of {package})'
    try:
        kind = point.load()
    except Exception as error:
        raise FormatLoadError(f"{whose} cannot be loaded: {error!r}") from error
    if not callable(kind):
        raise FormatLoadError(
            f"{whose} is no format: expected what json_lines or LineFormat make, "
            f"got {type(kind).__name__}"
        )
    return cast("FormatKind", kind)


def options_of(settings: SourceSettings) -> FormatOptions:
    """Return what the settings of a source say of its lines; the defaults if they say nothing."""
    options = getattr(settings, "decoding", None)
    return options if isinstance(options, FormatOptions) else FormatOptions()


#: Formats in the order in which ``auto`` tries them: the more particular first.
_TOLD: Mapping[str, FormatKind] = {
    "kedge": KedgeFormat,
    "sagemaker": SAGEMAKER,
    "databricks": DATABRICKS,
    "azureml": AZUREML,
    "kserve": KSERVE,
    "seldon": SELDON,
    "bentoml": BENTOML,
    "envoy": ENVOY,
    "nginx": NGINX,
    "v2": V2,
    "mlflow": MLFLOW,
    "csv": CSV,
}


def _auto(
    model: str,
    schema: Schema | None = None,
    *,
    columns_max: int = 500,
    options: FormatOptions | None = None,
) -> Format:
    return AutoFormat(_TOLD, model, schema, columns_max=columns_max, options=options)


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
    "parquet": ParquetSettings,
    "proxy": ProxySettings,
    "mirror": MirrorSettings,
    "cloudevents": CloudEventsSettings,
}

#: ``format = "…"`` of a ``[[collect]]`` table.
FORMATS: Mapping[str, FormatKind] = Formats(
    {**_TOLD, "cloudevents": CLOUDEVENTS, "exchange": EXCHANGE, "mirrored": MIRRORED, "auto": _auto}
)
