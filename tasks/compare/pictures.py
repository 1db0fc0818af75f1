"""The page's pictures: a row a method, with a dot a seed, the mean, and intervals. Pure: numbers in, HTML out.

Drawn with ``infra.drawing`` as the gate's report is: positions across in per cent, letters in pixels.
"""

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

from infra.drawing import Scale, circle, line, picture, rectangle, scale, text, tick_words, ticks

ROW, MIDDLE, AXIS, BARE_AXIS = 30.0, 15.0, 38.0, 20.0


class Row(NamedTuple):
    """One row of a picture.

    Attributes:
        name, word: what stands before and behind it, as plain text.
        dots: one a seed.
        mean: None: nothing is drawn, and ``word`` says why.
        inner, outer: intervals, the thick and the thin one; None where there is none.
        look: a class of the page that colours the row.
    """

    name: str
    word: str
    dots: tuple[float, ...]
    mean: float | None
    inner: tuple[float, float] | None = None
    outer: tuple[float, float] | None = None
    look: str = "plain"


def intervals(rows: Sequence[Row], title: str, *, zero: float = 0.0) -> str:
    """Rows on one scale, which holds ``zero``, every dot and every thick interval; thin ones are cut at its ends."""
    across = scale([zero, *_known(rows)], 0, 100, pad=0.06)
    marks = ticks(across.low, across.high, 6)
    return _drawn(rows, across, marks, tick_words(marks), title, zero)


def ratios(rows: Sequence[Row], title: str) -> str:
    """Ratios on a scale of powers, around 1."""
    logs = [
        row._replace(**{name: _log(getattr(row, name)) for name in ("dots", "mean", "inner", "outer")}) for row in rows
    ]
    across = scale([0.0, *_known(logs)], 0, 100, pad=0.06)
    low, high = math.exp(across.low), math.exp(across.high)
    steps = [times * 10.0**power for power in range(-6, 7) for times in (1, 2, 5)]
    marks = [step for step in steps if low <= step <= high] or [1.0]
    while len(marks) > 8:
        marks = [mark for number, mark in enumerate(marks) if number % 2 == 0 or mark == 1.0]
    return _drawn(logs, across, [math.log(mark) for mark in marks], [f"{mark:g}×" for mark in marks], title, 0.0)


def amounts(rows: Sequence[Row], title: str, say: Callable[[float], str]) -> str:
    """Bars from 0 to the mean, with a dot a seed."""
    most = max([*_known(rows), 0.0]) or 1.0
    across = Scale(0.0, most * 1.04, 0, 100)
    marks = ticks(0.0, most, 4)
    return _drawn(rows, across, marks, [say(mark) for mark in marks], title, 0.0, bars=True)


def _log(value: float | tuple[float, ...] | None) -> float | tuple[float, ...] | None:
    if value is None:
        return None
    return tuple(map(math.log, value)) if isinstance(value, tuple) else math.log(value)


def _known(rows: Sequence[Row]) -> list[float]:
    return [
        value
        for row in rows
        for value in (*row.dots, *(row.inner or ()), *([] if row.mean is None else [row.mean]))
        if math.isfinite(value)
    ]


def _drawn(
    rows: Sequence[Row],
    across: Scale,
    marks: Sequence[float],
    words: Sequence[str],
    title: str,
    zero: float,
    *,
    bars: bool = False,
) -> str:
    drawn = [
        f'<div class="forest-row {escape(row.look)}"><div class="forest-name">{escape(row.name)}</div>'
        f'<div class="forest-word">{escape(row.word)}</div>{_row(row, across, marks, zero, bars=bars)}</div>'
        for row in rows
    ]
    axis = picture(
        "forest-axis",
        BARE_AXIS if bars else AXIS,
        f"Axis: {title}",
        *(text("tick middle", across.at(mark), 14, said) for mark, said in zip(marks, words, strict=True)),
        "" if bars else text("title middle", 50, 33, title),  # bars have theirs above
    )
    return f'<div class="forest">{"".join(drawn)}<div class="forest-row">{axis}</div></div>'


def _row(row: Row, across: Scale, marks: Sequence[float], zero: float, *, bars: bool) -> str:
    parts = [line("grid", across.at(mark), 0, across.at(mark), ROW) for mark in marks]
    parts.append(line("zero", across.at(zero), 0, across.at(zero), ROW))
    if row.mean is not None and bars:
        parts.append(rectangle("bar", across.at(0), across.at(row.mean), MIDDLE - 6, 12, value=row.mean))
    if row.outer is not None:
        ends = [min(max(across.at(end), 0.0), 100.0) for end in row.outer]
        parts.append(line("outer", ends[0], MIDDLE, ends[1], MIDDLE))
    if row.inner is not None:
        parts.append(line("interval", across.at(row.inner[0]), MIDDLE, across.at(row.inner[1]), MIDDLE))
    if row.mean is not None and not bars:
        at = across.at(row.mean)
        parts.append(line("mean", at, MIDDLE - 7, at, MIDDLE + 7, value=row.mean))
    # dots beside each other where seeds are alike, so that each is seen
    shift = 3.0 if len(row.dots) > 1 else 0.0
    for number, dot in enumerate(row.dots):
        up = MIDDLE + shift * (2 * number / max(len(row.dots) - 1, 1) - 1)
        parts.append(circle("dot", across.at(dot), up, 3.5, value=dot))
    return picture("forest-plot", ROW, f"{row.name}: {row.word}", *parts)
