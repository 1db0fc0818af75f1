"""The report's pictures: forest plot of the suites, wear, cost by step. Pure: records in, a piece of the page out.

What changes over time (drift, training) is drawn in ``pictures_lines``. The same numbers give the same bytes, so a
night that runs again stores the same report.
"""

from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

from infra.drawing import (
    Scale,
    circle,
    line,
    picture,
    rectangle,
    scale,
    text,
    tick_words,
    ticks,
)
from infra.number_words import signed
from tasks.contracts import Bill, BillLine, SuiteResult

# a suite's two lanes, in pixels from the top of its row
ROW, CHAMPION_LANE, ANCHOR_LANE, LANE = 52.0, 17.0, 37.0, 16.0

Said = Callable[[SuiteResult], str]


class Lane(NamedTuple):
    """One comparison of a suite: the interval must lie wholly right of ``limit``."""

    role: str
    y: float
    lower: float | None
    delta: float | None
    upper: float | None
    limit: float


def lanes(suite: SuiteResult) -> tuple[Lane, Lane]:
    """Against the champion and against the anchor; the target must be above 0, not only above −margin."""
    limit = 0.0 if suite.target else -suite.margin
    return (
        Lane("champion", CHAMPION_LANE, suite.lower, suite.delta, suite.upper, limit),
        Lane("anchor", ANCHOR_LANE, suite.anchor_lower, suite.anchor_delta, suite.anchor_upper, -suite.budget),
    )


def forest(suites: Sequence[SuiteResult], name: Said, word: Said) -> str:
    """Candidate minus champion and minus anchor, by suite, with intervals and limits on one scale.

    Args:
        name, word: what stands before and behind a suite's row, as HTML of the page.

    Returns:
        A row a suite, and the axis; empty where there are no suites. Suites without numbers show their limits only.
    """
    if not suites:
        return ""
    across = forest_scale(suites)
    marks = ticks(across.low, across.high, 6)
    rows = [
        f'<div class="forest-row {suite.verdict}"><div class="forest-name">{name(suite)}</div>'
        f'<div class="forest-word">{word(suite)}</div>{_forest_row(suite, across, marks)}</div>'
        for suite in suites
    ]
    words = zip(marks, tick_words(marks), strict=True)
    axis = picture(
        "forest-axis",
        40,
        "Axis: score difference, right of 0 is better",
        *(text("tick middle", across.at(mark), 14, said) for mark, said in words),
        text("title middle", 50, 34, "candidate minus baseline (score); right of 0 is better"),
    )
    return f'<div class="forest">{"".join(rows)}<div class="forest-row">{axis}</div></div>'


def forest_scale(suites: Sequence[SuiteResult]) -> Scale:
    """One scale for all suites: it holds 0, every bound and every limit."""
    values = [0.0]
    for suite in suites:
        values.append(-suite.margin)
        for lane in lanes(suite):
            values += [lane.limit, *(one for one in (lane.lower, lane.delta, lane.upper) if one is not None)]
    return scale(values, 0, 100, pad=0.05)


def _forest_row(suite: SuiteResult, across: Scale, marks: Sequence[float]) -> str:
    zero = across.at(0)
    parts = [line("grid", across.at(mark), 0, across.at(mark), ROW) for mark in marks]
    parts += [
        rectangle(f"zone {lane.role}", across.start, across.at(lane.limit), lane.y - LANE / 2, LANE)
        for lane in lanes(suite)
    ]
    parts.append(line("zero", zero, 0, zero, ROW))
    for lane in lanes(suite):
        parts += _lane(lane, across)
    if suite.target:  # its limit is 0; the margin is shown too, as the table says it
        at = across.at(-suite.margin)
        parts.append(line("limit champion open", at, CHAMPION_LANE - 8, at, CHAMPION_LANE + 8, value=-suite.margin))
    return picture("forest-plot", ROW, forest_words(suite), *parts)


def _lane(lane: Lane, across: Scale) -> list[str]:
    at = across.at(lane.limit)
    parts = [line(f"limit {lane.role}", at, lane.y - 8, at, lane.y + 8, value=lane.limit)]
    if lane.lower is not None and lane.upper is not None:
        parts.append(line(f"interval {lane.role}", across.at(lane.lower), lane.y, across.at(lane.upper), lane.y))
    if lane.delta is not None:
        parts.append(circle(f"dot {lane.role}", across.at(lane.delta), lane.y, 4.5, value=lane.delta))
    return parts


def forest_words(suite: SuiteResult) -> str:
    """A suite's row in words."""
    if suite.delta is None:
        return f"{suite.name}: {suite.verdict}, not judged"
    told = [f"{suite.name}: {suite.verdict}"]
    for lane in lanes(suite):
        if lane.lower is not None and lane.delta is not None and lane.upper is not None:
            told.append(
                f"against the {lane.role} {signed(lane.delta)}, from {signed(lane.lower)} to {signed(lane.upper)}, "
                f"limit {signed(lane.limit)}"
            )
    return "; ".join(told)


def gauge(wear: float | None, margin: float, state: str) -> str:
    """How far a suite's items are worn: a bar with ticks at half the margin and at the margin."""
    across = Scale(0.0, max(margin, wear or 0.0), 0, 96)
    half, whole = across.at(margin / 2), across.at(margin)
    said = "unknown" if wear is None else f"{wear:.4f}, {state}"
    parts = [rectangle("track", 0, 100, 5, 8)]
    if wear is not None:
        parts.append(rectangle(f"wear {state}", 0, across.at(max(wear, 0.0)), 5, 8))
    parts += [line("half", half, 2, half, 16), line("whole", whole, 0, whole, 18)]
    return picture("gauge", 18, f"wear {said}; half the margin is {margin / 2:g}, the margin {margin:g}", *parts)


def cost_bars(bill: Bill, words: Callable[[float], str]) -> str:
    """What each step cost, one bar a bill line; estimated lines are hollow and say so.

    Args:
        words: how the page writes an amount.

    Returns:
        A row a line; empty where the bill has no lines.
    """
    most = max((line_.amount for line_ in bill.lines), default=0.0) or 1.0  # some width where nothing cost anything
    rows = []
    for name, one in zip(bar_names(bill.lines), bill.lines, strict=True):
        look = "bar estimated" if one.estimated else "bar"
        said = f"{words(one.amount)} {bill.currency}{', estimated' if one.estimated else ''}"
        said += ", example" if one.example else ""
        drawn = picture("cost-bar", 16, f"{name}: {said}", rectangle(look, 0, 100 * one.amount / most, 2, 12))
        rows.append(
            f'<div class="cost-row"><div class="cost-name">{escape(name)}</div>{drawn}'
            f'<div class="cost-said">{escape(said)}</div></div>'
        )
    return f'<div class="cost">{"".join(rows)}</div>' if rows else ""


def bar_names(lines: Sequence[BillLine]) -> list[str]:
    """The step's name, with its device where a step ran on several."""
    steps = [one.step for one in lines]
    return [f"{one.step} ({one.device})" if steps.count(one.step) > 1 else one.step for one in lines]
