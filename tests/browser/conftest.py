"""A real browser against a real server. Missing locally it is a skip with the reason; in CI it is a failure."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def executable() -> str:
    for name in NAMES:
        path = shutil.which(name)
        if path:
            return path
    reason = f"No browser: none of {', '.join(NAMES)} is installed (Debian: apt-get install chromium)."
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser(django_db_setup: None) -> Iterator[Browser]:
    path = executable()
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright's event loop runs in this thread, so Django believes the tests to be asynchronous.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        running = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield running
        running.close()


@pytest.fixture(autouse=True)
def _browser_before_database(browser: Browser) -> None:
    """The database is opened and flushed inside the browser's life."""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a fresh browser profile; what the browser complains of fails the test."""
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(f"{message.text} {message.location}")

    def note_error(error: Any) -> None:
        complaints.append(str(error))

    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB")
    context.set_default_timeout(20_000)
    opened = context.new_page()
    opened.on("console", note)
    opened.on("pageerror", note_error)
    yield opened
    context.close()
    assert complaints == []
