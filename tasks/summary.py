"""The night's summary: one JSON object, and the same in words for a terminal. Pure."""

import textwrap
from typing import Any

from infra.attempts import kind_of
from infra.digest import short
from tasks.contracts import Bill, Night, Plan, Preferences, Release, StepReport, Verdict

STEPS = ("collect", "sample", "validate", "decide", "align", "score", "judge", "register")


def step_reports(entries: list[dict[str, Any]], run: str) -> list[StepReport]:
    """What each step did in this run: from the attempt log, in the order of the night."""
    states: dict[str, StepReport] = {}
    starts = {entry["id"]: entry for entry in entries if entry["event"] == "start" and entry["run"] == run}
    for entry in entries:
        if entry["event"] == "reused" and entry["run"] == run:
            states[entry["step"]] = StepReport(name=entry["step"], state="Completed", cached=True, seconds=0.0)
        elif entry["event"] == "end" and entry["id"] in starts:
            name = starts[entry["id"]]["step"]
            states[name] = StepReport(name=name, state=entry["state"], cached=False, seconds=round(entry["seconds"], 3))
    # of several phases each in its turn: sorting keeps the order in which they came
    known = [name for name in states if kind_of(name) in STEPS]
    return [states[name] for name in sorted(known, key=lambda name: STEPS.index(kind_of(name)))]


def summarise(
    night: Night,
    recipe: str,
    state: str,
    steps: list[StepReport],
    bill: Bill,
    links: dict[str, str],
    *,
    reason: str = "",
    plan: Plan | None = None,
    preferences: Preferences | None = None,
    verdict: Verdict | None = None,
    release: Release | None = None,
) -> dict[str, Any]:
    """The object that ``nightshift show --json`` prints."""
    return {
        "night": night.name,
        "id": night.id,
        "recipe": recipe,
        "state": state,
        "reason": verdict.paragraph if verdict else reason,
        "verdict": verdict.verdict if verdict else None,
        "version": release.version if release else None,
        "awaits": release.state if release else None,
        "steps": [step.model_dump() for step in steps],
        "suites": [
            {
                "name": one.name,
                "n": one.n,
                "delta": one.delta,
                "lower": one.lower,
                "margin": one.margin,
                "verdict": one.verdict,
            }
            for one in (verdict.suites if verdict else ())
        ],
        "phases": [one.model_dump(exclude={"candidate"}) for one in (verdict.phases if verdict else ())],
        "data": None
        if preferences is None
        else {
            "train": preferences.n_train,
            "house": preferences.n_house,
            "held_out": preferences.n_held_out,
            "quarantined": preferences.n_quarantined,
            "warnings": list(preferences.warnings),
        },
        "plan": None if plan is None else plan.model_dump(mode="json"),
        "bill": {
            "gpu_hours": bill.gpu_hours,
            "device_hours": bill.device_hours,
            "kwh": bill.kwh,
            "amount": bill.amount,
            "currency": bill.currency,
            "estimated": bill.estimated,
            "price_book": bill.price_book,
            "digits": bill.digits,
            "example": bill.example,
            "co2_kg": bill.co2_kg,
            "queue_seconds": bill.queue_seconds,
            "warnings": list(bill.warnings),
        },
        "links": links,
    }


def in_words(summary: dict[str, Any]) -> str:
    """The summary for a terminal, at most a screen."""
    lines = [
        "",
        f"Night {summary['night']} ({short(summary['id'])})  {summary['verdict'] or summary['state']}",
        "",
        *_wrapped(summary["reason"]),
        *_wrapped(_next(summary)),
        "",
    ]
    lines += [f"  {step['name']:<9} {_did(step)}" for step in summary["steps"]]
    if data := summary["data"]:
        lines += [
            "",
            f"  data      {data['train']} pairs to train on, {data['held_out']} held out "
            f"({data['house']} of them judged on), "
            f"{data['quarantined']} rows in quarantine",
        ]
        lines += [f"            warning: {warning}" for warning in data["warnings"]]
    if summary["suites"]:
        lines += ["", "  suite         n   candidate − champion   lower bound   margin   verdict"]
        lines += [_suite(one) for one in summary["suites"]]
    lines += _phases(summary)
    bill = summary["bill"]
    word = " (estimated)" if bill["estimated"] else ""
    # summaries of before prices had kinds lack these
    example, digits = " (example prices)" if bill.get("example") else "", bill.get("digits", 4)
    lines += [
        "",
        f"  bill      {bill['amount']:.{digits}f} {bill['currency']}{example}, {bill['kwh']:.4f} kWh{word}, "
        f"{bill['device_hours']:.3f} device-hours, {bill['gpu_hours']:.3f} of them GPU",
    ]
    lines += [f"            warning: {warning}" for warning in bill.get("warnings", [])]
    lines += ["", *[f"  {name:<10} {link}" for name, link in summary["links"].items()]]
    if any(link.startswith("http://127.0.0.1") for link in summary["links"].values()):
        lines.append("  (links to 127.0.0.1 open while `make up` runs)")
    return "\n".join(lines) + "\n"


def _phases(summary: dict[str, Any]) -> list[str]:
    """A line a phase: what was said of it, or what it would take."""
    if found := summary.get("phases"):  # summaries of before there were several lack it
        lines = ["", "  phase          target   lower bound   verdict"]
        for one in found:
            numbers = "" if one["lower"] is None else f"{one['delta']:>+8.4f} {one['lower']:>+13.4f}"
            word = f"{one['verdict'] or 'no candidate'}{', chosen' if one['chosen'] else ''}"
            lines.append(f"  {one['number']:>2} {one['method']:<9} {numbers:>22}   {word}")
        return lines
    plan = summary["plan"]
    if not plan or not plan.get("phases"):
        return []
    lines = ["", f"  phase         steps    pairs    hours {plan['currency']:>9}"]
    for one in plan["phases"]:
        if one["steps"]:
            lines.append(
                f"  {one['number']:>2} {one['method']:<9} {one['steps']:>6} {one['pairs']:>8} "
                f"{one['seconds'] / 3600:>8.3f} {one['amount']:>9.4f}"
            )
        else:
            lines.append(f"  {one['number']:>2} {one['method']:<9} left out: {one['reason']}")
    return lines


def _next(summary: dict[str, Any]) -> str:
    """What a person does now."""
    if summary["awaits"] == "awaits approval":
        name = summary["recipe"]
        return f"To approve it: nightshift approve {summary['version']} --name {name}; the report has the evidence."
    if summary["verdict"] == "PASS":
        return "It awaits no approval: it was decided on before, or the gate was overridden for this night."
    return ""


def _did(step: dict[str, Any]) -> str:
    return "reused: same inputs, finished before" if step["cached"] else f"{step['state']} in {step['seconds']:.1f} s"


def _suite(one: dict[str, Any]) -> str:
    if one["delta"] is None:
        return f"  {one['name']:<11} {'not judged':>33} {'':>12} {-one['margin']:>8.3f}   {one['verdict']}"
    return (
        f"  {one['name']:<11} {one['n']:>4} {one['delta']:>+18.4f} {one['lower']:>+15.4f} "
        f"{-one['margin']:>8.3f}   {one['verdict']}"
    )


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 100, initial_indent="  ", subsequent_indent="  ")
