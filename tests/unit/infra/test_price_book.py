"""The price book: a rate or an owned device's cost, its date and source; never a price out of nothing."""

import datetime
import re
import tomllib
from pathlib import Path

import pytest

from infra.errors import PriceError
from infra.hardware import hardware_book
from infra.price_book import DevicePrice, PriceBook, load_price_book
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


# ---- kinds, sources, pools

OWNED = """
[pool."amd-slurm"]
tariff_per_kwh = 0.1
pue = 1.5
[pool."amd-slurm".device.h200]
kind = "owned"
capex = 350640
residual = 35064
upkeep = 70128
devices = 8
years = 4
utilisation = 0.5
watts = 700
pays_power = true
[pool."amd-slurm/night".device.h200]
kind = "negotiated"
source = "a contract of this test"
date = 2026-10-15
rate = 1.25
watts = 700
pays_power = false
"""


def book_of(tmp_path: Path, text: str) -> PriceBook:
    (tmp_path / "book.toml").write_text(text)
    return load_price_book(tmp_path / "book.toml")


def test_a_pool_s_own_price_goes_before_the_book_s_and_a_block_s_before_its_pool_s(tmp_path: Path) -> None:
    book = book_of(tmp_path, BOOK + OWNED)
    # (350640 − 35064 + 70128) / (8 devices × 4 years × 8766 h × 0.5) = 385704 / 140256
    assert book.price("h200", "amd-slurm").per_hour == pytest.approx(2.75)
    assert book.price("h200", "amd-slurm/other").kind == "owned"
    assert book.price("h200", "amd-slurm/night").per_hour == 1.25
    assert book.price("h200", "local").per_hour == 3.5
    assert book.power("amd-slurm/night").pue == 1.5
    assert book.power("local").tariff_per_kwh == 0.3


def test_every_price_has_kind_source_and_date_its_own_or_its_book_s(tmp_path: Path) -> None:
    book = book_of(tmp_path, BOOK + OWNED)
    own, inherited = book.price("h200", "amd-slurm/night"), book.price("h200")
    assert (own.kind, own.source, str(own.date)) == ("negotiated", "a contract of this test", "2026-10-15")
    assert (inherited.kind, inherited.source, str(inherited.date)) == ("example", book.source, "2026-11-01")
    listed = book_of(tmp_path, BOOK.replace("date =", 'kind = "list"\ndate =') + OWNED.replace('kind = "owned"\n', ""))
    assert listed.price("h200").kind == "list"
    assert listed.price("h200", "amd-slurm").kind == "owned"  # computed from what it cost, whatever the book lists


@pytest.mark.parametrize(
    ("changed", "to"),
    [
        ('kind = "owned"', 'kind = "list"'),  # nobody lists what one paid
        ('kind = "negotiated"', 'kind = "owned"'),  # nor owns a rate
        ("rate = 1.25", "rate = 1.25\nupkeep = 5"),
        ("residual = 35064", "residual = 500000"),  # the hours would earn money
        ("pue = 1.5", "pue = 0.9"),
        ('source = "a contract of this test"', 'source = "me"'),
        ('kind = "negotiated"', 'kind = "cheap"'),
    ],
)
def test_a_price_that_contradicts_itself_is_refused(changed: str, to: str, tmp_path: Path) -> None:
    assert changed in OWNED
    with pytest.raises(PriceError, match="can't be used"):
        book_of(tmp_path, BOOK + OWNED.replace(changed, to))


def test_what_was_moved_has_a_price_or_is_an_error(tmp_path: Path) -> None:
    book = book_of(tmp_path, BOOK + '[pool.cloud.egress_gb]\nrate = 0.08\nkind = "list"\n')
    assert (book.unit("egress_gb", "cloud").rate, book.unit("egress_gb", "cloud").kind) == (0.08, "list")
    with pytest.raises(PriceError, match="no storage_gb_month for the pool 'cloud'"):
        book.unit("storage_gb_month", "cloud")
    with pytest.raises(PriceError, match="no egress_gb for the pool 'slurm'"):
        book.unit("egress_gb", "slurm")


def test_a_device_hour_with_its_power_and_whether_it_is_an_example(tmp_path: Path) -> None:
    book = book_of(tmp_path, BOOK + OWNED)
    assert float(book.all_in("h200").per_hour) == 3.5
    # 2.75 and 0.7 kW × 1.5 × 0.1; owned, but the tariff is of a book of examples
    hour, example = book.all_in("h200", "amd-slurm")
    assert float(hour) == pytest.approx(2.75 + 0.105)
    assert example
    assert not book.model_copy(update={"kind": "list"}).all_in("h200", "amd-slurm").example


def test_a_book_of_more_than_ninety_days_warns(tmp_path: Path) -> None:
    book = book_of(tmp_path, BOOK)
    assert book.warnings(datetime.date(2027, 1, 30)) == ()
    assert "91 days old" in book.warnings(datetime.date(2027, 1, 31))[0]


def test_the_shipped_book_has_a_marked_price_for_every_accelerator_with_its_board_s_power() -> None:
    book = load_price_book(ROOT / "infra" / "prices" / "2026-11.toml")
    for kind, hardware in hardware_book().device.items():
        assert book.price(kind).watts == hardware.board_watts
        assert book.marks(book.price(kind))
        for name in hardware.names:
            assert book.price(name.lower().replace(" ", "-")) == book.price(kind)  # as a driver spells it
    assert all(book.marks(price) for pool in book.pool.values() for price in pool.device.values())


def test_co2_is_never_assumed(tmp_path: Path) -> None:
    assert book_of(tmp_path, BOOK).power("cloud").co2 is None
    with pytest.raises(PriceError, match="source"):
        book_of(tmp_path, BOOK + "[co2]\nkg_per_kwh = 0.4\ndate = 2026-01-01\n")


def test_the_book_that_the_guide_shows_can_be_used() -> None:
    shown = re.search(r"```toml\n(date = .*?)```", (ROOT / "docs" / "guides" / "cost.md").read_text(), re.DOTALL)
    assert shown is not None
    book = PriceBook.model_validate(tomllib.loads(shown.group(1)))
    assert [book.price("h100", pool).kind for pool in ("local", "nvidia-kubernetes")] == ["negotiated", "spot"]
    assert book.price("mi355x", "amd-slurm/night").kind == "owned"
    assert not book.marks(book.price("mi355x", "amd-slurm"))
