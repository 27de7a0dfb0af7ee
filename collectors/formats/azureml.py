"""The data collector of Azure Machine Learning: CloudEvents, inputs and outputs in files apart.

The files of one endpoint are one source: a path such as ``credit/blue/**/*.jsonl``. Of the two
pairs of collections, ``model_inputs`` with ``model_outputs`` and ``request`` with ``response``,
let the path name one: with both, each request would count twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from collectors.formats.bodies import body, feature_rows, params_of, predictions
from collectors.formats.event_line import Unusable
from collectors.formats.exchange import Exchange, Half
from collectors.formats.line_format import json_lines
from collectors.formats.options import FormatOptions

_PREFIX = "azureml.inference."
_SIDES: Mapping[str, tuple[str, Half]] = {
    "model_inputs": ("model", "request"),
    "model_outputs": ("model", "response"),
    "request": ("raw", "request"),
    "response": ("raw", "response"),
}
_DEPLOYMENT = re.compile(r"/deployments/([^/]+)")
_NO_VERSION = "default"  # what the collector writes when nobody said otherwise


class Collected(msgspec.Struct):
    """A line. Bodies over 256 kB lie elsewhere: then there is no `data`."""

    type: str
    time: str
    correlationid: str
    data: Any = None
    source: str = ""
    modelversion: str | None = None


@json_lines(Collected)
def AZUREML(line: Collected, options: FormatOptions) -> Iterator[Exchange]:  # noqa: N802 - a constant: the format
    """Read ``format = "azureml"``."""
    if not line.type.startswith(_PREFIX):
        raise Unusable("wrong_type")
    pair, side = _SIDES.get(line.type.removeprefix(_PREFIX), ("", None))
    if side is None:
        return  # a collection of the user's own
    given = body(line.data)
    asked = side == "request" and given is not None
    yield Exchange(
        ts=line.time,
        id=line.correlationid,
        features=feature_rows(given, options.columns) if asked else None,
        predictions=predictions(given, options.columns) if side == "response" else None,
        version=_version(line),
        half=side,
        joins_on=f"{pair}/{line.correlationid}",
        params=params_of(given) if asked else None,
    )


def _version(line: Collected) -> str | None:
    if line.modelversion and line.modelversion != _NO_VERSION:
        return line.modelversion
    deployment = _DEPLOYMENT.search(line.source)
    return deployment[1] if deployment else None
