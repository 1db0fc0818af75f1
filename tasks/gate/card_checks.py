"""What makes a scorecard unusable. Pure: every sentence it gives blocks the night."""

from collections.abc import Mapping

from infra.digest import Digest
from tasks.contracts import Role
from tasks.gate.harm import Bank, looks_of
from tasks.gate.scorecard import Scorecard
from tasks.recipe import SuiteSpec


def card_problems(
    role: Role, spec: SuiteSpec, card: Scorecard | None, expected: Mapping[str, Digest], bank: Bank, min_items: int
) -> list[str]:
    """What is wrong with a scorecard.

    Args:
        expected: the digests the night knows: ``model``, ``items``, ``scorer``.
        min_items: families a suite must have.
    """
    where = f"{role}/{spec.name}"
    if card is None:
        return [f"{where}: there is no scorecard"]
    problems = [
        f"{where}: the scorecard is of another {what}"
        for what in ("model", "items", "scorer")
        if getattr(card, what) != expected[what]
    ]
    if card.suite != spec.name:
        problems.append(f"{where}: the scorecard is of suite {card.suite}")
    if card.unscorable:
        problems.append(f"{where}: {len(card.unscorable)} items have no finite score, e.g. {card.unscorable[0]}")
    problems += _coverage(where, role, spec, card, bank)
    if bank.size < min_items:
        problems.append(f"{where}: {bank.size} items that stand alone, the recipe asks for at least {min_items}")
    return problems


def _coverage(where: str, role: Role, spec: SuiteSpec, card: Scorecard, bank: Bank) -> list[str]:
    """Whether every item is there; of a scoring that stopped for harm, every item up to a look."""
    ids, scored = set(bank.families), {result.id for result in card.results} | set(card.unscorable)
    if card.stopped and role == "candidate" and scored < ids:
        looks, order = looks_of(spec.measure, bank), list(bank.families)
        allowed = [set(), *({order[i] for i in looks.order[:size]} for size in looks.sizes)]
        return [] if scored in allowed else [f"{where}: the {len(scored)} items scored are those of no look for harm"]
    if scored != ids:
        return [f"{where}: {len(ids - scored)} items are missing and {len(scored - ids)} are unknown"]
    return []
