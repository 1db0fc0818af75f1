"""The night's suites once more, on items that none of its judgements has seen: for a candidate that was hardened."""

import math
from collections.abc import Iterable, Mapping

from tasks.gate.items import Epochs
from tasks.gate.suites import Bank, Suite


def moved_on(epochs: Epochs, names: Iterable[str], tries: int) -> Epochs:
    """``epochs``, and for these suites as many more as move the window past what ``tries`` judgements have seen.

    A suite without a rotation plan stays where it is; one whose sealed families run out goes as far as they reach
    (``rotation.window`` says so), and the older items' wear is counted by their ages.
    """
    chosen = frozenset(names)

    def moved(name: str, bank: Bank) -> int:
        before = epochs(name, bank)
        if name not in chosen or bank.rotation is None:
            return before
        return before + tries * math.ceil(1 / bank.rotation.share)

    return moved


def count_fresh(now: Mapping[str, Suite], seen: Iterable[Mapping[str, Suite]]) -> dict[str, tuple[int, int]]:
    """Suite → (items that are in none of the earlier judgements, all items)."""
    ids = {name: {item.id for item in suite.items} for name, suite in now.items()}
    before: dict[str, set[str]] = {name: set() for name in ids}
    for suites in seen:
        for name, suite in suites.items():
            before.setdefault(name, set()).update(item.id for item in suite.items)
    return {name: (len(own - before[name]), len(own)) for name, own in ids.items()}
