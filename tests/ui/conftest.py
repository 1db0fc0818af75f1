"""The browser of all tests that need one: Debian's chromium; and a page opened in it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Dialog, sync_playwright

from tests.ui.pages import DESKTOP, Open, Opened, Scheme

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium") or os.environ.get("CHROMIUM")
    assert path, "no chromium: install Debian's package, or set CHROMIUM to the program"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def show(chromium: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens a page from a file, as a person would, and hears what it says and asks for."""
    contexts = []

    def open_page(html: str, scheme: Scheme = "light", width: int = DESKTOP, *, bypass_csp: bool = False) -> Opened:
        file = tmp_path / f"report-{len(contexts)}.html"
        file.write_text(html)
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=bypass_csp
        )
        contexts.append(context)
        page = context.new_page()
        opened = Opened(page, [], [], [])

        def heard(dialog: Dialog) -> None:
            opened.console.append(f"dialog: {dialog.message}")
            dialog.dismiss()

        page.on("console", lambda message: opened.console.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: opened.console.append(f"error: {error}"))
        page.on("dialog", heard)
        page.on("request", lambda request: opened.requests.append(request.url))
        page.on("requestfailed", lambda request: opened.refused.append(f"{request.url} {request.failure}"))
        page.goto(file.as_uri())
        return opened

    yield open_page
    for context in contexts:
        context.close()
