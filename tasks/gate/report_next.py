"""What a person does next, by verdict; why a waiver is or isn't open; how much was scored. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from infra.number_words import count, limit, signed
from tasks.contracts import Portability, SuiteResult, Verdict

# below this share of the anchor's planned decisions, the report says that they run out
FEW_LEFT = 0.1


class Step(NamedTuple):
    """One thing to do, and the command for it where there is one. VERSION and RECIPE are the reader's to fill in."""

    text: str
    command: str = ""


def next_steps(verdict: Verdict, recipe: str, promotable: bool, since_anchor: int = 0) -> list[Step]:
    """What to do now, most urgent first.

    Args:
        recipe: its name, which is the registered model's too.
        promotable: False where the gate was overridden for this night.
        since_anchor: decisions judged against this anchor before this night.
    """
    return [
        *_about_the_candidate(verdict, recipe, promotable),
        *_about_the_suites(verdict),
        *_about_the_anchor(verdict, since_anchor),
    ]


def status(verdict: Verdict, promotable: bool) -> str:
    """What became of the candidate, in a sentence."""
    if not promotable:
        return "Recorded, not promotable, whatever the verdict: the gate was overridden for this night."
    if verdict.verdict == "PASS":
        return "The candidate awaits approval. What serves stays as it is until a person approves."
    if verdict.waivable:
        return "Recorded. What serves stays as it is, unless a person answers for this candidate with a waiver."
    return "Recorded, not promotable. What serves stays as it is."


def cautions(verdict: Verdict, portability: Portability | None) -> list[str]:
    """The verdict's warnings, and that a move to another kind of device isn't shown to change nothing."""
    moved = [] if portability is None or portability.finding == "agrees" else [portability.told]
    return [*verdict.warnings, *moved]


def no_waiver(verdict: Verdict, promotable: bool) -> str:
    """Why a waiver can't promote this candidate; empty where it can, or where none is needed."""
    if promotable and (verdict.verdict == "PASS" or verdict.waivable):
        return ""
    if not promotable:
        return "A waiver doesn’t help: an overridden gate has judged nothing that holds."
    if verdict.verdict == "FAIL":
        return "A FAIL can’t be waived."
    if verdict.verdict == "BLOCK":
        return "A BLOCK can’t be waived: nothing was judged."
    unmet = [
        f"{one.name} ({signed(one.anchor_lower)}, needed above {limit(one.budget)})"
        if one.anchor_lower is not None
        else f"{one.name} (no bound)"
        for one in verdict.suites
        if one.anchor_lower is None or not one.anchor_lower > -one.budget
    ]
    if not unmet:
        return "A waiver can’t promote it: a bound against the anchor isn’t known to hold."
    return f"A waiver can’t promote it: the lower bound against the anchor does not hold on {', '.join(unmet)}."


def _about_the_candidate(verdict: Verdict, recipe: str, promotable: bool) -> list[Step]:
    if not promotable:
        return [Step("Run the night without the override, to get a version that can be approved.")]
    if verdict.verdict == "PASS":
        return [
            Step(
                "Look at what flipped, then approve it; the version’s number is in the night’s summary and in MLflow.",
                f"nightshift approve VERSION --name {recipe}",
            ),
            Step("Or reject it, with the reason.", f"nightshift reject VERSION 'reason' --name {recipe}"),
        ]
    if verdict.verdict == "FAIL":
        return [Step("Look at what flipped and at the data of the day first, then at learning rate and steps.")]
    if verdict.verdict == "BLOCK":
        return [
            Step("Mend the problems above, then run the night again: what is finished is not done twice.",
                 "nightshift run RECIPE"),
        ]  # fmt: skip
    steps = [Step("Nothing has to be done: the next night brings a new candidate.")]
    if verdict.waivable:
        steps.append(
            Step(
                "If you answer for it, promote it all the same: name and reason are recorded, and the reason must say "
                "why this candidate should serve although not everything is proven.",
                f"nightshift approve VERSION --name {recipe} --waive 'reason'",
            )
        )
    return steps


def _about_the_suites(verdict: Verdict) -> list[Step]:
    steps = []
    spent = [one.name for one in verdict.suites if one.wear_state == "spent"]
    worn = [one.name for one in verdict.suites if one.wear_state == "worn"]
    told = [f"{_and(spent)}: worn out, nothing passes on them any more"] if spent else []
    told += [f"{_and(worn)}: wear is above half the margin"] if worn else []
    if "house" in (*spent, *worn):
        told.append("house gets new items with new preferences")
    if told:
        steps.append(Step(f"Rotate items ({'; '.join(told)}).", rotate_command([*spent, *worn])))
    short = [one.name for one in verdict.suites if one.verdict == "INCONCLUSIVE" and one.items_to_settle is not None]
    if short:
        steps.append(
            Step(
                f"If it stays open for days, plan the gate anew: {_and(short)} may need more items, or another margin.",
                "nightshift gate plan RECIPE",
            )
        )
    return steps


def _about_the_anchor(verdict: Verdict, since_anchor: int) -> list[Step]:
    if verdict.planned <= 0:
        return []
    # each of several phases spends one, also those that weren't chosen
    spent = max((one.decision for one in verdict.phases), default=verdict.decision)
    left = verdict.planned - (spent or since_anchor)
    if left <= 0:
        text = f"The anchor’s {count(verdict.planned)} planned decisions are used up: nights block until you re-anchor."
    elif left < FEW_LEFT * verdict.planned:
        text = (
            f"{count(left)} of the anchor’s {count(verdict.planned)} planned decisions are left: "
            "re-anchor before they run out. What it gives up is added to the lifetime loss."
        )
    else:
        return []
    return [Step(text, "nightshift gate reanchor RECIPE --reason 'why'")]


def rotate_command(suites: Sequence[str]) -> str:
    """The command that rotates these suites; empty where there is none to rotate.

    All measures of drift share one bank of prompts. The house suite has no bank: it is held out of the preferences.
    """
    banks = dict.fromkeys("drift" if name.startswith("drift-") else name for name in suites if name != "house")
    named = " ".join(f"--suite {name}" for name in banks)
    return f"nightshift gate rotate RECIPE {named} --reason 'why'" if named else ""


def stopped_early(verdict: Verdict) -> str:
    """That scoring stopped, on what evidence, and how much was scored; empty where it did not."""
    if not verdict.stopped:
        return ""
    harmed = [
        f"{one.name} after {one.look:.0%} of its items".replace("%", " %") if one.look is not None else one.name
        for one in verdict.suites
        if one.verdict == "FAIL"
    ]
    where = f" on {_and(harmed)}" if harmed else ""
    return (
        f"Scoring stopped early because harm was proven{where}. Scored until then: {_scored(verdict.suites)}. "
        "The other numbers are of these items only; no bound against the anchor is claimed for a suite cut short."
    )


def _scored(suites: Sequence[SuiteResult]) -> str:
    return ", ".join(
        f"{one.name} {count(one.items or one.n)} items" if one.items or one.n else f"{one.name} nothing"
        for one in suites
    )


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
