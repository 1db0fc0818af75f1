"""The price book: a rate or an owned device's cost, its date and source; never a price out of nothing."""

from pathlib import Path

import pytest

from infra.errors import PriceError
from infra.price_book import DevicePrice, load_price_book
from infra.settings import ROOT

BOOK = """
date = 2026-11-01
currency = "EUR"
source = "a price list somebody can look up"
tariff_per_kwh = 0.3
[device."h200"]
rate = 3.5
watts = 700
pays_power = false
"""


def test_the_shipped_book_prices_a_cpu_and_says_where_from() -> None:
    book = load_price_book(ROOT / "infra" / "prices" / "2026-11.toml")
    assert book.price("cpu").per_hour > 0
    assert len(book.source) > 10


def test_an_owned_device_costs_its_capex_over_the_hours_it_is_used() -> None:
    # 8766 money over one year used half the time: 2 an hour
    price = DevicePrice(capex=8766, years=1, utilisation=0.5, watts=100, pays_power=True)
    assert price.per_hour == pytest.approx(2.0)


def test_a_rented_device_costs_its_rate(tmp_path: Path) -> None:
    (tmp_path / "book.toml").write_text(BOOK)
    assert load_price_book(tmp_path / "book.toml").price("h200").per_hour == 3.5


def test_a_device_without_a_price_is_an_error_and_not_free(tmp_path: Path) -> None:
    (tmp_path / "book.toml").write_text(BOOK)
    with pytest.raises(PriceError, match=r"no device 'mi355x', only \['h200'\]") as refused:
        load_price_book(tmp_path / "book.toml").price("mi355x")
    assert '[device."mi355x"]' in refused.value.do


@pytest.mark.parametrize(
    ("changed", "to"),
    [
        ("rate = 3.5", ""),  # no price at all
        ("rate = 3.5", "rate = 3.5\ncapex = 1000"),  # a form and a half
        ("rate = 3.5", "rate = 3.5\ncapex = 1000\nyears = 3\nutilisation = 0.5"),  # two forms
        ("rate = 3.5", "capex = 1000\nyears = 3"),  # half a form
        ("rate = 3.5", "rate = -1"),
        ("rate = 3.5", "rate = nan"),
        ("watts = 700", "watts = 0"),
        ("watts = 700", "watts = 700\ncolour = 1"),
        ('currency = "EUR"', 'currency = "euro"'),
        ("date = 2026-11-01", ""),
        ('source = "a price list somebody can look up"', 'source = "me"'),
        ("tariff_per_kwh = 0.3", "tariff_per_kwh = "),
    ],
)
def test_a_book_that_does_not_add_up_is_refused(changed: str, to: str, tmp_path: Path) -> None:
    assert changed in BOOK
    (tmp_path / "book.toml").write_text(BOOK.replace(changed, to))
    with pytest.raises(PriceError, match="can't be used"):
        load_price_book(tmp_path / "book.toml")


def test_a_missing_book_names_its_path(tmp_path: Path) -> None:
    with pytest.raises(PriceError, match=r"none\.toml"):
        load_price_book(tmp_path / "none.toml")
