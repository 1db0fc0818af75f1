"""From two models' results to comparisons and looks for harm. Pure; the scoring program and the verdict share it, so
that what stops the scoring is what the verdict finds."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from infra.digest import Digest
from tasks.contracts import Measure
from tasks.gate.clusters import compare_graded_families, compare_right_families
from tasks.gate.scorecard import ItemResult
from tasks.gate.sequential import Harm, Looks, judge_harm, plan_looks
from tasks.gate.statistics import MIN_GRADED, Comparison
from tasks.recipe import SuiteSpec

# distances from the anchor: change, in whatever direction
CHANGES = ("drift-length", "drift-kl")

Results = Mapping[str, ItemResult]


class Bank(NamedTuple):
    """Tonight's items of one suite, as the verdict sees them.

    Attributes:
        families: item id → family, in the suite's order.
        seed: the items' digest: the same items, the same random order.
        ages: item id → decisions it took part in before; an id that isn't there: none.
    """

    families: Mapping[str, str]
    seed: Digest
    ages: Mapping[str, int]

    @property
    def size(self) -> int:
        """Families, which is what n counts."""
        return len(set(self.families.values()))


def suite_of(name: str) -> str:
    """The suite whose items a judged suite is over: of a measure of drift, ``drift``."""
    return "drift" if name.startswith("drift-") else name


def compare(
    measure: Measure, new: Sequence[ItemResult], old: Sequence[ItemResult], families: Sequence[str], alpha: float
) -> Comparison:
    """Candidate minus baseline on items in the same order, robust to families."""
    if [one.id for one in new] != [one.id for one in old]:
        raise ValueError("results of different items can't be paired")
    if measure == "right":
        return compare_right_families([one.right for one in new], [one.right for one in old], families, alpha)
    return compare_graded_families([one.score for one in new], [one.score for one in old], families, alpha)


def too_few(measure: Measure, families: int) -> bool:
    """Whether a graded suite has too few families for any bound or p-value."""
    return measure != "right" and families < MIN_GRADED


def looks_of(measure: Measure, bank: Bank) -> Looks:
    """When a suite is looked at; a graded one not before there are 100 families."""
    floor = 1 if measure == "right" else MIN_GRADED
    return plan_looks(list(bank.families.values()), bank.seed, floor)


def harm_by_look(measure: Measure, bank: Bank, new: Results, old: Results, alpha: float) -> tuple[Looks, list[float]]:
    """The looks of a suite and the p-values of harm at those whose items all have a result by now."""
    looks = looks_of(measure, bank)
    if too_few(measure, bank.size):
        return looks, []
    ids = list(bank.families)
    found: list[float] = []
    for size in looks.sizes:
        part = sorted(ids[position] for position in looks.order[:size])
        if not all(id_ in new and id_ in old for id_ in part):
            break
        families = [bank.families[id_] for id_ in part]
        found.append(compare(measure, [new[i] for i in part], [old[i] for i in part], families, alpha).p_harm)
    return looks, found


def find_harm(
    specs: Sequence[SuiteSpec],
    banks: Mapping[str, Bank],
    new: Mapping[str, Results],
    old: Mapping[str, Results],
    alpha: float,
) -> list[Harm]:
    """On which suites harm is proven by now, in the order of ``specs``: Holm over sequential p-values.

    A measure of mere change has no harm to prove: a champion that is the anchor is at no distance from it, and every
    candidate is at some. Margin and budget limit it.
    """
    asked = [spec for spec in specs if spec.name not in CHANGES]
    looks = [
        harm_by_look(spec.measure, banks[spec.name], new.get(spec.name, {}), old.get(spec.name, {}), alpha)
        for spec in asked
    ]
    found = dict(zip((spec.name for spec in asked), judge_harm(looks, alpha), strict=True))
    return [found.get(spec.name, Harm(1.0, None, False)) for spec in specs]


def looked_at(measure: Measure, bank: Bank, look: int) -> frozenset[str]:
    """The ids that a look (from 0) is about."""
    looks, ids = looks_of(measure, bank), list(bank.families)
    return frozenset(ids[position] for position in looks.order[: looks.sizes[look]])
