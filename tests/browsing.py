"""A real Chromium for tests of pages: Debian's, driven by playwright; and what axe says."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

#: A page that has not done what a test waits for by then never does.
WAIT_MS = 30_000


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Start a browser; without one on this machine the test is skipped."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("there is no chromium on this machine")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        # Without a sandbox: in a container there are no user namespaces, and pages are our own.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def opened(browser: Browser, url: str, **options: Any) -> Iterator[Page]:  # noqa: ANN401 - playwright's
    """Open a page; fail where its console tells of an error, or of what its policy forbids."""
    context = browser.new_context(**options)
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    told: list[str] = []
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("console", lambda line: told.append(line.text) if line.type == "error" else None)
    try:
        page.goto(url)
        yield page
        # A request that the API refuses is told there as well, and is what some tests are about.
        assert [line for line in told if "Failed to load resource" not in line] == []
    finally:
        context.close()


def axe_faults(page: Page) -> list[str]:
    """Say what axe finds that is serious or critical, a line each."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{one['id']} ({one['impact']}): {one['help']}: {one['nodes'][0]['html']}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
