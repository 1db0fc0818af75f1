"""The gate report: one self-contained HTML file that a person decides from. Pure: records in, text out.

Nothing in it is loaded from elsewhere and nothing runs: pictures are inline, and a content policy in the page refuses
scripts and requests even if a model's answer should ever get past the escaping.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from infra.digest import short
from tasks.contracts import (
    Baseline,
    Baselines,
    Bill,
    Measure,
    Plan,
    Preferences,
    Snapshot,
    SuiteResult,
    Verdict,
    VerdictName,
)

NONE = "–"

MEASURES: dict[Measure, str] = {"right": "right or wrong", "probability": "p(correct)"}

# shape and word say what the colour says
MARKS: dict[VerdictName, str] = {"PASS": "✓", "FAIL": "✕", "INCONCLUSIVE": "?", "BLOCK": "■"}

NEXT: dict[VerdictName, str] = {
    "PASS": "The candidate awaits approval. What serves stays as it is until a person approves.",
    "FAIL": "Recorded, not promotable. What serves stays as it is.",
    "INCONCLUSIVE": "Recorded, not promotable. What serves stays as it is; the next night brings a new candidate.",
    "BLOCK": "Recorded, not promotable. What serves stays as it is. Mend the problems below and run the night again.",
}

OVERRIDDEN = (
    "Recorded, not promotable, whatever the verdict: the gate was overridden for this night. "
    "Run the night without the override to get a version that can be approved."
)


def report_html(
    *,
    night: str,
    recipe: str,
    created: str,
    verdict: Verdict,
    bill: Bill,
    plan: Plan,
    preferences: Preferences,
    snapshot: Snapshot,
    baselines: Baselines,
    history: list[dict[str, float]],
    samples: list[dict[str, str]],
    quarantine: dict[str, int],
    promotable: bool,
) -> str:
    """The report as one HTML page.

    Args:
        history: a dict a training step: step, loss, rewards_margins, rewards_accuracies, ...
        samples: ``prompt``, ``champion`` and ``candidate``: untrusted model text, shown escaped.
        quarantine: rows by reason; a row may have several.
        promotable: False where the gate was overridden for this night.
    """
    from markupsafe import Markup

    from tasks.gate import pictures

    money, hours, energy = (
        partial(amount, digits=digits_for(total)) for total in (bill.amount, bill.device_hours, bill.kwh)
    )
    page = _template().render(
        title=short(night) if night.startswith("sha256:") else night,
        recipe=recipe,
        created=created,
        verdict=verdict,
        mark=MARKS[verdict.verdict],
        awaits=promotable and verdict.verdict == "PASS",
        next_step=next_step(verdict.verdict, promotable),
        tiles=tiles(verdict, bill, plan, money),
        suites=[suite_row(suite, baselines.decisions, verdict.alpha) for suite in verdict.suites],
        judged=any(suite.delta is not None for suite in verdict.suites),
        decisions=baselines.decisions,
        forest=Markup(pictures.forest(verdict.suites)),
        curves=Markup(pictures.training_curves(history)),
        steps=len(history),
        window=pictures.smoothing_window(len(history)),
        plan=plan,
        bars=Markup(pictures.cost_bars(bill, money)),
        bill=bill,
        money=money,
        hours=hours,
        energy=energy,
        known=how_known(bill),
        gpu_hours=gpu_hours(bill, hours),
        plan_amount=amount(plan.amount, digits_for(plan.amount)),
        samples=samples,
        snapshot=snapshot,
        preferences=preferences,
        quarantine=sorted(quarantine.items(), key=lambda item: (-item[1], item[0])),
        digests=digests(night, verdict, baselines),
    )
    # half of a surrogate pair is legal in JSON and so in a model's answer, but has no bytes in UTF-8
    return page.encode("utf-8", "replace").decode("utf-8")


def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"signed": signed, "number": number, "duration": duration, "size": size, "count": count}
    return environment.get_template("report.html")


def next_step(verdict: VerdictName, promotable: bool) -> str:
    """What happens now, in a sentence or two."""
    return NEXT[verdict] if promotable else OVERRIDDEN


def tiles(verdict: Verdict, bill: Bill, plan: Plan, money: Callable[[float], str]) -> list[dict[str, str]]:
    """The four figures a reader looks for first."""
    target = next((suite for suite in verdict.suites if suite.target), None)
    passed = sum(suite.verdict == "PASS" for suite in verdict.suites)
    return [
        {
            "label": f"target: {target.name}" if target else "target",
            "value": "not judged" if target is None or target.delta is None else signed(target.delta),
            "note": ""
            if target is None or target.lower is None
            else f"lower bound {signed(target.lower)}, {target.n} items",
        },
        {
            "label": "suites that pass",
            "value": f"{passed} of {len(verdict.suites)}",
            "note": suites_note(verdict.suites),
        },
        {
            "label": "trained on",
            "value": f"{count(plan.pairs)} pairs",
            "note": f"{count(plan.new_pairs)} new, {count(plan.steps)} steps",
        },
        {
            "label": "cost",
            "value": f"{money(bill.amount)} {bill.currency}",
            "note": f"{amount(bill.kwh, digits_for(bill.kwh))} kWh, {how_known(bill)}",
        },
    ]


def suites_note(suites: tuple[SuiteResult, ...]) -> str:
    """The suites that do not pass, by name: at most three, so that the note stays a line."""
    names = [suite.name for suite in suites if suite.verdict != "PASS"]
    if not names:
        return ""
    return f"not {', '.join(names[:3])}" + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def suite_row(suite: SuiteResult, decisions: int, alpha: float) -> dict[str, Any]:
    """One suite as the table shows it: every number in words, a dash where there is none."""
    return {
        "name": suite.name,
        "target": suite.target,
        "verdict": suite.verdict,
        "mark": MARKS[suite.verdict],
        "reason": suite.reason,
        "measure": MEASURES[suite.measure],
        "n": count(suite.n),
        "champion": number(suite.champion),
        "candidate": number(suite.candidate),
        "delta": signed(suite.delta),
        "lower": signed(suite.lower),
        "margin": limit(suite.margin),
        "p_harm": probability(suite.p_harm),
        "mde": number(suite.mde),
        "anchor_lower": signed(suite.anchor_lower),
        "budget": limit(suite.budget),
        "settle": to_settle(suite),
        "wear": number(wear(suite.mde, decisions, alpha)),
    }


def to_settle(suite: SuiteResult) -> str:
    """Items after which an open suite would be settled, if the truth is as observed."""
    if suite.verdict != "INCONCLUSIVE":
        return NONE
    return "more won’t help" if suite.items_to_settle is None else count(suite.items_to_settle)


def wear(mde: float | None, decisions: int, alpha: float) -> float | None:
    """How far reuse alone may have worn a suite's items: 0.7·SE·ln(decisions), tonight's decision counted.

    SE is the standard error of the paired difference, which the minimum detectable effect is a multiple of.
    """
    import math

    from tasks.gate.statistics import minimum_detectable

    if mde is None:
        return None
    return 0.7 * mde / minimum_detectable(1.0, 1, alpha) * math.log(decisions + 1)


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


def signed(value: float | None, digits: int = 4) -> str:
    """With its sign, a true minus, and no negative zero."""
    return NONE if value is None else f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")


def number(value: float | None, digits: int = 4) -> str:
    return NONE if value is None else f"{round(value, digits) + 0.0:,.{digits}f}".replace("-", "−")


def limit(value: float) -> str:
    """A margin or budget as the line that a lower bound must stay above, in hundredths or finer."""
    return f"−{value:.2f}" if round(value, 2) == value else f"−{value:g}"


def count(value: int) -> str:
    return f"{value:,}"


def probability(value: float | None) -> str:
    if value is None:
        return NONE
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def digits_for(total: float) -> int:
    """Decimals for a column of amounts, by its total: cents for real money, more where it is less than a coin."""
    return 2 if total >= 10 else 4


def amount(value: float, digits: int) -> str:
    """An amount; one too small for its column is said to be small, never shown as nothing."""
    least = 10.0**-digits
    return f"< {least:.{digits}f}" if 0 < value < least / 2 else f"{value:,.{digits}f}"


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(bytes_: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if bytes_ < 1024:
            return f"{bytes_:.0f} {unit}" if unit == "B" else f"{bytes_:.1f} {unit}"
        bytes_ /= 1024
    return f"{bytes_:.1f} GiB"
