"""Bills as rows of FOCUS, the FinOps Open Cost and Usage Specification 1.2 (https://focus.finops.org). Pure.

One row a line of a bill. Columns of ours begin with ``x_``, as the specification has it, and come last. Prices of a
unit are given there (``x_Rate``) and not in ListUnitPrice: energy is paid beside the hours, so that price × quantity
isn't the cost. Without a list price the specification has ListCost as billed.
"""

import csv
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime

from tasks.contracts import BillLine
from tasks.cost.kept import KeptBill

COLUMNS = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart",
    "ConsumedQuantity", "ConsumedUnit", "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost",
    "PricingCategory", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "ResourceId", "ResourceName",
    "ResourceType", "ServiceCategory", "ServiceName", "ServiceSubcategory", "SubAccountId", "SubAccountName", "Tags",
)  # fmt: skip
CUSTOM = (
    "x_Night", "x_Recipe", "x_State", "x_Verdict", "x_Version", "x_Step", "x_Attempts", "x_FailedAttempts",
    "x_HeldSeconds", "x_QueueSeconds", "x_Kwh", "x_EnergyEstimated", "x_EnergyMeter", "x_Co2Kg", "x_BusyShare",
    "x_Rate", "x_PriceKind", "x_PriceDate", "x_PriceSource", "x_PriceBook", "x_ExamplePrices",
)  # fmt: skip

# by the kind of price: agreed beforehand, moving, or nobody's
_PRICING = {"list": "Standard", "negotiated": "Standard", "owned": "Standard", "spot": "Dynamic", "example": "Other"}
_UNITS = {"device-hours": "Device-Hours", "GB": "GB", "GB-months": "GB-Months"}
_SERVICES = {
    "device-hours": ("AI and Machine Learning", "Machine Learning"),
    "GB": ("Networking", "Data Transfer"),
    "GB-months": ("Storage", "Other (Storage)"),
}


def to_csv(bills: Sequence[KeptBill], pool: str | None = None) -> str:
    """The header, and a row a line of every bill; lines of one pool where one is named."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*COLUMNS, *CUSTOM))
    for kept in bills:
        for line in kept.lines_on(pool):
            row = _row(kept, line)
            writer.writerow([_plain(row[name]) for name in (*COLUMNS, *CUSTOM)])
    return text.getvalue()


def _row(kept: KeptBill, line: BillLine) -> dict[str, object]:
    cost, quantity, unit = f"{line.amount:.{kept.bill.digits}f}", f"{line.quantity:.6f}", _UNITS[line.unit]
    begun = datetime.fromtimestamp(line.started, UTC) if line.started is not None else _utc(kept.started)
    ended = datetime.fromtimestamp(line.ended, UTC) if line.ended is not None else begun
    first, after = _month(kept)
    category, subcategory = _SERVICES[line.unit]
    tags = {"night": kept.night, "recipe": kept.recipe, "step": line.step, "tenant": kept.tenant}
    return {
        "BilledCost": cost,
        "BillingAccountId": "nightshift",
        "BillingAccountName": "Nightshift",
        "BillingCurrency": kept.bill.currency,
        "BillingPeriodEnd": _stamp(after),
        "BillingPeriodStart": _stamp(first),
        "ChargeCategory": "Usage",
        "ChargeClass": None,
        "ChargeDescription": f"{line.step} of night {kept.night}: {quantity} {line.unit}, {line.device} on {line.pool}"
        + (", example prices" if line.example else ""),
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodEnd": _stamp(ended),
        "ChargePeriodStart": _stamp(begun),
        "ConsumedQuantity": quantity,
        "ConsumedUnit": unit,
        "ContractedCost": cost,
        "EffectiveCost": cost,
        "InvoiceIssuerName": line.pool,
        "ListCost": cost,
        "PricingCategory": "Other" if line.example else _PRICING[line.price_kind],
        "PricingQuantity": quantity,
        "PricingUnit": unit,
        "ProviderName": line.pool,
        "PublisherName": line.pool,
        "ResourceId": f"{line.pool}/{line.device}",
        "ResourceName": line.device,
        "ResourceType": "Accelerator" if line.gpu_hours else "Processor" if unit == "Device-Hours" else unit,
        "ServiceCategory": category,
        "ServiceName": f"Nightshift {line.step}",
        "ServiceSubcategory": subcategory,
        "SubAccountId": kept.tenant,
        "SubAccountName": kept.tenant,
        "Tags": json.dumps(tags),
        "x_Night": kept.night,
        "x_Recipe": kept.recipe,
        "x_State": kept.state,
        "x_Verdict": kept.verdict,
        "x_Version": kept.version,
        "x_Step": line.step,
        "x_Attempts": line.attempts,
        "x_FailedAttempts": line.failed,
        "x_HeldSeconds": f"{line.seconds:.3f}",
        "x_QueueSeconds": f"{line.queue_seconds:.3f}",
        "x_Kwh": f"{line.kwh:.6f}",
        "x_EnergyEstimated": line.estimated,
        "x_EnergyMeter": line.meter,
        "x_Co2Kg": None if line.co2_kg is None else f"{line.co2_kg:.6f}",
        "x_BusyShare": None if line.busy is None else f"{line.busy:.4f}",
        "x_Rate": f"{line.rate:.6f}",
        "x_PriceKind": line.price_kind,
        "x_PriceDate": line.dated,
        "x_PriceSource": line.source,
        "x_PriceBook": kept.bill.price_book,
        "x_ExamplePrices": line.example,
    }


def _plain(value: object) -> object:
    """As a cell: null is empty, true is lower-case, and a text that a spreadsheet would compute stays a text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value


def _month(kept: KeptBill) -> tuple[datetime, datetime]:
    """The night's month, from its first moment to the next one's, in the time zone of the night's start."""
    begun = datetime.fromisoformat(kept.started)
    first = begun.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    after = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    return first, after


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
