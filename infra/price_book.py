"""Dated price books: what a device costs per hour on a pool, and where the figure is from (docs/design/cost.md).

Figures are floats as the file writes them; money is computed from their decimal text (``exact``), never in binary.
"""

import datetime
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from pydantic import Field, ValidationError, model_validator

from infra.digest import Record
from infra.errors import PriceError
from infra.hardware import hardware_book

HOURS_PER_YEAR = 8766.0
OLD_DAYS = 90

# `owned` is computed from what a device cost; what is an `example` marks every amount that it goes into
Kind = Literal["list", "negotiated", "spot", "owned", "example"]


def exact(value: float) -> Decimal:
    """The number as it is written: 0.1 is a tenth."""
    return Decimal(str(value))


class Quoted(Record):
    """Where a price is from; what is unset is as its book has it, and a book that doesn't say quotes examples."""

    kind: Kind | None = None
    source: str | None = Field(default=None, min_length=10)
    date: datetime.date | None = None


Price = TypeVar("Price", bound=Quoted)


class DevicePrice(Quoted):
    """Either a rate per device-hour (rented), or what a device cost and how long it is used (owned).

    Attributes:
        capex, residual, upkeep: of all ``devices`` together; upkeep (place, network, staff) over all ``years``.
        utilisation: share of all hours in which they work.
        watts: of one device while it works; used where no meter measures energy.
        pays_power: whether energy is paid beside the hours.
    """

    rate: float | None = Field(default=None, ge=0)
    capex: float | None = Field(default=None, ge=0)
    residual: float = Field(default=0.0, ge=0)
    upkeep: float = Field(default=0.0, ge=0)
    devices: int = Field(default=1, ge=1)
    years: float | None = Field(default=None, gt=0)
    utilisation: float | None = Field(default=None, gt=0, le=1)
    watts: float = Field(gt=0)
    pays_power: bool

    @model_validator(mode="after")
    def _one_form(self) -> "DevicePrice":
        owned = [value is not None for value in (self.capex, self.years, self.utilisation)]
        if any(owned) if self.rate is not None else not all(owned):
            raise ValueError("give either rate, or capex with years and utilisation")
        if self.rate is not None and (self.residual or self.upkeep or self.devices > 1 or self.kind == "owned"):
            raise ValueError("residual, upkeep, devices and the kind `owned` belong to capex, not to a rate")
        if self.capex is not None and self.kind not in (None, "owned", "example"):
            raise ValueError(f"a price computed from capex is `owned` (or an `example`), not {self.kind!r}")
        if self.capex is not None and not self.residual <= self.capex + self.upkeep:
            raise ValueError(f"residual {self.residual} is more than what it all cost: the hours would earn money")
        return self

    @property
    def exact_per_hour(self) -> Decimal:
        """Money per device-hour without power. Owned: (capex − residual + upkeep) over the hours of real use."""
        if self.rate is not None:
            return exact(self.rate)
        assert self.capex is not None  # these three by _one_form
        assert self.years is not None
        assert self.utilisation is not None
        spent = exact(self.capex) - exact(self.residual) + exact(self.upkeep)
        return spent / (self.devices * exact(self.years) * exact(HOURS_PER_YEAR) * exact(self.utilisation))

    @property
    def per_hour(self) -> float:
        return float(self.exact_per_hour)


class UnitPrice(Quoted):
    """What a GB costs: moved out of a pool, or kept there for a month."""

    rate: float = Field(ge=0)


class TokenPrice(Quoted):
    """What serving costs."""

    rate: float = Field(ge=0, description="a million generated tokens")


class Carbon(Record):
    """How much CO2 a kWh stands for: always dated and sourced, never assumed."""

    kg_per_kwh: float = Field(ge=0)
    source: str = Field(min_length=10)
    date: datetime.date


class PoolPrices(Record):
    """What is otherwise on one pool; what is unset is as the book has it for all."""

    tariff_per_kwh: float | None = Field(default=None, ge=0)
    pue: float | None = Field(default=None, ge=1)
    co2: Carbon | None = None
    egress_gb: UnitPrice | None = None
    storage_gb_month: UnitPrice | None = None
    device: dict[str, DevicePrice] = Field(default_factory=dict)


class Power(Record):
    """What energy costs on one pool; ``pue`` is the place's kWh a device's kWh."""

    tariff_per_kwh: float
    pue: float
    co2: Carbon | None


class AllIn(NamedTuple):
    """A device-hour with its power, and whether an example went into it."""

    per_hour: Decimal
    example: bool


class PriceBook(Record):
    """One file of prices.

    Attributes:
        kind: of the tariff, and of every price that doesn't say its own; a book that doesn't say has examples.
        digits: decimals that amounts are rounded to; 2 are cents.
        serving: for what answers cost; None: no such figure is given.
    """

    date: datetime.date
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    source: str = Field(min_length=10)
    kind: Literal["list", "negotiated", "spot", "example"] = "example"
    digits: int = Field(default=2, ge=2, le=6)
    tariff_per_kwh: float = Field(ge=0)
    pue: float = Field(default=1.0, ge=1)
    co2: Carbon | None = None
    serving: TokenPrice | None = None
    device: dict[str, DevicePrice]
    pool: dict[str, PoolPrices] = Field(default_factory=dict)

    def price(self, kind: str, pool: str = "") -> DevicePrice:
        """The price of a device kind on a pool, with its kind, source and date.

        Args:
            kind: as the book or as a driver spells it (`h200`, `nvidia-h200`).
            pool: a pool's kind, or ``KIND/BLOCK``; the block's own price goes before its kind's, and that before all.

        Raises:
            PriceError: the book has none. A missing price is never taken as zero.
        """
        kind = self._spelled(kind)
        for devices in (*(prices.device for prices in self._of(pool)), self.device):
            if kind in devices:
                return self._quoted(devices[kind])
        raise PriceError(
            f"the price book of {self.date} has no device {kind!r}, only {sorted(self.device)}",
            do=f'add [device."{kind}"] to a copy of it and set NIGHTSHIFT_PRICE_BOOK',
        )

    def all_in(self, kind: str, pool: str = "") -> AllIn:
        """What a device-hour costs with the power it draws by the book: for forecasts, and while nothing is metered."""
        price, power = self.price(kind, pool), self.power(pool)
        hour = price.exact_per_hour
        if price.pays_power:
            hour += exact(price.watts) / 1000 * exact(power.pue) * exact(power.tariff_per_kwh)
        return AllIn(hour, self.marks(price))

    def marks(self, price: DevicePrice) -> bool:
        """Whether amounts of this price are examples. A tariff has its book's kind."""
        return price.kind == "example" or (price.pays_power and self.kind == "example")

    def power(self, pool: str = "") -> Power:
        """What energy costs on a pool."""
        found: dict[str, object] = {"tariff_per_kwh": self.tariff_per_kwh, "pue": self.pue, "co2": self.co2}
        for prices in reversed(self._of(pool)):
            found |= {name: value for name in found if (value := getattr(prices, name)) is not None}
        return Power.model_validate(found)

    def unit(self, what: Literal["egress_gb", "storage_gb_month"], pool: str) -> UnitPrice:
        """What a GB costs on a pool.

        Raises:
            PriceError: the book has no such price for the pool.
        """
        for prices in self._of(pool):
            if (found := getattr(prices, what)) is not None:
                return self._quoted(found)
        raise PriceError(
            f"the price book of {self.date} has no {what} for the pool {pool!r}, and the pool used some",
            do=f'add [pool."{pool}".{what}] with its rate (0 where it is free) to a copy and set NIGHTSHIFT_PRICE_BOOK',
        )

    def serving_price(self) -> TokenPrice | None:
        return self._quoted(self.serving) if self.serving else None

    def warnings(self, night: datetime.date) -> tuple[str, ...]:
        """What makes amounts of that night doubtful: a book that was too old by then."""
        age = (night - self.date).days
        if age > OLD_DAYS:
            return (f"the price book of {self.date} is {age} days old (more than {OLD_DAYS}): prices have moved since",)
        return ()

    def _of(self, pool: str) -> list[PoolPrices]:
        names = [pool, pool.partition("/")[0]] if "/" in pool else [pool]
        return [self.pool[name] for name in names if name in self.pool]

    def _spelled(self, kind: str) -> str:
        """As the book spells it, where the name is a driver's."""
        if kind in self.device or any(kind in prices.device for prices in self.pool.values()):
            return kind
        for known, hardware in hardware_book().device.items():
            if kind in {name.lower().replace(" ", "-") for name in hardware.names}:
                return known
        return kind

    def _quoted(self, price: Price) -> Price:
        own = isinstance(price, DevicePrice) and price.capex is not None
        kind = price.kind or ("owned" if own and self.kind != "example" else self.kind)
        return price.model_copy(
            update={"kind": kind, "source": price.source or self.source, "date": price.date or self.date}
        )


def load_price_book(path: Path) -> PriceBook:
    try:
        return PriceBook.model_validate(tomllib.loads(path.read_text()))
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise PriceError(
            f"the price book {path} can't be used: {error}", do="mend it, or unset NIGHTSHIFT_PRICE_BOOK"
        ) from None
