"""The status page in a real browser, over a real daemon: live, usable by anybody, and safe."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browsing import axe_faults, chromium, opened
from tests.collectors.registered import register
from tests.monitor import test_whole_loop
from tests.monitor.daemon import Kedge, eventually, running
from tests.monitor.events import append, events, lines
from tests.monitor.test_daemon import BEGIN, PREDICTION_RULE, configuration

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.real

TOKEN = "s3cret-canary"
HOSTILE = "<script>document.title = 1</script><img src=x onerror=alert(1)>"
SECTIONS = "document.querySelectorAll('main section')"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def named(folder: Path) -> Path:
    """A configuration with a token, and a rule for a column whose name is an attack."""
    (folder / "token").write_text(TOKEN)
    hostile = PREDICTION_RULE.replace('name = "prediction"', 'name = "hostile"').replace(
        'column = "prediction"', f'column = "{HOSTILE}"'
    )
    return configuration(folder, more='token_file = "token"\n' + PREDICTION_RULE + hostile)


def renamed(data: bytes) -> bytes:
    """Give the column age a name that is an attack."""
    return data.replace(b'"age"', f'"{HOSTILE}"'.encode())


@pytest.fixture
def drifting(tmp_path: Path) -> Iterator[tuple[Kedge, Path]]:
    """A daemon that has seen healthy traffic of version 7, and the log that it reads."""
    log = tmp_path / "predictions.jsonl"
    append(log, renamed(lines(events(1300, version="7", begins=BEGIN))))
    with running(named(tmp_path)) as kedge:
        kedge.counted(1300)
        yield kedge, log


def shift(kedge: Kedge, log: Path) -> None:
    append(log, renamed(lines(events(400, version="7", begins=BEGIN + 100, shift=3.0))))
    kedge.counted(1700)


def test_a_breach_appears_by_itself_in_words_with_its_pictures(
    browser: Browser, drifting: tuple[Kedge, Path]
) -> None:
    kedge, log = drifting

    with opened(browser, kedge.url) as page:
        page.wait_for_selector(".verdict-said.good")
        page.evaluate("window.stayed = true")
        shift(kedge, log)
        page.wait_for_selector(".verdict-said.bad")
        page.wait_for_selector(".card .chart svg[role=img]")
        said = page.inner_text(".verdict-said")
        drawn = page.evaluate("[...document.querySelectorAll('article h3')].map(e => e.innerText)")
        bars = page.evaluate(f"{SECTIONS}[1].querySelectorAll('.current rect').length")
        stayed, title = page.evaluate("window.stayed"), page.title()

    # The worst of the last window first, which may be either.
    both = (f"the prediction and {HOSTILE}", f"{HOSTILE} and the prediction")
    assert any(f"Version 7 has drifted: {listed}, since" in said for listed in both)
    assert {"prediction", HOSTILE} <= set(drawn)
    assert bars > 10
    assert stayed is True
    assert title == "Drifted: m · Kedge"


def test_axe_finds_nothing_serious_light_or_dark_and_nothing_scrolls_sideways(
    browser: Browser, drifting: tuple[Kedge, Path]
) -> None:
    kedge, log = drifting
    shift(kedge, log)
    eventually(lambda: "Drifted" in kedge.page("/"), what="the verdict")

    for width, scheme in ((1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")):
        viewport = {"width": width, "height": 800}
        with opened(browser, kedge.url, viewport=viewport, color_scheme=scheme) as page:
            page.wait_for_selector("#theme:not([hidden])")
            page.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
            wide = page.evaluate("document.documentElement.scrollWidth")
            faults = axe_faults(page)
            page.click("[data-opens=rollback]")
            faults += axe_faults(page)

        assert faults == [], (width, scheme)
        assert wide == width, scheme


def test_the_theme_can_be_switched_and_is_remembered(
    browser: Browser, drifting: tuple[Kedge, Path]
) -> None:
    kedge, _ = drifting
    ground = "getComputedStyle(document.body).backgroundColor"

    with opened(browser, kedge.url, color_scheme="light") as page:
        light = page.evaluate(ground)
        page.click("#theme")
        page.click("#theme")
        dark = page.evaluate(ground)
        page.reload()
        again = page.evaluate(ground)

    assert light != dark == again


def test_everything_can_be_reached_and_done_with_the_keyboard(
    browser: Browser, drifting: tuple[Kedge, Path]
) -> None:
    kedge, _ = drifting
    focused = "document.activeElement.innerText || document.activeElement.name"

    with opened(browser, kedge.url) as page:
        page.wait_for_selector("#actions:not([hidden])")
        page.keyboard.press("Tab")
        first = page.evaluate(focused)
        page.focus("[data-opens=hold]")
        page.keyboard.press("Enter")
        page.wait_for_selector("#dialog-hold[open]")
        inside = page.evaluate("document.activeElement.closest('dialog').id")
        page.keyboard.press("Escape")
        page.wait_for_selector("#dialog-hold", state="hidden")
        back = page.evaluate("document.activeElement.dataset.opens")

    assert first == "Skip to the verdict"
    assert inside == "dialog-hold"
    assert back == "hold"


def test_a_reader_of_a_table_keeps_it_open_and_the_focus_while_the_page_goes_on(
    browser: Browser, drifting: tuple[Kedge, Path]
) -> None:
    kedge, log = drifting

    with opened(browser, kedge.url) as page:
        summary = "[data-live=traffic] summary"
        page.wait_for_selector("#theme:not([hidden])")
        page.focus(summary)
        page.keyboard.press("Enter")
        before = page.inner_text("[data-live=traffic] tbody tr")
        shift(kedge, log)
        page.wait_for_function(
            "before => document.querySelector('[data-live=traffic] tbody tr').innerText != before",
            arg=before,
        )
        is_open = page.evaluate("document.querySelector('[data-live=traffic] details').open")
        focus = page.evaluate("document.activeElement.tagName")

    assert (is_open, focus) == (True, "SUMMARY")


def test_a_daemon_that_goes_away_is_said_to_and_found_again(
    browser: Browser, tmp_path: Path
) -> None:
    log = tmp_path / "predictions.jsonl"
    append(log, lines(events(1300, version="7", begins=BEGIN)))
    config = configuration(tmp_path)

    with running(config) as kedge:
        port = kedge.url.rpartition(":")[2]
        with opened(browser, kedge.url) as page:
            page.wait_for_selector("#link[data-state=live]")
            assert kedge.stop() == 0
            page.wait_for_selector("#link[data-state=lost]")
            config.write_text(config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
            with running(config):
                page.wait_for_selector("#link[data-state=live]")


def test_a_page_without_scripts_says_the_same(
    browser: Browser, drifting: tuple[Kedge, Path]
) -> None:
    kedge, log = drifting
    shift(kedge, log)
    eventually(lambda: "Drifted" in kedge.page("/"), what="the verdict")

    with opened(browser, kedge.url, java_script_enabled=False) as page:
        said = page.inner_text("main")
        buttons = page.locator("#actions").is_visible()

    assert "Version 7 has drifted" in said
    assert "kedge rollback" in said
    assert not buttons


def fill(page: Page, name: str, token: str) -> None:
    page.click(f"[data-opens={name}]")
    page.fill(f"#dialog-{name} [name=reason]", "a test")
    page.fill(f"#dialog-{name} [name=token]", token)


def hold_and_resume(page: Page, kedge: Kedge) -> tuple[str, list[dict[str, str]], str]:
    """Return what a wrong token is told, the holds after a right one, and what is remembered."""
    fill(page, "hold", "wrong")
    page.click("#dialog-hold [type=submit]")
    page.wait_for_selector("#dialog-hold .answer[data-tone=bad] span")
    refused = page.inner_text("#dialog-hold .answer")
    page.fill("#dialog-hold [name=token]", TOKEN)
    page.click("#dialog-hold [type=submit]")
    page.wait_for_selector("#dialog-hold .answer[data-tone=''] span")
    held = kedge.get("/api/v1/holds")["holds"]
    page.keyboard.press("Escape")
    page.wait_for_selector("text=Automatic action is on hold")
    page.click("[data-opens=resume]")
    remembered = page.input_value("#dialog-resume [name=token]")
    page.click("#dialog-resume [type=submit]")
    page.wait_for_selector("#dialog-resume .answer[data-tone=''] span")
    page.keyboard.press("Escape")
    return refused, held, remembered


def test_the_buttons_reach_the_decision_and_nothing_moves_before_it_was_rehearsed(
    browser: Browser, tmp_path: Path, mlflow_uri: str
) -> None:
    # On a thread of its own: in this one, the browser's loop is running.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(register(mlflow_uri, "buttons", 2, champion="2"))).result()
    config = test_whole_loop.configuration(tmp_path, mlflow_uri, "buttons", "act")
    (tmp_path / "token").write_text(TOKEN)
    config.write_text(
        config.read_text().replace('"127.0.0.1:0"', '"127.0.0.1:0"\ntoken_file = "token"')
    )
    log = tmp_path / "predictions.jsonl"
    append(log, lines(events(2000, version="1", begins=time.time() - 60)))
    append(log, lines(events(1000, version="2", begins=time.time() - 30, seed=8)))

    with running(config) as kedge:
        kedge.counted(3000)
        with opened(browser, kedge.url) as page:
            page.wait_for_selector("#actions:not([hidden])")
            refused, held, remembered = hold_and_resume(page, kedge)
            fill(page, "rollback", TOKEN)
            confirm = page.locator("[data-step=confirm]")
            hidden = confirm.is_hidden()
            page.click("[data-step=rehearse]")
            confirm.wait_for(state="visible")
            rehearsed = page.inner_text("#dialog-rollback .answer")
            untouched = test_whole_loop.alias(mlflow_uri, "buttons")
            confirm.click()
            eventually(
                lambda: test_whole_loop.alias(mlflow_uri, "buttons") == "1", what="the alias moved"
            )
            page.keyboard.press("Escape")
            page.wait_for_selector("[data-live=timeline] a[href*=rollbacks]")
            stored = page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})")
            page.reload()
            page.click("[data-opens=hold]")
            forgotten = page.input_value("#dialog-hold [name=token]")
        resumed = kedge.get("/api/v1/holds")["holds"]

    assert "Authorization" in refused
    assert held[0]["reason"] == "a test"
    assert resumed == []
    assert hidden
    assert "from version 2 to version 1" in rehearsed
    assert untouched == "2"
    assert (remembered, forgotten) == (TOKEN, "")
    assert TOKEN not in stored
