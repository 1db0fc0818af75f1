"""The export in the columns of FOCUS 1.2."""

import csv
import io
import json
import re
from decimal import Decimal

from tasks.cost.focus import COLUMNS, CUSTOM, to_csv
from tests.unit.cost.bills import bill, kept, line

# of the specification's cost and usage dataset: must be there, and only these may be null
MANDATORY = """
BilledCost BillingAccountId BillingAccountName BillingCurrency BillingPeriodEnd BillingPeriodStart ChargeCategory
ChargeClass ChargeDescription ChargePeriodEnd ChargePeriodStart ContractedCost EffectiveCost InvoiceIssuerName ListCost
PricingQuantity PricingUnit ProviderName PublisherName ServiceCategory ServiceName
""".split()
NULLABLE = {"ChargeClass"}


def rows(*nights, pool: str | None = None) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(nights, pool))))


def test_the_mandatory_columns_are_there_and_filled_and_custom_ones_come_last_with_their_mark() -> None:
    assert set(MANDATORY) <= set(COLUMNS)
    assert list(COLUMNS) == sorted(COLUMNS)
    assert all(name.startswith("x_") for name in CUSTOM)
    (row,) = rows(kept("n", line()))
    assert list(row) == [*COLUMNS, *CUSTOM]
    assert all(row[name] for name in COLUMNS if name not in NULLABLE)
    assert row["ChargeClass"] == ""  # no correction


def test_a_row_a_line_whose_costs_add_up_to_the_bills() -> None:
    nights = [kept("a", line(amount=10.0), line("score", 2.35)), kept("b", line(amount=0.05))]
    found = rows(*nights)
    assert len(found) == 3
    assert sum(Decimal(row["BilledCost"]) for row in found) == Decimal("12.40")
    for row in found:
        assert row["BilledCost"] == row["EffectiveCost"] == row["ContractedCost"] == row["ListCost"]


def test_times_are_utc_and_the_period_is_the_local_month_of_the_night() -> None:
    late = kept("n", line(), started="2026-12-31T23:00:00-05:00")
    (row,) = rows(late)
    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == ("2026-12-01T05:00:00Z", "2027-01-01T05:00:00Z")
    assert row["ChargePeriodStart"] == "2026-11-03T02:00:00Z"
    assert row["ChargePeriodEnd"] == "2026-11-03T03:00:00Z"
    stamps = [row[name] for name in COLUMNS if name.endswith(("PeriodStart", "PeriodEnd"))]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", stamp) for stamp in stamps)


def test_values_are_of_those_that_the_specification_allows() -> None:
    kinds = {"list": "Standard", "negotiated": "Standard", "owned": "Standard", "spot": "Dynamic", "example": "Other"}
    for kind, category in kinds.items():
        (row,) = rows(kept("n", line(price_kind=kind, example=kind == "example")))
        assert row["PricingCategory"] == category
    moved = line(unit="GB", device="egress", gpu_hours=0.0)
    stored = line(unit="GB-months", device="storage", gpu_hours=0.0)
    services = [
        (row["ServiceCategory"], row["ServiceSubcategory"], row["PricingUnit"])
        for row in rows(kept("n", line(), moved, stored))
    ]
    assert services == [
        ("AI and Machine Learning", "Machine Learning", "Device-Hours"),
        ("Networking", "Data Transfer", "GB"),
        ("Storage", "Other (Storage)", "GB-Months"),
    ]
    assert {row["ChargeCategory"] for row in rows(kept("n", line()))} == {"Usage"}


def test_an_example_price_is_marked_in_the_row() -> None:
    (row,) = rows(kept("n", line(example=True, price_kind="owned")))
    assert (row["x_ExamplePrices"], row["PricingCategory"]) == ("true", "Other")
    assert "example prices" in row["ChargeDescription"]
    assert rows(kept("n", line()))[0]["x_ExamplePrices"] == "false"


def test_tags_and_accounts_say_whose_it_is() -> None:
    (row,) = rows(kept("n", line()))
    assert json.loads(row["Tags"]) == {"night": "n", "recipe": "support", "step": "align", "tenant": "shop"}
    assert (row["SubAccountId"], row["ProviderName"]) == ("shop", "cloud")


def test_only_the_lines_of_a_pool_where_one_is_named() -> None:
    assert [row["x_Step"] for row in rows(kept("n", line(), line("score", 1.0, pool="local")), pool="local")] == [
        "score"
    ]


def test_a_text_that_a_spreadsheet_would_compute_stays_a_text() -> None:
    (row,) = rows(kept("n", bill=bill(line(source="=1+1", meter="@x"))))
    assert (row["x_PriceSource"], row["x_EnergyMeter"]) == ("'=1+1", "'@x")


def test_a_line_that_never_held_anything_begins_with_its_night() -> None:
    (row,) = rows(kept("n", line(started=None, ended=None)))
    assert row["ChargePeriodStart"] == row["ChargePeriodEnd"] == "2026-11-03T01:00:00Z"


def test_a_pool_s_kind_names_all_its_blocks() -> None:
    night = kept("n", line("a", pool="cloud/spot"), line("b", pool="cloud"), line("c", pool="cloudy"))
    assert [row["x_Step"] for row in rows(night, pool="cloud")] == ["a", "b"]
    assert [row["x_Step"] for row in rows(night, pool="cloud/spot")] == ["a"]
