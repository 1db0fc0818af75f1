"""rotate: a person lets fresh items in before the plan does; the ledger says who, when and why."""

import getpass
from datetime import UTC, datetime
from pathlib import Path

from infra.ledger import append, ledger_path
from tasks.errors import SuiteError
from tasks.gate.items import bank_at, folders
from tasks.gate.suites import Bank
from tasks.recipe import Recipe


def rotate_by_hand(recipe: Recipe, root: Path, home: Path, names: tuple[str, ...], reason: str) -> str:
    """Note a rotation of these suites, or of all that have a rotation plan.

    Raises:
        SuiteError: a suite isn't the recipe's, has no rotation plan, or nothing would be rotated.
    """
    if not reason.strip():
        raise SuiteError("a rotation needs a reason", do="say why: nightshift gate rotate RECIPE --reason '...'")
    banks = {name: bank_at(name, path, root) for name, (path, _) in folders(recipe.gate).items()}
    chosen = choose(names, banks)
    body = {"suites": list(chosen), "by": getpass.getuser(), "reason": reason.strip()}
    append(ledger_path(home, recipe.name), "rotation", body, datetime.now(UTC))
    return f"from the next night on, {', '.join(chosen)} are judged on other items"


def choose(names: tuple[str, ...], banks: dict[str, Bank]) -> tuple[str, ...]:
    """The suites to rotate."""
    able = tuple(name for name, bank in banks.items() if bank.rotation is not None)
    wrong = [name for name in names if name not in able]
    if wrong or not able:
        raise SuiteError(
            f"{', '.join(wrong) or 'no suite'} can't be rotated; a rotation plan have: {', '.join(able) or 'none'}",
            do="give [rotation] to its suite.toml, or name another suite",
        )
    return names or able
