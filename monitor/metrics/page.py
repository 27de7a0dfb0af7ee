"""The page that Prometheus reads, made at most once a second."""

from __future__ import annotations

import math
import threading
import time
from typing import Final

import prometheus_client as prometheus

#: A page is rendered at most this often, whoever asks.
RENDER_INTERVAL_S: Final = 1.0


class MetricsPage:
    """Renders a registry; a storm of scrapes costs one rendering a second. Any thread may ask."""

    def __init__(self, registry: prometheus.CollectorRegistry) -> None:
        self._registry = registry
        self._page: tuple[float, bytes, str] = (-math.inf, b"", "")
        self._rendering = threading.Lock()

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the page and its content type, as the header ``Accept`` asks for it.

        One page is kept, whoever asks, for `RENDER_INTERVAL_S`.
        """
        with self._rendering:
            encoder, content_type = prometheus.exposition.choose_encoder(accept)
            made, page, kind = self._page
            now = time.monotonic()
            if now - made >= RENDER_INTERVAL_S or kind != content_type:
                page = encoder(self._registry)
                self._page = (now, page, content_type)
            return page, content_type
