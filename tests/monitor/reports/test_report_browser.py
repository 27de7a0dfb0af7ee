"""A report in a real Chromium, from the disk and without a network: usable by anybody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.report import MODEL, WINDOW_S, fill
from monitor.reports.from_store import stored_facts
from monitor.reports.page import html
from tests.browsing import axe_faults, chromium, opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.real

WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report of ten columns on the disk, as somebody opens it."""
    folder: Path = tmp_path_factory.mktemp("report")
    url = f"sqlite:///{folder}/kedge.db"
    fill(url, 10, 40)
    out = folder / "report.html"
    out.write_bytes(html(stored_facts(url, model=MODEL, length_s=40 * WINDOW_S)))
    return out.as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_report_opens_without_a_network_and_axe_has_nothing_serious_to_say(
    browser: Browser, address: str, scheme: str
) -> None:
    with opened(browser, address, offline=True, color_scheme=scheme) as page:
        assert page.locator("h1").inner_text() == MODEL
        assert page.locator("svg").first.is_visible()
        assert page.evaluate("performance.getEntriesByType('resource').length") == 0
        assert axe_faults(page) == []


def test_pictures_are_drawn_in_the_colours_of_the_page(browser: Browser, address: str) -> None:
    colour = "getComputedStyle(document.querySelector('svg .current rect')).fill"
    with opened(browser, address, color_scheme="light") as page:
        light = page.evaluate(colour)
    with opened(browser, address, color_scheme="dark") as page:
        dark = page.evaluate(colour)

    assert light != dark
    assert "rgb(0, 0, 0)" not in (light, dark)


def test_a_phone_shows_it_without_scrolling_sideways(browser: Browser, address: str) -> None:
    with opened(browser, address, viewport={"width": 360, "height": 740}) as page:
        assert page.evaluate(WIDER) == 0
        for one in page.locator("details > summary").all():
            one.click()
        assert page.evaluate(WIDER) == 0


def test_everything_can_be_reached_by_the_keyboard(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        page.keyboard.press("Tab")
        assert page.locator(":focus").inner_text() == "Skip to the summary"
        page.keyboard.press("Enter")
        assert page.url.endswith("#summary")
        numbers = page.locator("#column-1 details").first
        numbers.locator("> summary").focus()
        page.keyboard.press("Enter")
        assert numbers.locator("table").is_visible()


def test_on_paper_pictures_stay_and_what_only_a_screen_can_do_goes(
    browser: Browser, address: str
) -> None:
    with opened(browser, address, viewport={"width": 700, "height": 900}) as page:
        page.emulate_media(media="print", color_scheme="dark")

        assert page.locator("#column-1 svg").first.is_visible()
        assert not page.locator("nav").is_visible()
        assert not page.locator("details").first.is_visible()
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
        assert page.evaluate(WIDER) == 0
        assert page.pdf(format="A4").startswith(b"%PDF")
