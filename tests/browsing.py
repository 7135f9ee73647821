"""A real browser that says what a page did: messages, errors, dialogs, and every request that it made."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@dataclass
class Visit:
    """A page that was opened from disk, and what it did."""

    page: "Page"
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def drawn(self) -> dict[str, int]:
        """Figure → marks that its live chart holds, once all are drawn."""
        self.page.wait_for_function(
            "[...document.querySelectorAll('figure')].every(each => each.querySelector('.live svg .mark-group'))"
        )
        count = "each => each.querySelectorAll('.live svg path, .live svg text').length"
        return dict(
            self.page.evaluate(f"[...document.querySelectorAll('figure')].map(each => [each.id, ({count})(each)])")
        )

    @property
    def scrolls_sideways(self) -> bool:
        return bool(self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


@contextmanager
def visit(path: Path, *, width: int = 1200, height: int = 900) -> Iterator[Visit]:
    """Open a file; nothing may be fetched, and what is asked for all the same is noted."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, "--disable-sync"])
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(120_000)
        seen = Visit(page)
        page.on("console", lambda message: seen.said.append(message.text))
        page.on("pageerror", lambda error: seen.said.append(str(error)))
        page.on("dialog", lambda dialog: (seen.said.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: seen.asked.append(request.url))
        page.route("http*://**", lambda route: route.abort())
        page.goto(path.as_uri())
        yield seen
        browser.close()
