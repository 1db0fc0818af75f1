"""``nightshift bill``: its options, and the call of one function."""

import argparse
from collections.abc import Callable
from pathlib import Path


def add_cost_commands(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    """The options of the command."""
    bill = command("bill", "what nights cost: by outcome, day, tenant and pool, and a promoted model")
    bill.add_argument("--month", metavar="YYYY-MM", help="the nights that began in it, by local time (default: all)")
    bill.add_argument("--tenant", help="nights of this tenant alone")
    bill.add_argument("--pool", help="what was held on this pool alone")
    bill.add_argument("--csv", type=Path, metavar="FILE", help="also write every line, in the columns of FOCUS 1.2")
    bill.add_argument("--json", action="store_true", help="one JSON object")


def _bill(options: argparse.Namespace) -> int:
    from flows.bills import bill

    print(bill(options.month, options.tenant, options.pool, options.csv, json_wanted=options.json))
    return 0


COST: dict[str, Callable[[argparse.Namespace], int]] = {"bill": _bill}
