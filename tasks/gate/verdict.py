"""The verdict: BLOCK, FAIL, PASS or INCONCLUSIVE, in that order, from scorecards alone. Pure.

- BLOCK when any evidence is missing or differs: nothing is judged on what isn't there.
- FAIL when harm is proven on any suite (Holm over sequential p-values), even inside the margin; when the candidate has
  proven to be below the anchor by more than the budget; or when a fixed limit of drift is breached.
- PASS when every suite's lower bound is above −margin against the champion and above −budget against the anchor, and
  the target suite is proven better. Every suite must pass its own test, so no correction is due (intersection-union).
- INCONCLUSIVE otherwise, with what would settle it. A recorded waiver may promote it where every anchor bound holds.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from infra.digest import Digest
from infra.number_words import signed
from tasks.contracts import FixedLimit, Noise, Role, SuiteResult, Verdict, VerdictName
from tasks.gate.choice import shared
from tasks.gate.drift import drift_cards, fixed_limits
from tasks.gate.explain import blocked, explain, warn
from tasks.gate.harm import Bank, compare, find_harm, looked_at, looks_of, suite_of, too_few
from tasks.gate.noise import noise_problems
from tasks.gate.samples import sampling_share
from tasks.gate.scorecard import ItemResult, Scorecard
from tasks.gate.sequential import Harm
from tasks.gate.statistics import MIN_GRADED, Comparison, items_to_settle, minimum_detectable, z_of
from tasks.gate.wear import bank_wear_of, wear_state
from tasks.recipe import GateSpec, SuiteSpec

Cards = Mapping[tuple[Role, str], Scorecard]


class Facts(NamedTuple):
    """What the gate found beside the scorecards' numbers.

    Attributes:
        problems: what is missing or differs; any of them blocks, whatever the numbers say.
        decisions: judged before, against this anchor.
        banks: tonight's items of every suite of the recipe, and of ``drift``.
        lost: suite → what earlier re-anchorings have added to the lifetime loss (negative: lost).
        noise: A/A of this champion on this engine.
        exhausted: suites without fresh items left to rotate in.
        together: candidates of this night, which share α; ``wanted``: decisions that those from this one on need.
    """

    problems: tuple[str, ...]
    decisions: int
    digests: tuple[Digest, ...]
    candidate: Digest
    champion: Digest | None
    anchor: Digest | None
    banks: Mapping[str, Bank]
    lost: Mapping[str, float]
    noise: tuple[Noise, ...] = ()
    exhausted: tuple[str, ...] = ()
    together: int = 1
    wanted: int = 1


class Judged(NamedTuple):
    """One suite's comparisons and evidence of harm."""

    champion: Comparison
    anchor: Comparison
    harm: Harm
    complete: bool


def find_problems(gate: GateSpec, cards: Cards, facts: Facts) -> list[str]:
    """Everything that blocks. Empty: a decision may be spent, and the suites judged."""
    gate = shared(gate, facts.together)
    missing = [
        f"drift: {limit.name} could not be measured, and the recipe limits it to {limit.limit:g}"
        for limit in _limits(gate, cards)
        if limit.value is None
    ]
    problems = [*facts.problems, *_decisions_left(gate, facts.decisions, facts.wanted)]
    if facts.problems:  # a scorecard that isn't usable is why a limit has no value, or an A/A is missing
        return problems
    if _stopped(cards):
        return problems + _stopped_for_nothing(gate, _with_drift(gate, cards), facts)
    asked = [*(spec.name for spec in gate.suites), *(["drift"] if gate.drift else [])] if gate.aa_items else []
    return problems + noise_problems(facts.noise, asked) + missing


def give_verdict(gate: GateSpec, cards: Cards, facts: Facts) -> Verdict:
    """Judge the candidate."""
    problems = find_problems(gate, cards, facts)
    anchor_alpha = gate.alpha / gate.planned_decisions  # a decision's, and each candidate is one
    gate = shared(gate, facts.together)
    stopped = _stopped(cards)
    limits: list[FixedLimit] = []
    if problems:
        results = [blocked(spec, gate.target) for spec in gate.judged]
    else:
        results = _judge_all(gate, _with_drift(gate, cards), facts, anchor_alpha)
        limits = [] if stopped else _limits(gate, cards)
    verdict = overall([result.verdict for result in results], any(limit.breached for limit in limits))
    waivable = verdict == "INCONCLUSIVE" and not stopped and all(_anchor_holds(result) for result in results)
    return Verdict(
        verdict=verdict,
        paragraph=explain(verdict, results, problems, limits, waivable=waivable, stopped=stopped),
        suites=tuple(results),
        problems=tuple(problems),
        warnings=() if problems else tuple(warn(results, facts.exhausted, gate.planned_decisions, facts.decisions)),
        limits=tuple(limits),
        noise=facts.noise,
        alpha=gate.alpha,
        anchor_z=z_of(anchor_alpha),
        decision=0 if problems else facts.decisions + 1,
        planned=gate.planned_decisions,
        waivable=waivable,
        stopped=stopped,
        candidate=facts.candidate,
        champion=facts.champion,
        anchor=facts.anchor,
        cards=facts.digests,
    )


def overall(suites: Sequence[VerdictName], limit_breached: bool = False) -> VerdictName:
    """The worst word wins; PASS needs every suite. No suite at all is a BLOCK."""
    if not suites or "BLOCK" in suites:
        return "BLOCK"
    if "FAIL" in suites or limit_breached:
        return "FAIL"
    return "PASS" if all(name == "PASS" for name in suites) else "INCONCLUSIVE"


def judge_suite(
    spec: SuiteSpec,
    champion: Comparison,
    anchor: Comparison,
    harmed: bool,
    target: bool,
    *,
    wear: float = 0.0,
    complete: bool = True,
) -> tuple[VerdictName, str]:
    """One suite's verdict and the sentence for it.

    Every bound is tested as ``not bound > limit``: a NaN fails the test instead of passing it.
    """
    if harmed:
        return "FAIL", f"harm is proven: {signed(champion.delta)} against the champion"
    if not complete:
        return "INCONCLUSIVE", "not scored to its end: harm was proven on another suite before"
    if too_few(spec.measure, champion.n):
        return "INCONCLUSIVE", f"{champion.n} graded items are too few for a bound; {MIN_GRADED} are needed"
    if not anchor.upper >= -spec.budget:
        return "FAIL", f"the anchor's upper bound {signed(anchor.upper)} is below −{spec.budget:g}: the budget is spent"
    if not champion.lower > -spec.margin:
        return "INCONCLUSIVE", f"the lower bound {signed(champion.lower)} is not above the margin −{spec.margin:g}"
    if not anchor.lower > -spec.budget:
        return (
            "INCONCLUSIVE",
            f"the anchor's lower bound {signed(anchor.lower)} is not above the budget −{spec.budget:g}",
        )
    if target and not champion.lower > 0:
        return "INCONCLUSIVE", f"the target isn't proven better: lower bound {signed(champion.lower)}"
    if wear_state(wear, spec.margin) == "spent":
        return "INCONCLUSIVE", f"its items are worn out: wear {wear:.4f} is above the margin {spec.margin:g}"
    return "PASS", "proven better" if target else "proven no worse than the margin allows"


def _judge_all(gate: GateSpec, cards: Cards, facts: Facts, anchor_alpha: float) -> list[SuiteResult]:
    by_id = {key: {one.id: one for one in card.results} for key, card in cards.items()}
    return [
        _suite_result(spec, gate, facts.banks[suite_of(spec.name)], by_id, one, facts, anchor_alpha)
        for spec, one in zip(gate.judged, _harm(gate, cards, facts), strict=True)
    ]


def _harm(gate: GateSpec, cards: Cards, facts: Facts) -> list[Harm]:
    banks = {spec.name: facts.banks[suite_of(spec.name)] for spec in gate.judged}
    new, old = (
        {spec.name: {one.id: one for one in cards[role, spec.name].results} for spec in gate.judged}
        for role in ("candidate", "champion")
    )
    return find_harm(gate.judged, banks, new, old, gate.alpha)


def _stopped(cards: Cards) -> bool:
    return any(card.stopped for (role, _), card in cards.items() if role == "candidate")


def _stopped_for_nothing(gate: GateSpec, cards: Cards, facts: Facts) -> list[str]:
    """Incomplete scorecards are evidence of harm, or of nothing."""
    if any(harm.proven for harm in _harm(gate, cards, facts)):
        return []
    return ["the candidate's scoring ended early, but its scorecards prove no harm: run the night again with --fresh"]


def _with_drift(gate: GateSpec, cards: Cards) -> Cards:
    """The cards, and of each drift card one a measure."""
    found = dict(cards)
    for (role, suite), card in cards.items():
        if suite == "drift" and gate.drift is not None:
            found |= {(role, name): one for name, one in drift_cards(card, list(gate.drift.measures())).items()}
    return found


def _limits(gate: GateSpec, cards: Cards) -> list[FixedLimit]:
    return [] if gate.drift is None else fixed_limits(gate.drift, cards.get(("candidate", "drift")))


def _suite_result(
    spec: SuiteSpec,
    gate: GateSpec,
    bank: Bank,
    by_id: Mapping[tuple[Role, str], Mapping[str, ItemResult]],
    harm: Harm,
    facts: Facts,
    anchor_alpha: float,
) -> SuiteResult:
    target = spec.name == gate.target
    new, old, far = (by_id[role, spec.name] for role in ("candidate", "champion", "anchor"))
    ids = [id_ for id_ in bank.families if id_ in new]
    complete = len(ids) == len(bank.families)
    if not ids:
        return blocked(spec, gate.target, "INCONCLUSIVE", "not scored: harm was proven on another suite before")
    families = [bank.families[id_] for id_ in ids]
    mine = [new[id_] for id_ in ids]
    champion = compare(spec.measure, mine, [old[id_] for id_ in ids], families, gate.alpha)
    anchor = compare(spec.measure, mine, [far[id_] for id_ in ids], families, anchor_alpha)
    wear = bank_wear_of(champion.spread, champion.n, [bank.ages.get(id_, 0) for id_ in bank.families])
    verdict, reason = judge_suite(spec, champion, anchor, harm.proven, target, wear=wear, complete=complete)
    looks = looks_of(spec.measure, bank)
    look = None if harm.look is None else looks.fractions[harm.look]
    if harm.proven and look is not None and harm.look is not None:
        seen = looked_at(spec.measure, bank, harm.look)
        reason += f" (p = {harm.p:.2g} at the look at {len(seen)} of {len(bank.families)} items, Holm over all suites)"
    open_ = verdict == "INCONCLUSIVE" and complete
    return SuiteResult(
        name=spec.name,
        measure=spec.measure,
        n=champion.n,
        items=len(ids),
        champion=_mean(spec, [old[id_] for id_ in ids]),
        candidate=_mean(spec, mine),
        delta=champion.delta,
        lower=champion.lower,
        upper=champion.upper,
        margin=spec.margin,
        p_harm=harm.p,
        look=look,
        anchor_delta=anchor.delta,
        # of a part of the items, chosen by what was seen, a bound would claim too much
        anchor_lower=anchor.lower if complete else None,
        anchor_upper=anchor.upper if complete else None,
        budget=spec.budget,
        mde=minimum_detectable(champion.spread, champion.n, gate.alpha),
        items_to_settle=_to_settle(spec, champion, anchor, target, gate.alpha, anchor_alpha) if open_ else None,
        wear=wear,
        wear_state=wear_state(wear, spec.margin),
        lifetime=anchor.delta + facts.lost.get(spec.name, 0.0),
        sampling=sampling_share(
            [[a - b for a, b in zip(one.marks, old[one.id].marks, strict=False)] for one in mine if one.marks]
        ),
        target=target,
        verdict=verdict,
        reason=reason,
    )


def _mean(spec: SuiteSpec, results: Sequence[ItemResult]) -> float:
    return sum(float(one.right) if spec.measure == "right" else one.score for one in results) / len(results)


def _anchor_holds(result: SuiteResult) -> bool:
    """Whether the anchor's bound is known and above −budget: what no waiver excuses."""
    if too_few(result.measure, result.n) or result.anchor_lower is None:
        return False
    return result.anchor_lower > -result.budget


def _decisions_left(gate: GateSpec, decisions: int, wanted: int = 1) -> list[str]:
    left = gate.planned_decisions - decisions
    if wanted <= left:
        return []
    if left > 0:
        return [
            f"{left} of the anchor's {gate.planned_decisions} planned decisions are left, and the night's candidates "
            f"need {wanted}: re-anchor with `nightshift gate reanchor`, or train fewer phases"
        ]
    return [
        f"the anchor's {gate.planned_decisions} planned decisions are used up ({decisions} judged): "
        "re-anchor with `nightshift gate reanchor`"
    ]


def _to_settle(
    spec: SuiteSpec, champion: Comparison, anchor: Comparison, target: bool, alpha: float, anchor_alpha: float
) -> int | None:
    """Families after which all open bounds would clear, if the truth is as observed; None: more won't help."""
    needs = [
        items_to_settle(champion.delta, champion.spread, alpha, 0.0 if target else -spec.margin),
        items_to_settle(anchor.delta, anchor.spread, anchor_alpha, -spec.budget),
    ]
    if any(need is None for need in needs):
        return None
    return max(need for need in needs if need is not None)
