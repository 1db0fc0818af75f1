"""The verdict in one paragraph, for a person. Pure."""

from collections.abc import Sequence

from infra.number_words import signed
from tasks.contracts import FixedLimit, SuiteResult, VerdictName
from tasks.recipe import SuiteSpec


def blocked(
    spec: SuiteSpec,
    target: str,
    verdict: VerdictName = "BLOCK",
    reason: str = "not judged: evidence is missing or differs",
) -> SuiteResult:
    """A suite without numbers."""
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
        verdict=verdict,
        reason=reason,
        **missing,
    )


def explain(
    verdict: VerdictName,
    results: Sequence[SuiteResult],
    problems: Sequence[str],
    limits: Sequence[FixedLimit],
    *,
    waivable: bool,
    stopped: bool,
) -> str:
    """The verdict, its reason, and what would change it."""
    if verdict == "BLOCK":
        shown = "; ".join(problems[:3]) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
        return f"BLOCK: the evidence is not complete, so nothing was judged. {shown}."
    if verdict == "PASS":
        return _passed(results)
    guilty = [f"{result.name}: {result.reason}" for result in results if result.verdict == verdict]
    if verdict == "FAIL":
        guilty += [
            f"drift: {limit.name} is {limit.value:.4g}, the limit is {limit.limit:g}"
            for limit in limits
            if limit.breached and limit.value is not None
        ]
        early = " Scoring stopped there: the other suites were not scored to their end." if stopped else ""
        return (
            f"FAIL: the candidate is worse than what serves. {'; '.join(guilty)}.{early} "
            "It is recorded and can't be promoted."
        )
    waiver = (
        "Every bound against the anchor holds, so a recorded waiver may promote it."
        if waivable
        else "A waiver can't promote it: a bound against the anchor does not hold."
    )
    return (
        f"INCONCLUSIVE: no harm is proven, but not everything that a promotion needs is. {'; '.join(guilty)}. "
        f"{_advice(results)} {waiver}"
    )


def _passed(results: Sequence[SuiteResult]) -> str:
    text = (
        f"PASS: on all {len(results)} suites the candidate is proven no worse than the champion by more than "
        "each margin and no worse than the anchor by more than each budget"
    )
    target = next((result for result in results if result.target), None)
    if target is None or target.delta is None or target.lower is None:
        return text + "."
    return (
        f"{text}, and on the target {target.name} "
        f"it is proven better ({signed(target.delta, 3)}, lower bound {signed(target.lower, 3)}, {target.n} items)."
    )


def _advice(results: Sequence[SuiteResult]) -> str:
    """What would settle the open suites; one whose items are worn out needs other items, not more."""
    open_ = [result for result in results if result.verdict == "INCONCLUSIVE"]
    worn = [result.name for result in open_ if result.wear_state == "spent"]
    rest = [result for result in open_ if result.wear_state != "spent"]
    needs = [
        f"{result.name} about {result.items_to_settle} items" for result in rest if result.items_to_settle is not None
    ]
    never = [result.name for result in rest if result.items_to_settle is None]
    parts = []
    if needs:
        parts.append(f"If the truth is as observed, this would settle it: {', '.join(needs)}.")
    if never:
        parts.append(
            f"More items would not settle {', '.join(never)}: the observed difference itself is on the wrong side."
        )
    if worn:
        parts.append(f"Rotate the items of {', '.join(worn)} with `nightshift gate rotate`.")
    return " ".join(parts)


def warn(results: Sequence[SuiteResult], exhausted: Sequence[str], planned: int, before: int) -> list[str]:
    """What isn't wrong yet and will be: worn items, none left to rotate in, few decisions left."""
    found = [
        f"{one.name}: its items are {'worn out' if one.wear_state == 'spent' else 'worn'}: wear "
        f"{in_points(one.wear)} points, margin {in_points(one.margin)}; rotate items with `nightshift gate rotate`"
        for one in results
        if one.wear_state != "fresh"
    ]
    found += [f"{name}: no fresh items are left to rotate in; add sealed ones" for name in exhausted]
    left = planned - before - 1
    if left * 10 < planned:
        found.append(f"{left} of the anchor's {planned} planned decisions are left")
    return found


def in_points(value: float | None) -> str:
    """A score's difference in points of a hundred."""
    return "–" if value is None else f"{100 * value:.1f}"
