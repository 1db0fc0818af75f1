"""The bill's page: every figure with its mark, nothing from elsewhere, nothing that runs."""

import re

from tasks.cost.page import bill_html
from tests.unit.cost.bills import bill, kept, line

ATTACK = "<script>alert(1)</script>\"'&"


def text(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.partition("</style>")[2]))


def test_the_page_shows_lines_total_and_where_prices_are_from() -> None:
    planned = line(peak_memory_bytes=70_100_000_000, planned_memory_bytes=64_000_000_000)
    score = line("score", 2.35, estimated=True, meter=None, busy=None)
    shown = text(bill_html(kept("night-1", planned, score)))
    for part in ("12.35 EUR", "10.00 EUR", "2.35 EUR", "measured (zeus)", "estimated is board power × time",
                 "2026-11-03 02:00 (+01:00)", "75 % 25 %",
                 "70.1 GB", "64.0 GB", "h200 on cloud", "2.5000 EUR a device-hour", "list", "a price list",
                 "2026-11-01", "not billed", "tenant shop"):  # fmt: skip
        assert part in shown, part


def test_an_example_price_marks_its_line_the_total_the_tile_and_the_title() -> None:
    page = bill_html(kept("n", line(example=True, price_kind="example"), line("score", 1.0)))
    assert page.count('<span class="mark">example</span>') == 2  # the line and the total, not the other line
    assert "11.00 EUR (example prices)" in page.partition("</title>")[0]
    assert "nobody’s" in page
    assert "example prices" in text(page).partition("By step")[0]
    assert "example" not in text(bill_html(kept("n", line(), line("score", 1.0))))


def test_a_figure_that_nobody_has_is_a_dash_and_never_nothing() -> None:
    shown = text(bill_html(kept("n", line())))
    assert "CO₂ – the price book has no figure" in shown
    assert "1.120 kg" in text(bill_html(kept("n", bill=bill(line(co2_kg=1.12), co2_kg=1.12))))


def test_warnings_are_shown() -> None:
    assert "91 days old" in text(bill_html(kept("n", bill=bill(line(), warnings=("the book is 91 days old",)))))


def test_a_night_that_held_nothing_has_a_page() -> None:
    assert "Nothing was held." in text(bill_html(kept("n", state="Failed", verdict=None, version=None)))


def test_nothing_on_the_page_runs_or_is_loaded_from_elsewhere() -> None:
    bad = line(ATTACK, device=ATTACK, pool=ATTACK, source=ATTACK, dated=ATTACK, meter=ATTACK)
    page = bill_html(kept("n", bill=bill(bad, warnings=(ATTACK,), price_book=ATTACK, source=ATTACK), state=ATTACK))
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 8
    assert "default-src 'none'" in page
    assert not re.search(r"(src|href)=|url\(|@import", page)
