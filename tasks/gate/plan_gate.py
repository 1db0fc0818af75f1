"""gate plan: from a recipe and its suites to the power they have, and what they lack. Words for a terminal, or JSON."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tasks.contracts import Measure
from tasks.gate.harm import suite_of
from tasks.gate.items import bank_at, folders
from tasks.gate.sizes import Option, Plan, SuitePlan, Wanted, at_sizes, plan_suites
from tasks.recipe import GateSpec, Recipe, SuiteSpec

# where no night has measured it: right/wrong as the simulated years have it, graded an eighth of its variance
ASSUMED: dict[Measure, float] = {"right": math.sqrt(0.08), "probability": 0.10, "score": 0.15}

# suites in which every wrong answer counts the same, so that only right/wrong will do
RIGHT_ONLY = ("safety",)


class Known(NamedTuple):
    """What is known of a suite before it is planned.

    Attributes:
        families: of the gate split; those of ``house`` and of suites that can't be read are what the recipe allows.
        choices: whether it has choices, so that p(correct) is possible.
        spread: of paired differences, as nights have measured it in the recipe's measure; None: assumed.
    """

    families: int
    choices: bool
    spread: float | None


class Planned(NamedTuple):
    """``best``: the sizes the plan picks; ``stands``: the recipe as it is; ``a_night``: decisions it spends at most."""

    best: Plan
    stands: Plan
    assumed: tuple[str, ...]
    a_night: int = 1


def plan_gate(gate: GateSpec, known: Mapping[str, Known], goal: float, candidates: int = 1, tries: int = 0) -> Planned:
    """The plan of a recipe's gate, and what its own sizes give.

    Args:
        candidates: that a night judges, each at its share of α.
        tries: to harden a candidate that doesn't pass, each a decision of its own.
    """
    wanted = [
        Wanted(spec.name, known[spec.name].families, tuple(_options(spec, known[spec.name]))) for spec in gate.judged
    ]
    sizes = [min(one.available, _most(gate, one.name)) for one in wanted]
    assumed = tuple(spec.name for spec in gate.judged if known[spec.name].spread is None)
    return Planned(
        plan_suites(wanted, gate.alpha, gate.planned_decisions, goal, candidates),
        at_sizes(wanted, sizes, gate.alpha, gate.planned_decisions, goal, candidates),
        assumed,
        candidates + tries,
    )


def known_of(recipe: Recipe, root: Path, measured: Mapping[str, tuple[int, float]]) -> dict[str, Known]:
    """What is known of the suites of a recipe: their families and forms, and what nights have measured.

    Raises:
        SuiteError: a suite can't be read.
    """
    found: dict[str, Known] = {}
    banks = {name: bank_at(name, path, root) for name, (path, _) in folders(recipe.gate).items()}
    for spec in recipe.gate.judged:
        families, spread = measured.get(spec.name, (recipe.gate.max_items, None))
        bank = banks.get(suite_of(spec.name))
        if bank is None:  # house, held out of the sources
            found[spec.name] = Known(families, True, spread)
            continue
        count = len({item.cluster for item in bank.suite.items if item.split == "gate"})
        found[spec.name] = Known(count, bank.suite.scorer.kind == "choice", spread)
    return found


def _most(gate: GateSpec, name: str) -> int:
    return gate.drift.max_items if gate.drift is not None and name.startswith("drift-") else gate.max_items


def _options(spec: SuiteSpec, known: Known) -> list[Option]:
    """The recipe's measure first; the other one too where the items have choices and nothing forbids it."""
    both = known.choices and spec.name not in RIGHT_ONLY
    others: tuple[Measure, ...] = ("probability", "right") if both else ()
    measures: list[Measure] = [spec.measure]
    for one in others:
        if one != spec.measure:
            measures.append(one)
    return [
        Option(
            measure,
            known.spread if known.spread is not None and measure == spec.measure else ASSUMED[measure],
            spec.margin,
            spec.budget,
        )
        for measure in measures
    ]


def in_words(planned: Planned) -> str:
    """The plan for a terminal."""
    best, stands = planned.best, planned.stands
    lines = [
        "",
        f"An unchanged model must pass all {len(best.suites)} suites and the anchor with {best.goal:.0%} or more",
        f"(α {best.alpha:g} one-sided; {best.decisions} planned decisions, so z = {best.anchor_z:.2f} to the anchor).",
        "",
        "  suite              measure      items  margin  budget  at least  champion  anchor    MDE  wear warns, ends",
    ]
    for row in best.suites:
        lines += [_row(row), *_short(row)]
    lines += [
        "",
        f"  joint probability  {best.joint.low:.1%} to {best.joint.high:.1%}, likely {best.joint.likely:.1%}"
        f"  ({'reached' if best.reached else 'NOT reached'})",
        f"  as the recipe is   {stands.joint.low:.1%} with "
        + ", ".join(f"{row.name} {row.n} ({row.measure})" for row in stands.suites),
    ]
    if planned.a_night > 1:
        lines += [
            "",
            f"  A night spends up to {planned.a_night} decisions: {best.decisions} are planned, which may be "
            f"{best.decisions // planned.a_night} such nights.",
        ]
    if planned.assumed:
        lines += [
            "",
            f"  The spread of {', '.join(planned.assumed)} is assumed, not measured: no night has judged them yet",
            f"  (right/wrong ψ = 8 %, p(correct) {ASSUMED['probability']:.2f}, graded answers {ASSUMED['score']:.2f}).",
        ]
    return "\n".join(lines) + "\n"


def _row(row: SuitePlan) -> str:
    budget = "none" if row.budget is None else f"{row.budget:.3f}"
    return (
        f"  {row.name:<18} {row.measure:<11} {row.n:>6} {row.margin:>7.3f} {budget:>7} {'>':>4}{row.at_least:>5.0f} "
        f"{row.champion:>9.1%} {row.anchor:>7.1%} {row.mde:>6.3f}  {row.life.warn_after}, {row.life.end_after}"
    )


def _short(row: SuitePlan) -> list[str]:
    """What a suite lacks for its share of the goal."""
    if row.short is None:
        return []
    ways = []
    if row.short.items is not None:
        ways.append(f"{row.short.items} more items")
    if row.short.margin is not None:
        ways.append(f"a margin of {row.short.margin:.3f}")
    if row.short.budget is not None:
        ways.append(f"a budget of {row.short.budget:.3f}")
    return [f"      too little: it needs {' or '.join(ways) or 'another measure'}"]


def as_json(planned: Planned) -> dict[str, Any]:
    """The plan as one JSON object."""
    return {
        "goal": planned.best.goal,
        "decisions": planned.best.decisions,
        "decisions_a_night": planned.a_night,
        "reached": planned.best.reached,
        "joint": planned.best.joint._asdict(),
        "anchor_z": planned.best.anchor_z,
        "as_the_recipe_is": planned.stands.joint._asdict(),
        "assumed": list(planned.assumed),
        "suites": [
            {
                "name": row.name,
                "measure": row.measure,
                "items": row.n,
                "margin": row.margin,
                "budget": row.budget,
                "at_least": row.at_least,
                "champion": row.champion,
                "anchor": row.anchor,
                "mde": row.mde,
                "warn_after": row.life.warn_after,
                "end_after": row.life.end_after,
                "short": row.short._asdict() if row.short else None,
            }
            for row in planned.best.suites
        ],
    }
