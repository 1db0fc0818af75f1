"""A person at a browser, logged in to MLflow."""

from playwright.sync_api import Browser, Page

from tests.up import Up

SIZE = {"width": 1300, "height": 1000}


def seen_by(chromium: Browser, up: Up, who: str) -> Page:
    """A page of a browser that logs in as this account where it is asked to."""
    login = {"username": who, "password": up.passwords[who]}
    return chromium.new_context(viewport=SIZE, http_credentials=login).new_page()  # pyright: ignore[reportArgumentType]
