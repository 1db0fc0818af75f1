"""The data's report in a real browser: its pictures, its reach, its width, its keyboard, its contrast."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.ui.pages import (
    DESKTOP,
    PHONE,
    VIEWS,
    WCAG,
    Open,
    Scheme,
    boxes,
    contrast,
    open_all,
    pictures_with_size,
    rgb,
)
from tests.unit.data.page_examples import BIAS, DRIFT, EXAMPLES, REASONS, example

pytestmark = [pytest.mark.ui, pytest.mark.timeout(300)]


@pytest.mark.parametrize(("scheme", "width"), VIEWS)
def test_every_picture_of_the_data_is_there(show: Open, scheme: Scheme, width: int) -> None:
    page = show(example("full"), scheme, width).page
    assert pictures_with_size(page, "svg.flow") == 1
    assert pictures_with_size(page, "svg.flow rect") == 4
    assert pictures_with_size(page, "svg.source-bars[role=img]") == 4
    assert pictures_with_size(page, "svg.reason-bar") == sum(rows > 0 for rows in REASONS.values())
    assert pictures_with_size(page, "svg.forest-plot circle.dot") == len(BIAS) + 1
    assert pictures_with_size(page, "svg.forest-plot rect.psi") == len(DRIFT) + 2
    for box in boxes(page, "svg text"):  # letters are as large on a phone as on a desk
        assert box["height"] >= 12
        assert box["left"] >= 0
        assert box["right"] <= width


@pytest.mark.parametrize(("scheme", "width"), VIEWS)
def test_marks_have_a_colour_that_is_seen_on_the_page(show: Open, scheme: Scheme, width: int) -> None:
    """WCAG 1.4.11: 3 to 1 with what is behind them."""
    page = show(example("full"), scheme, width).page
    paper, marks = page.evaluate(
        """() => {
        const fills = ['.flow .train', '.flow .held', '.flow .aside', '.flow .left', '.source-bars .now',
            '.fine .dot.figure', '.warns .dot.figure', '.fine .psi', '.warns .psi', '.stops .psi', '.BLOCK .psi'];
        const strokes = ['.source-bars .before', '.fine .interval', '.warns .interval', '.zero', '.threshold.some',
            '.threshold.large', '.chance'];
        const look = (one, what) => [one, getComputedStyle(document.querySelector('main figure ' + one))[what]];
        return [getComputedStyle(document.body).backgroundColor,
            [...fills.map(one => look(one, 'fill')), ...strokes.map(one => look(one, 'stroke'))]];
    }"""
    )
    assert len(marks) == 18
    for name, colour in marks:
        assert contrast(rgb(paper), rgb(colour)) >= 3, f"{name}: {colour} on {paper}"


@pytest.mark.parametrize("kind", EXAMPLES)
@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_the_page_asks_for_nothing_never_scrolls_sideways_and_keeps_its_form(show: Open, width: int, kind: str) -> None:
    opened = show(example(kind), "light", width)
    page = opened.page
    open_all(page)
    page.wait_for_timeout(50)
    assert opened.requests == [page.url]
    assert opened.console == []
    assert page.locator("script, img, iframe, object, form").count() == 0
    assert page.locator("main > section").count() == 9
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    stray = page.evaluate(
        """width => [...document.querySelectorAll('main *')]
        .filter(one => one.getBoundingClientRect().right > width + 1 && !one.closest('.scroll') && !one.closest('svg'))
        .map(one => one.outerHTML.slice(0, 80))""",
        width,
    )
    assert stray == []


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_everything_that_can_be_used_is_reached_by_tab(show: Open, width: int) -> None:
    page = show(example("full"), "light", width).page
    open_all(page)
    wanted = page.evaluate(
        """() => {
        const all = [...document.querySelectorAll('a[href], summary, [tabindex="0"]')];
        all.forEach((one, i) => one.dataset.stop = i);
        return all.length;
    }"""
    )
    assert wanted > 15
    reached = []
    for _ in range(wanted):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.dataset.stop"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert reached == [str(i) for i in range(wanted)]


@pytest.mark.parametrize("kind", ["full", "stopped", "empty", "attacked"])
@pytest.mark.parametrize(("scheme", "width"), [("light", DESKTOP), ("dark", PHONE)])
def test_axe_finds_no_violation_in_the_data_report(show: Open, scheme: Scheme, width: int, kind: str) -> None:
    page = show(example(kind), scheme, width, bypass_csp=True).page  # axe is a script, and the page allows none
    open_all(page)
    options: dict[str, Any] = {"runOnly": {"type": "tag", "values": [*WCAG, "best-practice"]}}
    found = Axe().run(page, options=options)
    assert found.response["violations"] == [], found.generate_report()
    assert {"color-contrast", "document-title"} <= {one["id"] for one in found.response["passes"]}
