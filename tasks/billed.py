"""The records of a bill, and of what became of what was paid for. Shared through ``tasks.contracts``."""

from typing import Literal

from infra.digest import Record


class BillLine(Record):
    """What one step cost on one kind of device of one pool, over all its attempts; or what it moved or kept there.

    Attributes:
        seconds: held, from allocation to release; ``queue_seconds`` of waiting are not billed.
        quantity, unit: what the price is of: device-hours, GB, GB-months.
        kwh: at the device; ``estimated`` where a part of it is board power × time, by ``meter`` where it isn't.
        co2_kg: None where the book has no figure for it.
        amount: in units of the bill's ``digits``: the lines' amounts add up to the bill's.
        example: a price that is an example went into it.
        busy: share of held device time in which devices worked; None: nothing measured it.
        price_kind, rate, source, dated: the price of a unit, as the book quotes it.
        started, ended: from the first to the last moment held, seconds since the epoch.
    """

    step: str
    attempts: int
    failed: int
    device: str
    seconds: float
    device_hours: float
    kwh: float
    amount: float
    estimated: bool
    pool: str = "local"
    gpu_hours: float = 0.0
    allocations: int = 0
    unit: str = "device-hours"
    quantity: float = 0.0
    rate: float = 0.0
    price_kind: str = "example"
    source: str = ""
    dated: str = ""
    example: bool = False
    meter: str | None = None
    co2_kg: float | None = None
    queue_seconds: float = 0.0
    busy: float | None = None
    peak_memory_bytes: int | None = None
    planned_memory_bytes: int | None = None
    started: float | None = None
    ended: float | None = None


class Bill(Record):
    """What the night cost so far: all attempts, priced from a dated book. ``digits``: decimals of its amounts."""

    lines: tuple[BillLine, ...]
    device_hours: float
    gpu_hours: float
    kwh: float
    amount: float
    currency: str
    estimated: bool
    price_book: str
    source: str
    digits: int = 4
    example: bool = False
    co2_kg: float | None = None
    queue_seconds: float = 0.0
    warnings: tuple[str, ...] = ()


class Fate(Record):
    """What became of a registered version, for the month's bill.

    Attributes:
        approval: the registry's tag.
        promoted: ISO time from which it first served; None: it never did.
        newest: ISO time of the newest preference it was made from; ``missing`` says why there is none.
    """

    recipe: str
    version: int
    approval: str | None = None
    promoted: str | None = None
    newest: str | None = None
    missing: str = ""


class AnswerLength(Record):
    """Mean length of the answers that a model gave the gate, in tokens of its own tokenizer."""

    recipe: str
    version: int  # whose night it was
    role: Literal["candidate", "champion"]
    answers: int
    tokens: float
