"""The verdict: BLOCK, FAIL, PASS or INCONCLUSIVE, in that order, from scorecards alone. Pure.

- BLOCK when any evidence is missing or differs: nothing is judged on what isn't there.
- FAIL when harm is proven on any suite (Holm over suites), even inside the margin, or when the candidate has proven
  to be below the anchor by more than the budget.
- PASS when every suite's lower bound is above −margin against the champion and above −budget against the anchor, and
  the target suite is proven better. Every suite must pass its own test, so no correction is due (intersection-union).
- INCONCLUSIVE otherwise, with what would settle it.
"""

from collections.abc import Mapping

from infra.digest import Record
from tasks.contracts import Role, SuiteResult, Verdict, VerdictName
from tasks.gate.scorecard import ItemResult, Scorecard
from tasks.gate.statistics import (
    MIN_GRADED,
    Comparison,
    compare_graded,
    compare_right,
    holm,
    items_to_settle,
    minimum_detectable,
    z_of,
)
from tasks.recipe import GateSpec, SuiteSpec

Cards = Mapping[tuple[Role, str], Scorecard]


class Evidence(Record):
    """What the gate found when it read the scorecards: problems block, whatever the numbers say."""

    problems: tuple[str, ...]
    decisions: int  # judged before, against this anchor
    digests: tuple[str, ...]
    candidate: str
    champion: str | None
    anchor: str | None


def give_verdict(gate: GateSpec, cards: Cards, evidence: Evidence) -> Verdict:
    """Judge the candidate."""
    anchor_alpha = gate.alpha / gate.planned_decisions
    problems = [*evidence.problems, *_budget_of_decisions(gate, evidence.decisions)]
    if problems:
        results = [_blocked(spec, gate.target) for spec in gate.suites]
    else:
        pairs = [_compare(spec, gate, cards, anchor_alpha) for spec in gate.suites]
        harmed = holm([champion.p_harm for champion, _ in pairs], gate.alpha)
        results = [
            _suite_result(
                spec,
                gate,
                champion,
                anchor,
                harm,
                anchor_alpha,
                _mean(spec, cards, "champion"),
                _mean(spec, cards, "candidate"),
            )
            for spec, (champion, anchor), harm in zip(gate.suites, pairs, harmed, strict=True)
        ]
    verdict = overall([result.verdict for result in results])
    return Verdict(
        verdict=verdict,
        paragraph=explain(verdict, results, problems, gate),
        suites=tuple(results),
        problems=tuple(problems),
        alpha=gate.alpha,
        anchor_z=z_of(anchor_alpha),
        candidate=evidence.candidate,
        champion=evidence.champion,
        anchor=evidence.anchor,
        cards=evidence.digests,
    )


def overall(suites: list[VerdictName]) -> VerdictName:
    """The worst word wins; PASS needs every suite. No suite at all is a BLOCK."""
    if not suites or "BLOCK" in suites:
        return "BLOCK"
    if "FAIL" in suites:
        return "FAIL"
    return "PASS" if all(name == "PASS" for name in suites) else "INCONCLUSIVE"


def card_problems(
    role: Role, spec: SuiteSpec, card: Scorecard | None, expected: Mapping[str, str], ids: set[str], min_items: int
) -> list[str]:
    """What makes a scorecard unusable.

    Args:
        expected: the digests the night knows: ``model``, ``items``, ``scorer``.
        ids: the suite's item ids.
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
    scored = {result.id for result in card.results} | set(card.unscorable)
    if scored != ids:
        problems.append(f"{where}: {len(ids - scored)} items are missing and {len(scored - ids)} are unknown")
    if len(ids) < min_items:
        problems.append(f"{where}: {len(ids)} items, the recipe asks for at least {min_items}")
    return problems


def _budget_of_decisions(gate: GateSpec, decisions: int) -> list[str]:
    if decisions < gate.planned_decisions:
        return []
    return [
        f"the anchor's {gate.planned_decisions} planned decisions are used up ({decisions} judged): "
        "re-anchor, or plan anew"
    ]


def _paired(spec: SuiteSpec, cards: Cards, role: Role) -> tuple[list[ItemResult], list[ItemResult]]:
    """Candidate's and baseline's results, paired by item id."""
    new = {result.id: result for result in cards["candidate", spec.name].results}
    old = {result.id: result for result in cards[role, spec.name].results}
    order = sorted(new)
    return [new[id_] for id_ in order], [old[id_] for id_ in order]


def _against(spec: SuiteSpec, cards: Cards, role: Role, alpha: float) -> Comparison:
    new, old = _paired(spec, cards, role)
    if spec.measure == "right":
        return compare_right([one.right for one in new], [one.right for one in old], alpha)
    return compare_graded([one.probability for one in new], [one.probability for one in old], alpha)


def _compare(spec: SuiteSpec, gate: GateSpec, cards: Cards, anchor_alpha: float) -> tuple[Comparison, Comparison]:
    return _against(spec, cards, "champion", gate.alpha), _against(spec, cards, "anchor", anchor_alpha)


def _mean(spec: SuiteSpec, cards: Cards, role: Role) -> float:
    results = cards[role, spec.name].results
    return sum(float(one.right) if spec.measure == "right" else one.probability for one in results) / len(results)


def _suite_result(
    spec: SuiteSpec,
    gate: GateSpec,
    champion: Comparison,
    anchor: Comparison,
    harmed: bool,
    anchor_alpha: float,
    champion_mean: float,
    candidate_mean: float,
) -> SuiteResult:
    target = spec.name == gate.target
    verdict, reason = judge_suite(spec, champion, anchor, harmed, target)
    open_ = verdict == "INCONCLUSIVE"
    return SuiteResult(
        name=spec.name,
        measure=spec.measure,
        n=champion.n,
        champion=champion_mean,
        candidate=candidate_mean,
        delta=champion.delta,
        lower=champion.lower,
        upper=champion.upper,
        margin=spec.margin,
        p_harm=champion.p_harm,
        anchor_delta=anchor.delta,
        anchor_lower=anchor.lower,
        anchor_upper=anchor.upper,
        budget=spec.budget,
        mde=minimum_detectable(champion.spread, champion.n, gate.alpha),
        items_to_settle=_to_settle(spec, champion, anchor, target, gate.alpha, anchor_alpha) if open_ else None,
        target=target,
        verdict=verdict,
        reason=reason,
    )


def judge_suite(
    spec: SuiteSpec, champion: Comparison, anchor: Comparison, harmed: bool, target: bool
) -> tuple[VerdictName, str]:
    """One suite's verdict and the sentence for it.

    Every bound is tested as ``not bound > limit``: a NaN fails the test instead of passing it.
    """
    if harmed:
        return "FAIL", f"harm is proven: {champion.delta:+.4f} against the champion (p = {champion.p_harm:.2g}, Holm)"
    if not anchor.upper >= -spec.budget:
        return "FAIL", f"the anchor's upper bound {anchor.upper:+.4f} is below −{spec.budget:g}: the budget is spent"
    if spec.measure == "probability" and champion.n < MIN_GRADED:
        return "INCONCLUSIVE", f"{champion.n} graded items are too few for a bound; {MIN_GRADED} are needed"
    if not champion.lower > -spec.margin:
        return "INCONCLUSIVE", f"the lower bound {champion.lower:+.4f} is not above the margin −{spec.margin:g}"
    if not anchor.lower > -spec.budget:
        return "INCONCLUSIVE", f"the anchor's lower bound {anchor.lower:+.4f} is not above the budget −{spec.budget:g}"
    if target and not champion.lower > 0:
        return "INCONCLUSIVE", f"the target isn't proven better: lower bound {champion.lower:+.4f}"
    return "PASS", "proven better" if target else "proven no worse than the margin allows"


def _to_settle(
    spec: SuiteSpec, champion: Comparison, anchor: Comparison, target: bool, alpha: float, anchor_alpha: float
) -> int | None:
    """Items after which all open bounds would clear, if the truth is as observed; None: more items won't help."""
    needs = [
        items_to_settle(champion.delta, champion.spread, alpha, 0.0 if target else -spec.margin),
        items_to_settle(anchor.delta, anchor.spread, anchor_alpha, -spec.budget),
    ]
    if any(need is None for need in needs):
        return None
    return max(need for need in needs if need is not None)


def _blocked(spec: SuiteSpec, target: str) -> SuiteResult:
    missing = dict.fromkeys(
        (
            "champion",
            "candidate",
            "delta",
            "lower",
            "upper",
            "p_harm",
            "anchor_delta",
            "anchor_lower",
            "anchor_upper",
            "mde",
            "items_to_settle",
        )
    )
    return SuiteResult(
        name=spec.name,
        measure=spec.measure,
        n=0,
        margin=spec.margin,
        budget=spec.budget,
        target=spec.name == target,
        verdict="BLOCK",
        reason="not judged: evidence is missing or differs",
        **missing,
    )


def explain(verdict: VerdictName, results: list[SuiteResult], problems: list[str], gate: GateSpec) -> str:
    """The verdict in one paragraph, for a person."""
    if verdict == "BLOCK":
        shown = "; ".join(problems[:3]) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
        return f"BLOCK: the evidence is not complete, so nothing was judged. {shown}."
    target = next(result for result in results if result.target)
    if verdict == "PASS":
        return (
            f"PASS: on all {len(results)} suites the candidate is proven no worse than the champion by more than "
            f"each margin and no worse than the anchor by more than each budget, and on the target {target.name} "
            f"it is proven better ({target.delta:+.3f}, lower bound {target.lower:+.3f}, {target.n} items)."
        )
    guilty = [f"{result.name}: {result.reason}" for result in results if result.verdict == verdict]
    if verdict == "FAIL":
        return (
            f"FAIL: the candidate is worse than what serves. {'; '.join(guilty)}. It is recorded and can't be promoted."
        )
    return (
        f"INCONCLUSIVE: no harm is proven, but not everything that a promotion needs is. {'; '.join(guilty)}. "
        f"{_advice(results)}"
    )


def _advice(results: list[SuiteResult]) -> str:
    open_ = [result for result in results if result.verdict == "INCONCLUSIVE"]
    needs = [
        f"{result.name} about {result.items_to_settle} items" for result in open_ if result.items_to_settle is not None
    ]
    never = [result.name for result in open_ if result.items_to_settle is None]
    parts = []
    if needs:
        parts.append(f"If the truth is as observed, this would settle it: {', '.join(needs)}.")
    if never:
        parts.append(
            f"More items would not settle {', '.join(never)}: the observed difference itself is on the wrong side."
        )
    return " ".join(parts)
