"""What the report shows of single items: flips of every suite, from the scorecards in the store."""

from collections.abc import Mapping

from infra.store import Store
from tasks.contracts import Flip, Scores
from tasks.gate.flips import FlipCount, count_flips, find_flips
from tasks.gate.judge import asked, read_reference
from tasks.gate.suites import Suite
from tasks.recipe import Recipe

EACH = 4  # items a suite, lost and won


def flips_of(
    recipe: Recipe, items: Mapping[str, Suite], scores: Scores, store: Store
) -> tuple[list[Flip], list[FlipCount]]:
    """The items each suite was lost and won on most, and how many flipped. A card that can't be read has blocked the
    night: its suite is left out."""
    refs = {(ref.role, ref.suite): ref for ref in scores.cards}
    flips: list[Flip] = []
    counts: list[FlipCount] = []
    for spec in asked(recipe):
        if spec.name not in items:
            continue
        cards = [
            read_reference(refs.get((role, spec.name)), role, spec.name, store)[0] for role in ("candidate", "champion")
        ]
        new, old = cards
        if new is None or old is None:
            continue
        worst, best = find_flips(items[spec.name], new, old, EACH, spec.measure)
        flips += worst + best
        counts += count_flips(items[spec.name], new, old)
    return flips, counts
