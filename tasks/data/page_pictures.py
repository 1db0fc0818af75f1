"""The data report's pictures: where rows went, sources, bias, drift, agreement. Pure: records in, HTML out.

Each says in words what it shows; the page has a table of the same figures beside it.
"""

import math
from collections.abc import Sequence
from html import escape

from infra.drawing import Scale, circle, line, picture, rectangle, text, tick_words, ticks
from tasks.data.agreement import Agreement
from tasks.data.drift import LARGE, SOME, DriftFigure
from tasks.data.page_records import DriftAgainst
from tasks.data.page_words import (
    BIAS_NAMES,
    LEVELS,
    MEASURES,
    Part,
    bias_range,
    bias_state,
    bias_value,
    percent,
    reliability,
    rows_word,
)
from tasks.data.style import BiasFigure

# the usual reading of alpha (Krippendorff 2004)
TENTATIVE, RELIABLE = 0.667, 0.8

ROW, MIDDLE = 34.0, 17.0
# a ratio's axis ends here: one pair alone has an interval as wide as numbers go
_MOST_RATIO = 16.0
_RATIOS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 2 / 3, 4 / 5, 1.0, 5 / 4, 3 / 2, 2.0, 4.0, 8.0, 16.0)


def flow(parts: Sequence[Part], rows: int) -> str:
    """One bar of all rows that came in, in the parts they went to; empty where there are none."""
    if not rows:
        return ""
    drawn, start = [], 0.0
    for part in parts:
        end = start + 100 * part.rows / rows
        if part.rows:
            drawn.append(rectangle(f"part {part.key}", start, end, 2, 32, value=part.rows))
        start = end
    said = ", ".join(f"{part.words} {rows_word(part.rows)} ({percent(part.rows, rows)})" for part in parts if part.rows)
    return picture("flow", 36, f"Of {rows_word(rows)} that came in: {said}", *drawn)


def reason_bar(name: str, rows: int, most: int, of: int) -> str:
    """A bar a reason; the reason with most rows has the whole width."""
    said = f"{name}: {rows_word(rows)}, {percent(rows, of)} of all"
    return picture("reason-bar", 12, said, rectangle("part left", 0, 100 * rows / max(most, 1), 1, 10, value=rows))


def source_bars(name: str, now: float, before: float | None) -> str:
    """A source's share of all rows tonight (filled) and in the last accepted snapshot (hollow)."""
    parts = [rectangle("now", 0, 100 * now, 2, 10, value=now)]
    said = f"{name}: {percent(now)} of tonight's rows"
    if before is not None:
        parts.append(rectangle("before", 0, 100 * before, 16, 8, value=before))
        said += f", {percent(before)} of the last accepted snapshot's"
    return picture("source-bars", 28 if before is not None else 14, said, *parts)


# ---- bias


def bias(figures: Sequence[BiasFigure]) -> list[tuple[str, str]]:
    """A panel a measure (its title, rows and axis): figures of one measure share a scale."""
    groups = {measure: [one for one in figures if one.measure == measure] for measure in MEASURES}
    return [(MEASURES[measure], _panel(some)) for measure, some in groups.items() if some]


def _panel(figures: Sequence[BiasFigure]) -> str:
    across = _scale(figures)
    marks = ticks(across.low, across.high, 6)
    if figures[0].measure == "ratio":
        marks = [mark for ratio in _RATIOS if across.low <= (mark := math.log2(ratio)) <= across.high]
    rows = [_bias_row(one, across, marks) for one in figures]
    axis = picture(
        "forest-axis",
        22,
        f"Axis: {MEASURES[figures[0].measure]}",
        *(
            text("tick middle", across.at(mark), 14, said)
            for mark, said in zip(marks, _said(figures[0].measure, marks), strict=True)
        ),
    )
    return f'<div class="forest">{"".join(rows)}<div class="forest-row">{axis}</div></div>'


def _said(measure: str, marks: Sequence[float]) -> list[str]:
    if measure == "ratio":
        return [f"{2**mark:.2g}×" if mark != math.log2(5 / 4) else "1.25×" for mark in marks]
    unit = " %" if measure == "share" else ""
    return [f"{word}{unit}" for word in tick_words([100 * mark + 0.0 for mark in marks])]


def _place(one: BiasFigure, value: float) -> float:
    """A value on its measure's axis: ratios by their logarithm, so that twice and half lie equally far from 1."""
    if one.measure != "ratio":
        return min(1.0, max(0.0 if one.measure == "share" else -1.0, value))
    return math.log2(min(_MOST_RATIO, max(1 / _MOST_RATIO, value)))


def _scale(figures: Sequence[BiasFigure]) -> Scale:
    places = [_place(one, value) for one in figures for value in (one.lower, one.value, one.upper, one.neutral)]
    if figures[0].measure == "share":
        return Scale(0.0, 1.0, 2, 98)
    room = max(0.1 if figures[0].measure != "ratio" else 0.5, *(abs(place) for place in places)) * 1.08
    return Scale(-room, room, 2, 98)


def _bias_row(one: BiasFigure, across: Scale, marks: Sequence[float]) -> str:
    lower, value, upper, neutral = (_place(one, number) for number in (one.lower, one.value, one.upper, one.neutral))
    parts = [line("grid", across.at(mark), 0, across.at(mark), ROW) for mark in marks]
    parts.append(line("zero", across.at(neutral), 0, across.at(neutral), ROW, value=one.neutral))
    parts.append(line("interval figure", across.at(lower), MIDDLE, across.at(upper), MIDDLE))
    parts.append(circle("dot figure", across.at(value), MIDDLE, 4.5, value=one.value))
    state = bias_state(one)
    name, what = BIAS_NAMES.get(one.name, (one.name, MEASURES[one.measure]))
    said = (
        f"{name}: {bias_value(one, one.value)}, 95 % interval {bias_range(one)}, {bias_value(one, one.neutral)} "
        f"where nothing differs; {state.word}"
    )
    return _row(state.look, name, what, f"{state.mark} {state.word}", picture("forest-plot", ROW, said, *parts))


def _row(look: str, name: str, what: str, word: str, drawn: str) -> str:
    mark, _, said = word.partition(" ")
    return (
        f'<div class="forest-row {look}">'
        f'<div class="forest-name"><b>{escape(name)}</b> <span>{escape(what)}</span></div>'
        f'<div class="forest-word word"><span aria-hidden="true">{mark}</span> {escape(said)}</div>{drawn}</div>'
    )


# ---- drift


def drift(one: DriftAgainst) -> str:
    """A bar a marginal, against the thresholds of a shift; empty where nothing is compared."""
    if not one.figures:
        return ""
    across = Scale(0.0, max(0.3, *(1.05 * figure.psi for figure in one.figures)), 0, 98)
    marks = ticks(across.low, across.high, 6)
    axis = picture(
        "forest-axis",
        22,
        "Axis: population stability index (PSI); 0 is no difference",
        *(
            text("tick middle" if mark else "tick", across.at(mark), 14, said)
            for mark, said in zip(marks, tick_words(marks), strict=True)
        ),
    )
    rows = "".join(_drift_row(figure, across) for figure in one.figures)
    return f'<div class="forest">{rows}<div class="forest-row">{axis}</div></div>'


def _drift_row(one: DriftFigure, across: Scale) -> str:
    state = LEVELS[one.level]
    parts = [rectangle("psi", 0, across.at(max(0.0, one.psi)), MIDDLE - 6, 12, value=one.psi)]
    parts += [
        line(f"threshold {name}", across.at(limit), 3, across.at(limit), ROW - 3, value=limit)
        for name, limit in (("some", SOME), ("large", LARGE))
    ]
    if across.low < one.chance <= across.high:
        parts.append(
            line("chance", across.at(one.chance), MIDDLE + 6, across.at(one.chance), ROW - 2, value=one.chance)
        )
    said = f"{one.name}: PSI {one.psi:.3f}, by chance up to {one.chance:.3f}; {state.word}"
    what = f"{one.n_now:,} tonight, {one.n_before:,} there"
    return _row(state.look, one.name, what, f"{state.mark} {state.word}", picture("forest-plot", ROW, said, *parts))


# ---- agreement


def agreement(one: Agreement) -> str:
    """Alpha with its interval, against the two usual limits; empty where there is no alpha."""
    if one.alpha is None:
        return ""
    low = one.alpha if one.low is None else one.low
    high = one.alpha if one.high is None else one.high
    across = Scale(min(0.0, math.floor(4 * low) / 4), 1.0, 2, 98)
    marks = ticks(across.low, across.high, 6)
    state = reliability(one)
    parts = [line("grid", across.at(mark), 0, across.at(mark), ROW) for mark in marks]
    parts += [
        line(f"threshold {name}", across.at(limit), 3, across.at(limit), ROW - 3, value=limit)
        for name, limit in (("some", TENTATIVE), ("large", RELIABLE))
    ]
    parts.append(line("interval figure", across.at(low), MIDDLE, across.at(high), MIDDLE))
    parts.append(circle("dot figure", across.at(one.alpha), MIDDLE, 4.5, value=one.alpha))
    said = f"alpha {one.alpha:.3f}, 95 % interval {low:.3f} to {high:.3f}; {state.word}"
    axis = picture(
        "forest-axis",
        22,
        "Axis: Krippendorff's alpha; 0 is agreement by chance, 1 agreement of all",
        *(text("tick middle", across.at(mark), 14, word) for mark, word in zip(marks, tick_words(marks), strict=True)),
    )
    row = _row(
        state.look, "alpha", f"{one.units:,} pairs of answers", f"{state.mark} {state.word}",
        picture("forest-plot", ROW, said, *parts),
    )  # fmt: skip
    return f'<div class="forest">{row}<div class="forest-row">{axis}</div></div>'
