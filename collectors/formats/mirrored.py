"""Mirrored requests, and the access log of what mirrored them, in one stream of lines.

A mirror copies requests only. How each ended, and after what time, is in the log; the two are
halves of an event, joined by the request's id.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from collectors.formats.access_logs import ENVOY, NGINX
from collectors.formats.exchange import Exchange
from collectors.formats.line_format import LineFormat
from collectors.formats.logged_bodies import MLFLOW
from collectors.formats.options import FormatOptions

_TAPPED = b'{"tap":'
#: A key of Envoy's lines, and of no one else's.
_ENVOYS = b'"response_code"'


class _Mirrored:
    def __init__(self, options: FormatOptions) -> None:
        self._tapped = MLFLOW.reader(options)
        self._nginx = NGINX.reader(options)
        self._envoy = ENVOY.reader(options)

    def read(self, line: bytes) -> Iterable[Exchange]:
        """Return a half, or a whole where there is no id to join by."""
        if line.startswith(_TAPPED):
            return self._tapped.read(line)
        log = self._envoy if _ENVOYS in line else self._nginx
        return [
            one if one.id is None else msgspec.structs.replace(one, half="response")
            for one in log.read(line)
        ]


#: ``format = "mirrored"``: what sources of type "mirror" hand out.
MIRRORED = LineFormat(_Mirrored, arrives=True)
