"""The last live requests of each version, kept in memory to be scored with another one."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Final

from monitor.shadow_queue import LiveRequest

#: Versions whose requests are kept; the one that was silent for longest gives way.
VERSIONS_MAX: Final = 3
#: Requests taken of one portion of a log, so that what is kept is not of one instant.
PORTION_MAX: Final = 50


class RecentRequests:
    """Rings of requests, by live version. The counting adds, anybody looks.

    Parameters
    ----------
    requests_max
        Requests kept of a version; 0 keeps none.
    """

    def __init__(self, requests_max: int) -> None:
        self._requests_max = requests_max
        self._rings: OrderedDict[str, deque[LiveRequest]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, requests: Sequence[LiveRequest]) -> None:
        """Keep some of a portion's requests, which are all of one version."""
        if not requests or not self._requests_max:
            return
        step = -(-len(requests) // PORTION_MAX)
        with self._lock:
            ring = self._rings.setdefault(requests[0].live, deque(maxlen=self._requests_max))
            self._rings.move_to_end(requests[0].live)
            ring.extend(requests[::step])
            while len(self._rings) > VERSIONS_MAX:
                self._rings.popitem(last=False)

    def of(self, version: str) -> list[LiveRequest]:
        """Return what is kept of a version, oldest first."""
        with self._lock:
            return list(self._rings.get(version, ()))
