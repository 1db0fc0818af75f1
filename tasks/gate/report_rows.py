"""The report's rows: every number in words, a dash where there is none. Pure."""

from collections.abc import Callable, Sequence
from typing import Any

from infra.number_words import NONE, amount, count, digits_for, limit, number, probability, signed
from tasks.contracts import (
    Baseline,
    Baselines,
    Bill,
    FixedLimit,
    Flip,
    Measure,
    Noise,
    PhaseVerdict,
    Plan,
    SuiteResult,
    Verdict,
    VerdictName,
)
from tasks.gate.flips import FlipCount
from tasks.gate.noise import noise_problems

MEASURES: dict[Measure, str] = {"right": "right or wrong", "probability": "p(correct)", "score": "graded"}

# shape and word say what the colour says
MARKS: dict[VerdictName, str] = {"PASS": "✓", "FAIL": "✕", "INCONCLUSIVE": "?", "BLOCK": "■"}


def tiles(verdict: Verdict, bill: Bill, plan: Plan, money: Callable[[float], str]) -> list[dict[str, str]]:
    """The figures a reader looks for first."""
    target = next((suite for suite in verdict.suites if suite.target), None)
    passed = sum(suite.verdict == "PASS" for suite in verdict.suites)
    return [
        {
            "label": f"target: {target.name}" if target else "target",
            "value": "not judged" if target is None or target.delta is None else signed(target.delta),
            "note": ""
            if target is None or target.lower is None
            else f"lower bound {signed(target.lower)}, {families(target)}",
        },
        {
            "label": "suites that pass",
            "value": f"{passed} of {len(verdict.suites)}",
            "note": suites_note(verdict.suites),
        },
        nearest_budget(verdict.suites),
        {
            "label": "trained on",
            "value": f"{count(plan.pairs)} pairs",
            "note": f"{count(plan.new_pairs)} new, {count(plan.steps)} steps",
        },
        {
            "label": "cost",
            "value": f"{money(bill.amount)} {bill.currency}",
            "note": f"{'example prices; ' if bill.example else ''}{amount(bill.kwh, digits_for(bill.kwh))} kWh, "
            f"{how_known(bill)}",
        },
    ]


def nearest_budget(suites: Sequence[SuiteResult]) -> dict[str, str]:
    """The suite whose bound against the anchor has the least room, as a share of its budget."""
    known = [(one.anchor_lower, one) for one in suites if one.anchor_lower is not None]
    if not known:
        return {"label": "against the anchor", "value": "not judged", "note": ""}
    bound, suite = min(known, key=lambda pair: (pair[0] + pair[1].budget) / pair[1].budget)
    return {
        "label": "nearest to its anchor budget",
        "value": suite.name,
        "note": f"lower bound {signed(bound)}, budget {limit(suite.budget)}",
    }


def suites_note(suites: Sequence[SuiteResult]) -> str:
    """The suites that do not pass, by name: at most three, so that the note stays a line."""
    names = [suite.name for suite in suites if suite.verdict != "PASS"]
    if not names:
        return ""
    return f"not {', '.join(names[:3])}" + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def families(suite: SuiteResult) -> str:
    """What n counts: families, and items where they are more."""
    if not suite.n:
        return "nothing scored"
    if suite.items <= suite.n:
        return f"{count(suite.n)} items"
    return f"{count(suite.n)} families, {count(suite.items)} items"


def suite_row(suite: SuiteResult) -> dict[str, Any]:
    """One suite as the tables show it."""
    return {
        "name": suite.name,
        "target": suite.target,
        "verdict": suite.verdict,
        "mark": MARKS[suite.verdict],
        "reason": suite.reason,
        "measure": MEASURES[suite.measure],
        "n": count(suite.n),
        "items": count(suite.items or suite.n),
        "champion": number(suite.champion),
        "candidate": number(suite.candidate),
        "delta": signed(suite.delta),
        "lower": signed(suite.lower),
        "upper": signed(suite.upper),
        "margin": limit(suite.margin),
        "p_harm": probability(suite.p_harm),
        "look": NONE if suite.look is None else f"{suite.look:.0%}".replace("%", " %"),
        "mde": number(suite.mde),
        "anchor_delta": signed(suite.anchor_delta),
        "anchor_lower": signed(suite.anchor_lower),
        "anchor_upper": signed(suite.anchor_upper),
        "budget": limit(suite.budget),
        "settle": to_settle(suite),
        "sampling": NONE if suite.sampling is None else f"{suite.sampling:.0%}".replace("%", " %"),
        "wear": number(suite.wear),
        "half": f"{suite.margin / 2:g}",
        "whole": f"{suite.margin:g}",
        "wear_state": suite.wear_state,
        "given_up": signed(given_up(suite)),
        "lifetime": signed(suite.lifetime),
    }


def to_settle(suite: SuiteResult) -> str:
    """Items after which an open suite would be settled, if the truth is as observed."""
    if suite.verdict != "INCONCLUSIVE" or suite.delta is None:
        return NONE
    return "more won’t help" if suite.items_to_settle is None else count(suite.items_to_settle)


def given_up(suite: SuiteResult) -> float | None:
    """What earlier re-anchorings have added to a suite's lifetime: lifetime minus the difference to the anchor."""
    if suite.lifetime is None or suite.anchor_delta is None:
        return None
    return suite.lifetime - suite.anchor_delta


def limit_row(one: FixedLimit) -> dict[str, str]:
    """A fixed limit of drift; a value that is missing is no value that holds."""
    state = "breached" if one.breached else "missing" if one.value is None else "holds"
    return {
        "name": one.name,
        "value": NONE if one.value is None else f"{one.value:.4g}",
        "limit": f"{one.limit:g}",
        "state": state,
        "verdict": {"breached": "FAIL", "missing": "BLOCK", "holds": "PASS"}[state],
    }


def phase_row(one: PhaseVerdict) -> dict[str, Any]:
    """One of several phases: what the gate said of it, or why it made no candidate."""
    return {
        "number": one.number,
        "method": one.method,
        "verdict": one.verdict or "none",
        "mark": MARKS[one.verdict] if one.verdict else "–",
        "word": one.verdict or "no candidate",
        "delta": signed(one.delta),
        "lower": signed(one.lower),
        "decision": count(one.decision) if one.decision else NONE,
        "chosen": one.chosen,
        "told": "" if one.chosen else one.told,
    }


def noise_row(one: Noise) -> dict[str, str]:
    """An A/A check, judged by the rule that the gate blocks on."""
    above = bool(noise_problems([one], ()))
    return {
        "suite": one.suite,
        "items": count(one.items),
        "flips": count(one.flips),
        "gap": f"{one.gap:.3g}",
        "floor": f"{one.floor:g}",
        "cause": one.cause,
        "state": "above the floor" if above else "within the floor",
        "verdict": "BLOCK" if above else "PASS",
    }


def flip_counts(counts: Sequence[FlipCount]) -> list[dict[str, Any]]:
    """Won and lost items by suite, each with its topics that flipped, most lost first."""
    rows = []
    for name in dict.fromkeys(one.suite for one in counts):
        topics = [one for one in counts if one.suite == name]
        flipped = sorted((one for one in topics if one.won or one.lost), key=lambda one: (-one.lost, -one.won))
        rows.append(
            {
                "suite": name,
                "items": count(sum(one.items for one in topics)),
                "won": sum(one.won for one in topics),
                "lost": sum(one.lost for one in topics),
                "topics": [{**one._asdict(), "topic": one.topic or "(no topic)"} for one in flipped],
            }
        )
    return rows


def flip_row(flip: Flip) -> dict[str, Any]:
    """A flip, with what happened in a few words."""
    graded = not {flip.champion, flip.candidate} <= {0.0, 1.0}
    word = {0.0: "wrong", 1.0: "right"}
    if not graded:
        before, after = word[flip.champion], word[flip.candidate]
        return {**flip.model_dump(), "happened": f"{before} → {after}", "moved": "", "answered": (before, after)}
    return {
        **flip.model_dump(),
        "happened": f"{number(flip.champion, 2)} → {number(flip.candidate, 2)}",
        "moved": signed(flip.delta, 2),
        "answered": _chosen_right(flip),
    }


def _chosen_right(flip: Flip) -> tuple[str, str]:
    """Of a choice, which model chose the right one; nothing where the item tells no right text."""
    answers = (flip.champion_answer, flip.candidate_answer)
    if not flip.right or flip.right not in answers:
        return "", ""
    before, after = ("right" if answer == flip.right else "wrong" for answer in answers)
    return before, after


def worst_first(suites: Sequence[SuiteResult]) -> list[str]:
    """Suite names, those that decided the verdict first."""
    order: dict[VerdictName, int] = {"BLOCK": 0, "FAIL": 1, "INCONCLUSIVE": 2, "PASS": 3}
    return [one.name for one in sorted(suites, key=lambda one: order[one.verdict])]


def how_known(bill: Bill) -> str:
    """Whether meters or the price book's watts stand behind the bill."""
    estimated = [line.estimated for line in bill.lines]
    if not bill.estimated:
        return "measured"
    return "estimated" if all(estimated) else "in part estimated"


def gpu_hours(bill: Bill, hours: Callable[[float], str]) -> str:
    if not bill.gpu_hours:
        return "No GPU was held."
    return f"{hours(bill.gpu_hours)} of the {hours(bill.device_hours)} device-hours were on GPUs."


def digests(night: str, verdict: Verdict, baselines: Baselines) -> list[tuple[str, str]]:
    """What the report is bound to, by name."""
    bound = [
        ("night", night),
        ("candidate", verdict.candidate),
        (versioned("champion", baselines.champion), verdict.champion or "missing"),
        (versioned("anchor", baselines.anchor), verdict.anchor or "missing"),
    ]
    return bound + [(f"scorecard {i}", digest) for i, digest in enumerate(verdict.cards, start=1)]


def versioned(role: str, baseline: Baseline | None) -> str:
    return role if baseline is None else f"{role}, version {baseline.version}"
