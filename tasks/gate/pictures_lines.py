"""The report's lines over time: drift since day one, and the training's curves. Pure.

Drift is drawn by decision, not by date: nights without a decision say nothing, two decisions of one day stay apart, and
a clock that ran backwards can't fold the line.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from infra.drawing import (
    MINUS,
    Scale,
    circle,
    dots,
    line,
    path,
    picture,
    scale,
    stems,
    stretched,
    text,
    tick_words,
    ticks,
)
from infra.number_words import limit, signed

# across, per cent: numbers of the axis before it, air behind it
START, END = 13.0, 97.0

# drift: pixels down
HEIGHT, ANCHOR_TOP, ANCHOR_END, CHAMPION_TOP, CHAMPION_END, LABELS = 232.0, 10.0, 140.0, 162.0, 206.0, 224.0

# with more decisions than this, those not promoted have no dot, and the lifetime goes through the promoted ones only
DOTS = 60

CURVES = (
    ("loss", "loss", "one"),
    ("rewards_margins", "reward margin", "two"),
    ("rewards_accuracies", "reward accuracy", "three"),
)
# with fewer steps than this the steps themselves are easy to read, and no running mean is drawn
SMOOTH_FROM = 40


class Decision(NamedTuple):
    """What one judged decision said about one suite; None where it said nothing.

    Attributes:
        delta: against the champion of that night; ``anchor_delta``: against the anchor of that night.
        lifetime: against the first anchor.
        segment: counts the re-anchorings before it; lines against the anchor break there.
    """

    day: str
    promoted: bool
    tonight: bool
    delta: float | None
    anchor_delta: float | None
    lifetime: float | None
    segment: int = 0


Points = list[tuple[float, float]]


def drift(name: str, decisions: Sequence[Decision], budget: float) -> str:
    """One suite's way since day one: against the anchor above, against each night's champion below.

    Returns:
        SVG text; empty where no decision has a number for this suite.
    """
    told = [one for one in decisions if one.anchor_delta is not None or one.delta is not None]
    if not told:
        return ""
    across = Scale(0.0, max(len(decisions) - 1.0, 1.0), START, END)
    if len(decisions) == 1:
        across = Scale(-1.0, 1.0, START, END)  # in the middle
    heights = [one for each in decisions for one in (each.anchor_delta, each.lifetime) if one is not None]
    down = scale([0.0, -budget, *heights], ANCHOR_END, ANCHOR_TOP, pad=0.06)
    return picture(
        "drift",
        HEIGHT,
        drift_words(name, decisions, budget),
        *_grid(down, 5),
        line("zero", START, down.at(0), END, down.at(0)),
        line("budget", START, down.at(-budget), END, down.at(-budget), value=-budget),
        text("budget-word end", END, down.at(-budget) - 4, f"budget {limit(budget)}"),
        *_reanchorings(decisions, across),
        stretched(0, HEIGHT, *_drawn(decisions, across, down)),
        *_champion_strip(decisions, across),
        *_tonight(decisions, across, down),
        *_days(decisions, across),
    )


def _drawn(decisions: Sequence[Decision], across: Scale, down: Scale) -> list[str]:
    """Lines and dots of the upper panel: every candidate; what served, as steps; the lifetime where it differs."""
    few = len(decisions) <= DOTS
    placed = [(across.at(i), one) for i, one in enumerate(decisions)]
    candidates = [(x, one.anchor_delta, one.segment) for x, one in placed]
    served = [(x, one.anchor_delta, one.segment) for x, one in placed if one.promoted and one.anchor_delta is not None]
    lived = [(x, one.lifetime, 0) for x, one in placed if few or one.promoted or one.tonight]
    small = "" if few else " small"
    return [
        path("lifetime", _down(segments(lived), down)) if reanchored(decisions) else "",
        path(f"anchor{small}", _down(segments(candidates), down)),
        path("served", [steps(part) for part in _down(segments(served), down)]),
        dots("judged", ((x, down.at(y)) for x, y in _apart(placed, promoted=False))) if few else "",
        dots(f"promoted{small}", ((x, down.at(y)) for x, y in _apart(placed, promoted=True))),
    ]


def _apart(placed: Iterable[tuple[float, Decision]], *, promoted: bool) -> Points:
    return [(x, one.anchor_delta) for x, one in placed if one.promoted == promoted and one.anchor_delta is not None]


def _down(parts: Iterable[Points], down: Scale) -> list[Points]:
    return [[(x, down.at(y)) for x, y in part] for part in parts]


def steps(points: Points) -> Points:
    """A line that keeps each value until the next one comes."""
    corners = [(x, before) for (_, before), (x, _) in pairwise(points)]
    return [point for pair in zip(points, [*corners, points[-1]], strict=True) for point in pair]


def segments(points: Iterable[tuple[float, float | None, int]]) -> list[Points]:
    """Points as unbroken lines: a missing value breaks the line, and so does a new segment; nothing is interpolated."""
    found: list[Points] = []
    last: int | None = None
    for x, y, segment in points:
        if y is None:
            last = None
            continue
        if segment != last:
            found.append([])
        found[-1].append((x, y))
        last = segment
    return found


def reanchored(decisions: Sequence[Decision]) -> bool:
    """Whether the lifetime differs from the difference to the anchor anywhere."""
    return any(
        one.lifetime is not None and one.anchor_delta is not None and not math.isclose(one.lifetime, one.anchor_delta)
        for one in decisions
    )


def _reanchorings(decisions: Sequence[Decision], across: Scale) -> list[str]:
    """A mark halfway between the last decision against the old anchor and the first against the new one."""
    places = [i - 0.5 for i in range(1, len(decisions)) if decisions[i].segment != decisions[i - 1].segment]
    if decisions and decisions[0].segment:
        places.insert(0, 0.0)
    return [line("reanchored", across.at(place), ANCHOR_TOP, across.at(place), CHAMPION_END) for place in places]


def _champion_strip(decisions: Sequence[Decision], across: Scale) -> list[str]:
    """Candidate minus that night's champion, a stroke a decision."""
    points = [(across.at(i), one.delta) for i, one in enumerate(decisions) if one.delta is not None]
    if not points:
        return []
    most = round_up(max(abs(value) for _, value in points))
    down = Scale(-most, most, CHAMPION_END, CHAMPION_TOP)
    thin = " thin" if len(decisions) > DOTS else ""
    return [
        line("zero", START, down.at(0), END, down.at(0)),
        stretched(0, HEIGHT, stems(f"champion{thin}", [(x, down.at(y)) for x, y in points], down.at(0))),
        text("tick end", START - 1.5, down.at(most) + 4, f"+{most:g}"),
        text("tick end", START - 1.5, down.at(-most) + 4, f"{MINUS}{most:g}"),
    ]


def round_up(most: float) -> float:
    """The next of 1, 2, 5, 10, … times a power of ten, so that the strip's ends are short numbers; at least 1e-4."""
    power = 10.0 ** math.floor(math.log10(max(most, 1e-4)))
    return next(round(power * times, 6) for times in (1, 2, 5, 10) if power * times >= most * (1 - 1e-9))


def _tonight(decisions: Sequence[Decision], across: Scale, down: Scale) -> list[str]:
    return [
        circle("tonight", across.at(i), down.at(one.anchor_delta), 5, value=one.anchor_delta)
        for i, one in enumerate(decisions)
        if one.tonight and one.anchor_delta is not None
    ]


def _days(decisions: Sequence[Decision], across: Scale) -> list[str]:
    if len(decisions) == 1:
        return [text("tick middle", across.at(0), LABELS, f"decision 1, {_day(decisions[0])}")]
    return [
        text("tick", START, LABELS, f"1: {_day(decisions[0])}"),
        text("tick end", END, LABELS, f"{len(decisions)}: {_day(decisions[-1])}"),
    ]


def _day(decision: Decision) -> str:
    return "tonight" if decision.tonight else decision.day


def _grid(down: Scale, most: int) -> list[str]:
    marks = ticks(down.low, down.high, most)
    return [
        part
        for mark, said in zip(marks, tick_words(marks), strict=True)
        for part in (
            line("grid", START, down.at(mark), END, down.at(mark)),
            text("tick end", START - 1.5, down.at(mark) + 4, said),
        )
    ]


def drift_words(name: str, decisions: Sequence[Decision], budget: float) -> str:
    """A suite's chart in words: how long, how often promoted, where it stands."""
    last = next((one for one in reversed(decisions) if one.anchor_delta is not None), None)
    stands = "" if last is None else f"; last {signed(last.anchor_delta)} against the anchor, budget {limit(budget)}"
    lived = "" if last is None or last.lifetime is None else f", {signed(last.lifetime)} over its lifetime"
    promoted = sum(one.promoted for one in decisions)
    plural = "" if len(decisions) == 1 else "s"
    return f"{name}: {len(decisions)} decision{plural}, {promoted} promoted{stands}{lived}"


def training_curves(history: Sequence[dict[str, float]]) -> list[tuple[str, str]]:
    """Loss, reward margin and reward accuracy by step.

    Returns:
        (title, SVG text) by curve, the text empty where it was not logged; empty where no step logged any of the three.
    """
    series = {key: _series(history, key) for key, _, _ in CURVES}
    if not any(series.values()):
        return []
    return [(title, _curve(series[key], title, key, look)) for key, title, look in CURVES]


def _series(history: Sequence[dict[str, float]], key: str) -> Points:
    """(step, value) where both are there and finite: what was not logged is left out, never drawn as zero."""
    points = [(one.get("step", math.nan), one.get(key, math.nan)) for one in history]
    return [(float(step), float(value)) for step, value in points if math.isfinite(step) and math.isfinite(value)]


def _curve(points: Points, title: str, key: str, look: str) -> str:
    if not points:
        return ""
    steps, values = [step for step, _ in points], [value for _, value in points]
    level = {"rewards_margins": 0.0, "rewards_accuracies": 0.5}.get(key)
    across = scale(steps, START, END)
    down = scale([*values, *([] if level is None else [level])], 148, 10, pad=0.06)
    if key == "rewards_accuracies":
        down = Scale(0.0, 1.0, 148, 10)
    window = smoothing_window(len(points))
    means = running_mean(values, window) if window else []
    marks = ticks(across.low, across.high, 4) if len(points) > 1 else steps
    drawn = [
        path(f"steps {look}{' faint' if window else ''}", [[(across.at(x), down.at(y)) for x, y in points]]),
        path(f"mean {look}", [[(across.at(x), down.at(y)) for x, y in zip(steps, means, strict=True)]])
        if window
        else "",
        dots(f"only {look}", [(across.at(x), down.at(y)) for x, y in points]) if len(points) == 1 else "",
    ]
    return picture(
        "curve",
        178,
        f"{title} by step: {values[0]:.4g} at step {steps[0]:g}, {values[-1]:.4g} at step {steps[-1]:g}",
        *_grid(down, 5),
        line("level", START, down.at(level), END, down.at(level)) if level is not None else "",
        stretched(0, 178, *drawn),
        *(text("tick middle", across.at(mark), 170, f"{mark:,.0f}") for mark in marks),
    )


def smoothing_window(steps: int) -> int:
    """Steps in the running mean; 0 where none is drawn."""
    return max(5, steps // 15) if steps >= SMOOTH_FROM else 0


def running_mean(values: Sequence[float], window: int) -> list[float]:
    """Mean of each value and those before it, ``window`` of them at most."""
    parts = [values[max(0, i + 1 - window) : i + 1] for i in range(len(values))]
    return [sum(part) / len(part) for part in parts]
