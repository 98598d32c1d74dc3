"""Headless Chromium for tests of pages: started once, and told to talk to nobody."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

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
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


def executable() -> str:
    """Skips the test without a browser, or fails it where CI is set."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    reason = f"none of {', '.join(NAMES)} is on PATH: `make setup-browser` installs one"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def started() -> Iterator[Browser]:
    path = executable()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@dataclass
class Opened:
    """A page in a tab of its own, and what it has said and asked for."""

    page: Page
    messages: list[str] = field(default_factory=list)
    """Of the console, errors, violations of the policy and dialogs."""
    requests: list[str] = field(default_factory=list)
    """Everything but the file itself and what is inside it."""

    def focus(self) -> dict[str, Any]:
        """The class, the gallery and the place in it of the element with the focus."""
        found: dict[str, Any] = self.page.evaluate(
            """() => {
                const card = document.activeElement;
                const gallery = card.closest(".gallery");
                return {
                    kind: card.className,
                    gallery: [...document.querySelectorAll(".gallery")].indexOf(gallery),
                    place: gallery ? [...gallery.querySelectorAll(".card")].indexOf(card) : -1,
                };
            }"""
        )
        return found


@contextmanager
def opened(browser: Browser, path: Path, **context: Any) -> Iterator[Opened]:
    """The file once its plots are drawn. `context` is Playwright's: the size of the window, or the colour scheme."""
    tab = browser.new_context(**{"viewport": DESKTOP, **context})
    found = Opened(tab.new_page())
    found.page.on("console", lambda message: found.messages.append(message.text))
    found.page.on("pageerror", lambda error: found.messages.append(str(error)))
    found.page.on("dialog", lambda dialog: (found.messages.append(dialog.message), dialog.dismiss()))
    found.page.on("request", lambda request: found.requests.append(request.url))
    found.page.goto(path.as_uri())
    found.page.wait_for_selector("html[data-drawn=yes]", timeout=30_000)
    found.requests = [url for url in found.requests if url != path.as_uri() and not url.startswith("data:")]
    yield found
    tab.close()
