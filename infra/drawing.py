"""What pages draw their pictures with: scales, ticks and SVG elements as text. Pure.

A picture is as wide as its place: positions across are percentages, heights, strokes and letters are pixels. So letters
are as large on a phone as on a desk, and colours are the page's (classes), light or dark. Everything is escaped here.
"""

import math
from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise
from typing import NamedTuple

MINUS = "−"

# paths can't be given in percentages: they are drawn in a box of this width that is stretched to its place
BOX = 1000.0


class Scale(NamedTuple):
    """From values to positions: ``low`` lies at ``start``, ``high`` at ``end`` (per cent across, or pixels down)."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def scale(values: Iterable[float], start: float, end: float, *, pad: float = 0.0) -> Scale:
    """A scale that holds all values; where they are one, some room around it.

    Args:
        pad: room on both sides, as a share of the range.
    """
    finite = [value for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    room = (high - low) * pad if high > low else max(abs(high), 1.0) * 0.1
    return Scale(low - room, high + room, start, end)


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round values within the range, at most so many: steps of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (power * times for times in (1, 2, 5, 10, 20)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            return [number * step + 0.0 for number in range(first, last + 1)]
    return [low, high]


def tick_words(values: Sequence[float]) -> list[str]:
    """Ticks with as many decimals as tell them apart, and a true minus."""
    gaps = [b - a for a, b in pairwise(values)]
    digits = max(0, -math.floor(math.log10(min(gaps)) + 1e-9)) if gaps else 2
    return [f"{round(value, digits) + 0.0:,.{digits}f}".replace("-", MINUS) for value in values]


def percent(position: float) -> str:
    return f"{round(position, 3) + 0.0:g}%"


def pixels(position: float) -> str:
    return f"{round(position, 2) + 0.0:g}"


def picture(kind: str, height: float, label: str, *parts: str) -> str:
    """A whole picture, as wide as its place. ``label`` says in words what it shows."""
    return (
        f'<svg class="{kind}" role="img" aria-label="{escape(label)}" width="100%" height="{pixels(height)}">'
        f"{''.join(parts)}</svg>"
    )


def stretched(top: float, height: float, *parts: str) -> str:
    """A box for paths, ``BOX`` wide and ``height`` pixels high, that is stretched across the picture."""
    return (
        f'<svg x="0" y="{pixels(top)}" width="100%" height="{pixels(height)}" '
        f'viewBox="0 0 {BOX:g} {pixels(height)}" preserveAspectRatio="none">{"".join(parts)}</svg>'
    )


def path(classes: str, segments: Iterable[Sequence[tuple[float, float]]]) -> str:
    """Lines through points (per cent across, pixels down); a segment of one point is a dot."""
    drawn = "".join(
        "M"
        + "L".join(f"{round(x * BOX / 100, 1):g} {pixels(y)}" for x, y in segment)
        + ("h0" if len(segment) == 1 else "")
        for segment in segments
        if segment
    )
    return f'<path class="{classes}" d="{drawn}"/>' if drawn else ""


def dots(classes: str, points: Iterable[tuple[float, float]]) -> str:
    """Round dots at points, as one path: lines of no length with round ends stay round however the box is stretched."""
    drawn = "".join(f"M{round(x * BOX / 100, 1):g} {pixels(y)}h0" for x, y in points)
    return f'<path class="{classes}" d="{drawn}"/>' if drawn else ""


def stems(classes: str, points: Iterable[tuple[float, float]], base: float) -> str:
    """Upright strokes from a base line (pixels down) to points."""
    drawn = "".join(f"M{round(x * BOX / 100, 1):g} {pixels(base)}V{pixels(y)}" for x, y in points)
    return f'<path class="{classes}" d="{drawn}"/>' if drawn else ""


def line(classes: str, x1: float, y1: float, x2: float, y2: float, *, value: float | None = None) -> str:
    """A straight line; ``value`` is kept beside it, for whoever checks the picture."""
    return (
        f'<line class="{classes}" x1="{percent(x1)}" y1="{pixels(y1)}" x2="{percent(x2)}" y2="{pixels(y2)}"'
        f"{_kept(value)}/>"
    )


def circle(classes: str, x: float, y: float, radius: float, *, value: float | None = None) -> str:
    return f'<circle class="{classes}" cx="{percent(x)}" cy="{pixels(y)}" r="{pixels(radius)}"{_kept(value)}/>'


def rectangle(classes: str, x1: float, x2: float, top: float, height: float, *, value: float | None = None) -> str:
    """From x1 to x2, which may lie either way round."""
    return (
        f'<rect class="{classes}" x="{percent(min(x1, x2))}" y="{pixels(top)}" width="{percent(abs(x2 - x1))}" '
        f'height="{pixels(height)}"{_kept(value)}/>'
    )


def text(classes: str, x: float, y: float, words: str) -> str:
    """Words at a position; the class says from which side (``end``, ``middle``)."""
    return f'<text class="{classes}" x="{percent(x)}" y="{pixels(y)}">{escape(words)}</text>'


def _kept(value: float | None) -> str:
    return "" if value is None else f' data-value="{value:.6g}"'
