"""One real server and a real browser; what a page asks of anybody else fails its test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.running import Running

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 15_000


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Headless Chromium with an empty profile of its own, for all tests of this folder."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    assert found, (
        "Chromium is missing; .ci/packages installs it (Debian: apt-get install chromium)."
    )
    # Within one folder, because its event loop would be in the way of other tests' own.
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found, args=[*FLAGS])
        yield launched
        launched.close()


@pytest.fixture(scope="package")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One profile, so that each file of the page is read once."""
    made = browser.new_context(viewport={"width": 1280, "height": 900})
    made.set_default_timeout(PATIENCE_MS)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext, demo: Running) -> Iterator[Page]:
    """A tab that must ask nobody but the server, and complain of nothing."""
    tab = context.new_page()  # what it keeps for the session is its own
    asked: list[str] = []
    said: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    tab.on("pageerror", lambda error: said.append(f"uncaught: {error}"))
    yield tab
    if tab.url.startswith("http"):
        tab.evaluate("localStorage.clear()")
    tab.close()
    hosts = {urlsplit(url).hostname for url in asked}
    assert hosts <= {"127.0.0.1"}, hosts
    # Chromium itself writes a line for each answer that is an error; some tests ask for those.
    assert [] == [line for line in said if "Failed to load resource" not in line]
