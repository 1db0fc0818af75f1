"""A report opened from its file, and what a person would see, measure and hear of it."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import pytest
from playwright.sync_api import Page

DESKTOP, PHONE = 1280, 360
VIEWS = [
    pytest.param(scheme, width, id=f"{scheme}-{width}") for scheme in ("light", "dark") for width in (DESKTOP, PHONE)
]
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


class Opened(NamedTuple):
    """A page, with what it said and asked for."""

    page: Page
    console: list[str]
    requests: list[str]
    refused: list[str]


Scheme = Literal["light", "dark"]
Open = Callable[..., Opened]


def open_all(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")


def boxes(page: Page, selector: str) -> list[dict[str, float]]:
    """Where all of these lie on the page, and how large they are."""
    return page.evaluate(
        "selector => [...document.querySelectorAll(selector)].map(one => one.getBoundingClientRect().toJSON())",
        selector,
    )


def pictures_with_size(page: Page, selector: str) -> int:
    """How many of these a person can see: with a width and a height."""
    return sum(box["width"] > 0 and box["height"] > 0 for box in boxes(page, selector))


def rgb(color: str) -> tuple[float, float, float]:
    red, green, blue = (float(part) for part in color[color.index("(") + 1 : -1].split(",")[:3])
    return red, green, blue


def contrast(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    """Contrast ratio of two sRGB colours (WCAG 2.2, relative luminance)."""

    def luminance(color: tuple[float, float, float]) -> float:
        parts = [part / 255 for part in color]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
