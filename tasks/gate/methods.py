"""For a comparison of methods: models' results item by item, and differences over the same items. No verdict, no α.

Judging asks whether one model may serve, and spends a decision of the ledger. Comparing asks how ways to train differ;
nothing here is written down, and no model that is compared can be promoted by it.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

from infra.store import Store
from tasks.compared import START, Difference, Distance, Marks, Training
from tasks.contracts import Measure, Role, ScorecardRef, Scores
from tasks.errors import SuiteError
from tasks.gate.clusters import compare_graded_families, compare_right_families
from tasks.gate.drift import drift_cards
from tasks.gate.harm import too_few
from tasks.gate.scorecard import Scorecard, read_card
from tasks.gate.statistics import Comparison
from tasks.gate.suites import Suite
from tasks.recipe import GateSpec


def marks_of(
    gate: GateSpec, items: Mapping[str, Suite], scores: Scores, role: Role, store: Store
) -> tuple[tuple[Marks, ...], Distance]:
    """A model's results on every suite of the recipe, and how far it is from the anchor.

    Raises:
        SuiteError: a suite can't be read, was not scored to its end, or an item has no finite result: half a scorecard
            is no figure.
    """
    if scores.problems:
        raise SuiteError(f"a model could not be scored: {scores.problems[0]}", do="mend that, and compare again")
    cards = {ref.suite: _whole(ref, items, store) for ref in scores.cards if ref.role == role}
    asked = [*(spec.name for spec in gate.suites), *(["drift"] if gate.drift else [])]
    if missing := [name for name in asked if name not in cards]:
        raise SuiteError(
            f"the suite {missing[0]} has no scorecard of the {role}", do="see whether it can be read, and compare again"
        )
    drift = cards.get("drift")
    of = dict(cards) | (drift_cards(drift, list(gate.drift.measures())) if drift and gate.drift else {})
    found = [
        _marks(spec.name, spec.measure, of[spec.name], items["drift" if spec.name not in items else spec.name])
        for spec in gate.judged
    ]
    return tuple(found), _distance(drift)


def _whole(ref: ScorecardRef, items: Mapping[str, Suite], store: Store) -> Scorecard:
    card = read_card(store.read_bytes(ref.card))
    lacking = {item.id for item in items[ref.suite].items} - {one.id for one in card.results}
    if card.stopped or lacking:
        stopped = ", for its scoring was stopped" if card.stopped else ""
        raise SuiteError(
            f"the suite {ref.suite}: {len(lacking)} items have no result of the {ref.role}{stopped}",
            do="look into its scorecard: log-probabilities that are not finite are those of a damaged model",
        )
    return card


def _marks(name: str, measure: Measure, card: Scorecard, suite: Suite) -> Marks:
    results = {one.id: one for one in card.results}
    return Marks(
        suite=name,
        measure=measure,
        ids=tuple(item.id for item in suite.items),
        families=tuple(item.cluster for item in suite.items),
        values=tuple(
            float(results[item.id].right) if measure == "right" else results[item.id].score for item in suite.items
        ),
    )


def _distance(card: Scorecard | None) -> Distance:
    if card is None or not card.results:
        return Distance()
    measures = [dict(one.measures) for one in card.results]
    return Distance(
        anchor_kl=fmean(one["kl"] for one in measures),
        anchor_length_ratio=sum(one["tokens"] for one in measures)
        / max(sum(one["anchor_tokens"] for one in measures), 1e-9),
    )


def differences(trained: Sequence[Training], start: Sequence[Marks], other: str, alpha: float) -> list[Difference]:
    """Every method that finished a seed, against ``other`` (a method, or the start), suite by suite.

    Args:
        alpha: two-sided, of one interval.
    """
    by_method: dict[str, dict[int, Training]] = {}
    for one in trained:
        if one.state == "Finished":
            by_method.setdefault(one.method, {})[one.seed] = one
    found = []
    for method, mine in by_method.items():
        if method == other:
            continue
        theirs = {seed: start for seed in mine} if other == START else _marks_by_seed(by_method.get(other, {}))
        seeds = tuple(sorted(mine.keys() & theirs.keys()))
        if not seeds:
            continue
        for number, marks in enumerate(mine[seeds[0]].marks):
            pairs = [(mine[seed].marks[number], theirs[seed][number]) for seed in seeds]
            each = [_compared(new, old, alpha) for new, old in pairs]
            found.append(
                Difference(
                    method=method,
                    other=other,
                    suite=marks.suite,
                    measure=marks.measure,
                    seeds=seeds,
                    deltas=tuple(one.delta for one in each),
                    n=each[0].n,
                    items=len(marks.ids),
                    delta=fmean(one.delta for one in each),
                    lower=fmean(one.lower for one in each),
                    upper=fmean(one.upper for one in each),
                    alpha=alpha,
                    enough=not too_few(marks.measure, each[0].n),
                )
            )
    return found


def _marks_by_seed(runs: Mapping[int, Training]) -> dict[int, Sequence[Marks]]:
    return {seed: one.marks for seed, one in runs.items()}


def _compared(new: Marks, old: Marks, alpha: float) -> Comparison:
    """The gate's own paired comparison: robust to families, Tango's score or Hall's t.

    Raises:
        ValueError: results of different items can't be paired.
    """
    if (new.suite, new.ids, new.families) != (old.suite, old.ids, old.families):
        raise ValueError(f"results of {new.suite} and {old.suite} are not of the same items")
    if new.measure == "right":
        right, wrong = ([value > 0.5 for value in one.values] for one in (new, old))
        return compare_right_families(right, wrong, new.families, alpha / 2)
    return compare_graded_families(new.values, old.values, new.families, alpha / 2)
