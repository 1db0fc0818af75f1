"""The gate report: one self-contained HTML file that a person decides from. Pure: records in, text out.

Nothing in it is loaded from elsewhere and nothing runs: pictures are inline, and a content policy in the page refuses
scripts and requests even if a model's answer should ever get past the escaping.
"""

from collections.abc import Sequence
from functools import cache, partial
from html import escape
from pathlib import Path
from typing import Any

from infra import number_words
from infra.digest import short
from infra.number_words import amount, digits_for, limit, signed
from infra.pages import page_template, plain_markdown
from tasks.contracts import (
    Baselines,
    Bill,
    Flip,
    PastNight,
    PhaseVerdict,
    Plan,
    Portability,
    Preferences,
    Reanchored,
    Snapshot,
    SuiteResult,
    Verdict,
)
from tasks.gate import pictures, pictures_lines, report_history, report_next, report_rounds, report_rows
from tasks.gate.flips import FlipCount, interleave

# worst and best flips that are open when the page is; the others are a click away
OPEN_FLIPS = 4


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
    flips: Sequence[Flip],
    flip_counts: Sequence[FlipCount],
    past: Sequence[PastNight],
    reanchored: Sequence[Reanchored],
    portability: Portability | None = None,
) -> str:
    """The report as one HTML page.

    Args:
        history: a dict a training step: step, loss, rewards_margins, rewards_accuracies, ...
        samples: ``prompt``, ``champion`` and ``candidate``: untrusted model text, shown escaped.
        quarantine: rows by reason; a row may have several.
        promotable: False where the gate was overridden for this night.
        flips: of all suites, worst and best together (tasks/gate/flips.py); the sign of ``delta`` tells which.
        flip_counts: of all suites, by topic.
        past: judged decisions from day one, oldest first; tonight's may be among them.
        reanchored: re-anchorings, oldest first.
        portability: where the candidate was trained on another kind of device than the champion.
    """
    money = partial(amount, digits=bill.digits)  # as they were rounded: so the lines shown add up to the whole
    hours, energy = (partial(amount, digits=digits_for(total)) for total in (bill.device_hours, bill.kwh))
    order = report_rows.worst_first(verdict.suites)
    names = [suite.name for suite in verdict.suites]
    page = _template().render(
        title=short(night) if night.startswith("sha256:") else night,
        recipe=recipe,
        created=report_history.moment(created),
        verdict=verdict,
        mark=report_rows.MARKS[verdict.verdict],
        status=report_next.status(verdict, promotable),
        stopped=report_next.stopped_early(verdict),
        cautions=report_next.cautions(verdict, portability),
        portability=portability,
        steps_next=report_next.next_steps(
            verdict, recipe, promotable, report_history.since_anchor(past, reanchored, night)
        ),
        no_waiver=report_next.no_waiver(verdict, promotable),
        tiles=report_rows.tiles(verdict, bill, plan, money),
        suites=[report_rows.suite_row(suite) for suite in verdict.suites],
        judged=any(suite.delta is not None for suite in verdict.suites),
        forest=_safe(pictures.forest(verdict.suites, _forest_name, _forest_word)),
        phases=[report_rows.phase_row(one) for one in verdict.phases],
        rounds=[report_rounds.round_row(one) for one in verdict.rounds],
        limits=[report_rows.limit_row(one) for one in verdict.limits],
        noise=[report_rows.noise_row(one) for one in verdict.noise],
        worst=_shown(flips, order, lost=True),
        best=_shown(flips, order, lost=False),
        open_flips=OPEN_FLIPS,
        flip_counts=report_rows.flip_counts(flip_counts),
        drift=_drift(verdict, night, past, reanchored),
        past=report_history.past_rows(past, names),
        n_past=len(past),
        names=names,
        given_up=any(abs(report_rows.given_up(suite) or 0.0) > 1e-9 for suite in verdict.suites),
        reanchored=[report_history.reanchored_row(one) for one in reversed(reanchored)],
        gauges=[_safe(pictures.gauge(suite.wear, suite.margin, suite.wear_state)) for suite in verdict.suites],
        curves=[(title, _safe(svg)) for title, svg in pictures_lines.training_curves(history)],
        steps=len(history),
        window=pictures_lines.smoothing_window(len(history)),
        plan=plan,
        bars=_safe(pictures.cost_bars(bill, money)),
        bill=bill,
        money=money,
        hours=hours,
        energy=energy,
        known=report_rows.how_known(bill),
        gpu_hours=report_rows.gpu_hours(bill, hours),
        plan_amount=amount(plan.amount, digits_for(plan.amount)),
        samples=samples,
        snapshot=snapshot,
        preferences=preferences,
        quarantine=sorted(quarantine.items(), key=lambda item: (-item[1], item[0])),
        digests=report_rows.digests(night, verdict, baselines),
    )
    # half of a surrogate pair is legal in JSON and so in a model's answer, but has no bytes in UTF-8
    return page.encode("utf-8", "replace").decode("utf-8")


def report_markdown(verdict: Verdict, promotable: bool, url: str = "") -> str:
    """The report in short, as Markdown: verdict, reason, what becomes of it, a line a suite.

    Args:
        url: where the whole report lies.
    """
    lines = [
        f"## {report_rows.MARKS[verdict.verdict]} {verdict.verdict}",
        "",
        plain_markdown(verdict.paragraph),
        "",
        plain_markdown(report_next.status(verdict, promotable)),
    ]
    lines += ["", plain_markdown(early)] if (early := report_next.stopped_early(verdict)) else []
    said = [*verdict.warnings, *report_rounds.in_short(verdict.rounds)]
    lines += ["", *(f"- {plain_markdown(one)}" for one in said)] if said else []
    lines += [
        "",
        "| suite | n | delta | lower bound | −margin | anchor: lower bound | −budget | verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [_markdown_row(one) for one in verdict.suites]
    if verdict.phases:
        lines += ["", "| phase | method | target: delta | lower bound | verdict |", "|---|---|---|---|---|"]
        lines += [_markdown_phase(one) for one in verdict.phases]
    lines += ["", f"[The whole report]({url})"] if url else []
    # a line feed in a name would end its row
    return "\n".join(lines) + "\n"


def _markdown_row(one: SuiteResult) -> str:
    name = plain_markdown(one.name) + (" (target)" if one.target else "")
    cells = [
        name, f"{one.n:,}", signed(one.delta), signed(one.lower), limit(one.margin), signed(one.anchor_lower),
        limit(one.budget), one.verdict,
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _markdown_phase(one: PhaseVerdict) -> str:
    number = f"{one.number} (chosen)" if one.chosen else str(one.number)
    cells = [number, one.method, signed(one.delta), signed(one.lower), one.verdict or "no candidate"]
    return f"| {' | '.join(cells)} |"


@cache
def _template() -> Any:
    names = ("signed", "number", "duration", "size", "count", "beginning")
    filters = {name: getattr(number_words, name) for name in names} | {"coded": _coded}
    return page_template(Path(__file__).parent, "report.html", filters)


def _coded(text: str) -> Any:
    """Escaped, with what stands between backticks as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a backtick without its other
        return text
    return _safe("".join(f"<code>{escape(part)}</code>" if i % 2 else escape(part) for i, part in enumerate(parts)))


def _safe(html: str) -> Any:
    """Pieces that are escaped where they are drawn (infra.drawing)."""
    from markupsafe import Markup

    return Markup(html)


def _forest_name(suite: SuiteResult) -> str:
    tag = ' <span class="tag">target</span>' if suite.target else ""
    return f"<b>{escape(suite.name)}</b>{tag} <span>{escape(report_rows.families(suite))}</span>"


def _forest_word(suite: SuiteResult) -> str:
    return (
        f'<span class="word"><span aria-hidden="true">{report_rows.MARKS[suite.verdict]}</span> {suite.verdict}</span>'
    )


def _shown(flips: Sequence[Flip], order: Sequence[str], *, lost: bool) -> list[dict[str, Any]]:
    """Worst or best flips, every suite's first before any suite's second."""
    some = [flip for flip in flips if (flip.delta < 0) == lost]
    return [report_rows.flip_row(flip) for flip in interleave(some, order)]


def _drift(
    verdict: Verdict, night: str, past: Sequence[PastNight], reanchored: Sequence[Reanchored]
) -> list[tuple[str, Any]]:
    """(suite, chart) of those suites of tonight that any decision has a number for."""
    lines = report_history.timeline(verdict, night, past, reanchored)
    drawn = [
        (suite.name, pictures_lines.drift(suite.name, lines[suite.name], suite.budget)) for suite in verdict.suites
    ]
    return [(name, _safe(svg)) for name, svg in drawn if svg]
