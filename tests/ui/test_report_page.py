"""The gate report in a real browser: its pictures, its reach, its text, its keyboard, its contrast."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from tasks.gate.report import report_html
from tests.ui.pages import PHONE, VIEWS, WCAG, Open, Scheme, boxes, contrast, open_all, pictures_with_size, rgb
from tests.unit.gate.report_attack import ATTACK, attacked
from tests.unit.gate.report_examples import EXAMPLES, SUITES, example

pytestmark = [pytest.mark.ui, pytest.mark.timeout(300)]

# where a page shows texts of people and models
TEXTS = (
    "h1", ".paragraph", ".problems li", ".cautions li", ".forest-name b", ".suites th[scope=row]", ".reason td",
    ".limits th[scope=row]", ".noise .broad", ".flipped td.broad", ".flip-head", ".flip .prompt .text",
    ".flip .right .text", ".flip .answers .text", ".charts h3", ".sample .text",
)  # fmt: skip


# ---- pictures


@pytest.mark.parametrize(("scheme", "width"), VIEWS)
def test_every_picture_is_there_and_the_forest_has_its_intervals(show: Open, scheme: Scheme, width: int) -> None:
    opened = show(example("pass", 57), scheme, width)
    suites = len(SUITES)
    assert pictures_with_size(opened.page, "svg.forest-plot") == suites
    assert pictures_with_size(opened.page, "svg.drift") == suites
    assert pictures_with_size(opened.page, "svg.curve") == 3
    assert pictures_with_size(opened.page, "svg.gauge") == suites
    assert pictures_with_size(opened.page, "svg.cost-bar") == 4
    for role in ("champion", "anchor"):
        # a flat line has no height, so its box is looked at by width
        bars = boxes(opened.page, f".forest line.interval.{role}")
        assert len(bars) == suites
        assert all(box["width"] > 4 for box in bars)
        assert pictures_with_size(opened.page, f".forest circle.dot.{role}") == suites
        assert opened.page.locator(f".forest line.limit.{role}:not(.open)").count() == suites


@pytest.mark.parametrize("nights", [0, 1, 29, 364])
@pytest.mark.parametrize(("scheme", "width"), VIEWS)
def test_drift_is_drawn_after_any_number_of_nights(show: Open, scheme: Scheme, width: int, nights: int) -> None:
    page = show(example("pass", nights), scheme, width).page
    assert pictures_with_size(page, "svg.drift circle.tonight") == len(SUITES)
    assert all(frame["width"] >= 300 for frame in boxes(page, "svg.drift"))
    words = boxes(page, "svg.drift text")
    assert len(words) > 5 * len(SUITES)
    for box in words:  # they stay on the page, though some may reach a little out of their picture
        assert box["left"] >= 0
        assert box["right"] <= width
        assert box["height"] >= 12


@pytest.mark.parametrize(("scheme", "width"), VIEWS)
def test_dots_and_lines_have_a_colour_that_is_seen_on_the_page(show: Open, scheme: Scheme, width: int) -> None:
    """WCAG 1.4.11: what a picture says has a contrast of 3 to 1 with what is behind it. axe looks at text only."""
    page = show(example("pass", 364), scheme, width).page
    found = page.evaluate(
        """() => {
        const paper = getComputedStyle(document.body).backgroundColor;
        const marks = ['.interval.champion', '.interval.anchor', '.limit.champion', '.drift .anchor',
            '.drift .served', '.drift .lifetime', '.drift .budget', '.drift .champion', '.curve .mean',
            '.drift .tonight', '.gauge .half'];
        const drawn = one => document.querySelector('main figure ' + one) || document.querySelector(one);
        return [paper, marks.map(one => [one, getComputedStyle(drawn(one)).stroke])];
    }"""
    )
    paper, marks = found
    assert len(marks) == 11
    for name, stroke in marks:
        assert contrast(rgb(paper), rgb(stroke)) >= 3, f"{name}: {stroke} on {paper}"


def test_dark_is_dark_and_light_is_light(show: Open) -> None:
    papers = {
        scheme: show(example("pass"), scheme).page.evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    }
    assert contrast(rgb(papers["light"]), (0, 0, 0)) > 15
    assert contrast(rgb(papers["dark"]), (255, 255, 255)) > 15


# ---- reach


@pytest.mark.parametrize("kind", EXAMPLES)
@pytest.mark.parametrize(("scheme", "width"), VIEWS)
def test_nothing_is_asked_for_and_nothing_is_complained_about(
    show: Open, scheme: Scheme, width: int, kind: str
) -> None:
    opened = show(example(kind), scheme, width)
    open_all(opened.page)
    opened.page.wait_for_timeout(100)
    assert opened.requests == [opened.page.url]
    assert opened.console == []


def test_the_page_forbids_requests_and_scripts_even_where_something_got_in(show: Open) -> None:
    """The content policy by itself: with the escaping taken away, a script and a picture are refused."""
    pierced = example("pass").replace(
        "</main>", "<script>document.title = 'run'</script><img src='https://evil.example/x.png'></main>"
    )
    opened = show(pierced)
    opened.page.wait_for_timeout(200)
    assert opened.page.title() != "run"
    # the browser tells of a picture that it was asked for, and that the policy kept it from asking
    assert opened.refused == ["https://evil.example/x.png csp"]
    assert sum("Content Security Policy" in line for line in opened.console) >= 2


# ---- untrusted text


@pytest.mark.parametrize(("scheme", "width"), VIEWS)
def test_a_script_in_any_text_stays_text_and_the_page_keeps_its_form(show: Open, scheme: Scheme, width: int) -> None:
    opened = show(report_html(**attacked()), scheme, width)
    page = opened.page
    open_all(page)
    page.wait_for_timeout(100)
    assert opened.console == []
    assert opened.requests == [page.url]
    assert page.locator("script, img, iframe, object, form").count() == 0
    for place in TEXTS:
        shown = page.locator(place).first
        assert "<script>alert(1)</script>" in shown.inner_text(), place
    assert ATTACK in page.locator(".flip .answers .text").first.inner_text()
    assert "<script>" in (page.locator("svg.drift").first.get_attribute("aria-label") or "")
    assert page.locator("main > section").count() == 10
    assert page.evaluate("document.documentElement.scrollWidth") <= width


# ---- width


@pytest.mark.parametrize("kind", EXAMPLES)
@pytest.mark.parametrize(("scheme", "width"), VIEWS)
def test_the_page_never_scrolls_sideways_and_wide_tables_scroll_in_regions_of_their_own(
    show: Open, scheme: Scheme, width: int, kind: str
) -> None:
    page = show(example(kind, 364), scheme, width).page
    open_all(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    stray = page.evaluate(
        """width => [...document.querySelectorAll('main *')]
        .filter(one => one.getBoundingClientRect().right > width + 1 && !one.closest('.scroll') && !one.closest('svg'))
        .map(one => one.outerHTML.slice(0, 80))""",
        width,
    )
    assert stray == []
    for region in page.locator(".scroll").all():
        assert region.get_attribute("tabindex") == "0"
        assert region.get_attribute("role") == "region"
        heading = region.get_attribute("aria-labelledby")
        named = page.locator(f"#{heading}").inner_text() if heading else region.get_attribute("aria-label") or ""
        assert named.strip()


def test_on_a_phone_the_suites_are_cards_that_need_no_scrolling(show: Open) -> None:
    page = show(example("fail"), "light", PHONE).page
    table = page.locator("table.suites")
    assert table.evaluate("one => one.scrollWidth <= one.parentElement.clientWidth")
    card = table.locator("tbody").first
    assert card.locator("td[data-label='lower bound']").evaluate(
        "one => getComputedStyle(one, '::before').content"
    ) == ('"lower bound"')
    assert page.locator("body").evaluate("one => parseFloat(getComputedStyle(one).fontSize)") >= 15


# ---- keyboard


@pytest.mark.parametrize("kind", ["pass", "block"])
@pytest.mark.parametrize(("scheme", "width"), VIEWS)
def test_everything_that_can_be_used_is_reached_by_tab(show: Open, scheme: Scheme, width: int, kind: str) -> None:
    page = show(example(kind, 364), scheme, width).page
    open_all(page)
    wanted = page.evaluate(
        """() => {
        const all = [...document.querySelectorAll('a[href], summary, [tabindex="0"]')];
        all.forEach((one, i) => one.dataset.stop = i);
        return all.length;
    }"""
    )
    assert wanted > 20
    # whatever really scrolls must be one of them
    assert page.evaluate(
        """() => [...document.querySelectorAll('main *')].filter(one => one.scrollWidth > one.clientWidth + 1
        && ['auto', 'scroll'].includes(getComputedStyle(one).overflowX) && one.dataset.stop === undefined).length"""
    ) == 0  # fmt: skip
    reached = []
    for _ in range(wanted):
        page.keyboard.press("Tab")
        stop, outline = page.evaluate(
            """() => [document.activeElement.dataset.stop, getComputedStyle(document.activeElement).outlineStyle]"""
        )
        reached.append(stop)
        assert outline != "none", f"the focus on stop {stop} can't be seen"
    assert reached == [str(i) for i in range(wanted)]


def test_the_skip_link_is_first_and_leads_to_the_verdict(show: Open) -> None:
    page = show(example("pass")).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the verdict"
    box = page.locator(".skip").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    page.keyboard.press("Enter")
    assert page.url.endswith("#verdict")
    assert page.evaluate("document.activeElement.id") == "verdict"


def test_a_closed_list_opens_by_keyboard(show: Open) -> None:
    page = show(example("pass")).page
    summary = page.locator("summary", has_text="more lost")
    hidden = summary.locator("xpath=..").locator(".flip").first
    assert not hidden.is_visible()
    summary.focus()
    page.keyboard.press("Enter")
    assert hidden.is_visible()


# ---- axe-core


@pytest.mark.parametrize("kind", [*EXAMPLES, "attack"])
@pytest.mark.parametrize(("scheme", "width"), VIEWS)
def test_axe_finds_no_violation_of_wcag_2_a_and_aa(show: Open, scheme: Scheme, width: int, kind: str) -> None:
    html = report_html(**attacked()) if kind == "attack" else example(kind)
    page = show(html, scheme, width, bypass_csp=True).page  # axe is a script, and the page allows none
    open_all(page)
    options: dict[str, Any] = {"runOnly": {"type": "tag", "values": [*WCAG, "best-practice"]}}
    found = Axe().run(page, options=options)
    assert found.response["violations"] == [], found.generate_report()
    passed = {one["id"] for one in found.response["passes"]}
    assert {"color-contrast", "svg-img-alt", "document-title", "html-has-lang"} <= passed
