"""Dated price books: what a device costs per hour, and where the figure is from."""

import datetime
import tomllib
from pathlib import Path

from pydantic import Field, ValidationError, model_validator

from infra.digest import Record
from infra.errors import PriceError

HOURS_PER_YEAR = 8766.0


class DevicePrice(Record):
    """Either a rate per device-hour (rented), or capex, years and utilisation (owned)."""

    rate: float | None = Field(default=None, ge=0)
    capex: float | None = Field(default=None, ge=0)
    years: float | None = Field(default=None, gt=0)
    utilisation: float | None = Field(default=None, gt=0, le=1)
    watts: float = Field(gt=0)
    pays_power: bool

    @model_validator(mode="after")
    def _one_form(self) -> "DevicePrice":
        owned = [value is not None for value in (self.capex, self.years, self.utilisation)]
        if any(owned) if self.rate is not None else not all(owned):
            raise ValueError("give either rate, or capex with years and utilisation")
        return self

    @property
    def per_hour(self) -> float:
        """Money per device-hour without power. Owned: capex over the hours of real use."""
        if self.rate is not None:
            return self.rate
        assert self.capex is not None  # these three by _one_form
        assert self.years is not None
        assert self.utilisation is not None
        return self.capex / (self.years * HOURS_PER_YEAR * self.utilisation)


class PriceBook(Record):
    date: datetime.date
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    source: str = Field(min_length=10)
    tariff_per_kwh: float = Field(ge=0)
    device: dict[str, DevicePrice]

    def price(self, kind: str) -> DevicePrice:
        """The price of a device kind.

        Raises:
            PriceError: the book has none. A missing price is never taken as zero.
        """
        if kind not in self.device:
            raise PriceError(
                f"the price book of {self.date} has no device {kind!r}, only {sorted(self.device)}",
                do=f'add [device."{kind}"] to a copy of it and set NIGHTSHIFT_PRICE_BOOK',
            )
        return self.device[kind]


def load_price_book(path: Path) -> PriceBook:
    try:
        return PriceBook.model_validate(tomllib.loads(path.read_text()))
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise PriceError(
            f"the price book {path} can't be used: {error}", do="mend it, or unset NIGHTSHIFT_PRICE_BOOK"
        ) from None
