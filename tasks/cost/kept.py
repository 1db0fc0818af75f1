"""Bills that are kept, also of nights that failed or were skipped: ``HOME/bills/YYYY-MM/NIGHT.json``."""

import re
from datetime import date, datetime
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from infra.digest import Digest, Record
from infra.files import write_whole
from tasks.contracts import Bill, BillLine
from tasks.errors import BillError

# states of bills that are of no night: of a portability receipt, of one training of a comparison
RECEIPT = "Receipt"
COMPARISON = "Comparison"
APART = frozenset({RECEIPT, COMPARISON})
MONTH = r"\d{4}-(0[1-9]|1[0-2])"


class KeptBill(Record):
    """What one night cost, and what became of it.

    Attributes:
        state, verdict: as in the night's summary; a night that failed has no verdict.
        version: what it registered.
        started, ended: ISO times with their offset: of the first step's start, and of this bill.
        month_budget: the recipe's ``budget.max_month_amount`` then; bills of before it was kept have none.
    """

    form: Literal["nightshift/bill/1"] = "nightshift/bill/1"
    night: str
    id: Digest
    recipe: str
    tenant: str
    pool: str
    state: str
    verdict: str | None = None
    version: int | None = None
    started: str
    ended: str
    bill: Bill
    month_budget: float | None = None

    @property
    def month(self) -> str:
        """The local month in which the night began: it counts there as a whole."""
        return self.started[:7]

    @property
    def day(self) -> date:
        return datetime.fromisoformat(self.started).date()

    def lines_on(self, pool: str | None) -> list[BillLine]:
        """Its lines on a pool: of a pool's kind, those of all its blocks; all where none is named."""
        return [
            line for line in self.bill.lines if pool is None or line.pool == pool or line.pool.startswith(f"{pool}/")
        ]


def keep(home: Path, kept: KeptBill) -> Path:
    """Write or replace a night's bill: whole or not at all, and on disk when this returns."""
    path = home / "bills" / kept.month / f"{kept.night}.json"
    write_whole(path, kept.model_dump_json(indent=1) + "\n")
    return path


def read_bills(home: Path, month: str | None = None) -> list[KeptBill]:
    """The bills of a month, or all, in order of the nights' starts.

    Raises:
        BillError: the month isn't one, or a file can't be read; a bill that is left out would make a month cheaper.
    """
    if month is not None and not re.fullmatch(MONTH, month):
        raise BillError(f"{month!r} is no month", do="write it like 2026-11")
    found = [read_bill(path) for path in bill_files(home, month or "*")]
    return sorted(found, key=lambda kept: (datetime.fromisoformat(kept.started), kept.night))


def bill_files(home: Path, month: str = "*") -> list[Path]:
    """Every kept bill's file, readable or not."""
    return sorted((home / "bills").glob(f"{month}/[!.]*.json"))


def read_bill(path: Path) -> KeptBill:
    """One of them.

    Raises:
        BillError: it can't be read.
    """
    try:
        return KeptBill.model_validate_json(path.read_text())
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise BillError(
            f"the bill {path} can't be read: {str(error).splitlines()[0]}",
            do="run its night again (finished steps are reused), or move the file away: then its money is missing",
        ) from None
