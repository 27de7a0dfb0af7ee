"""The one thread that counts and writes: whatever touches windows or store runs on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Writer:
    """Runs functions one after the other on a thread of its own, which needs no locks."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kedge-writer")

    async def run(self, function: Callable[[], T]) -> T:
        """Run a function on the thread and return what it returns.

        A cancelled caller does not stop the function: a transaction that began is finished.
        """
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._thread, function))

    def close(self) -> None:
        """Wait for what is running, and end the thread."""
        self._thread.shutdown(wait=True)
