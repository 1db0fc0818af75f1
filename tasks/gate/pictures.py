"""The report's pictures, as SVG text to put into a page: forest plot of the suites, training curves, cost by step.

Text stays text: the page's fonts draw it, a reader can select it, and the file stays small. The same numbers give the
same bytes, so a night that runs again stores the same report. matplotlib is imported inside: it takes a second.
"""

import io
import math
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from tasks.contracts import Bill, BillLine, SuiteResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart with any colour vision; shapes and positions say the same without colour
BLUE, SKY, VERMILLION, ORANGE, GREEN = "#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#009E73"
INK, GREY, RULE, BAND = "#1b2330", "#5c6673", "#d9dee5", "#f2f6fa"

FILLED = {"facecolor": BLUE, "edgecolor": BLUE}
HATCHED = {"facecolor": "#cfe3f1", "edgecolor": BLUE, "hatch": "////"}

WIDTH = 11.0  # inches; the page scales it
# a suite's two intervals lie this far above and below its row
OFFSET = 0.19

CURVES = (
    ("loss", "loss", VERMILLION),
    ("rewards_margins", "reward margin", BLUE),
    ("rewards_accuracies", "reward accuracy", GREEN),
)
# with fewer steps than this the steps themselves are easy to read, and no running mean is drawn
SMOOTH_FROM = 40


def forest(suites: Sequence[SuiteResult]) -> str:
    """Candidate minus champion and candidate minus anchor, by suite, with their intervals and limits.

    Returns:
        SVG text; empty where there are no suites. Suites without numbers show their limits and ``not judged``.
    """
    if not suites:
        return ""

    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        axes.axvline(0, color=INK, linewidth=1.0, zorder=1, gid="zero")
        for row, suite in enumerate(suites):
            _forest_row(axes, row, suite)
        axes.set_ylim(len(suites) - 0.45, -0.55)  # first suite on top
        axes.set_yticks(
            range(len(suites)), [f"{suite.name} (target)" if suite.target else suite.name for suite in suites]
        )
        for label, suite in zip(axes.get_yticklabels(), suites, strict=True):
            label.set_fontweight("bold" if suite.target else "normal")
        axes.set_xlabel("candidate minus champion, and candidate minus anchor (score; right of 0 is better)")
        axes.margins(x=0.04)
        axes.grid(axis="x", color=RULE, linewidth=0.6)
        _plain(axes)
        figure.legend(
            handles=_forest_legend(),
            loc="outside upper center",
            ncols=4,
            frameon=False,
            handlelength=1.8,
            handletextpad=0.5,
            columnspacing=2.2,
        )

    return _picture("forest", _forest_label(suites), (WIDTH, 1.15 + 0.62 * len(suites)), draw)


def _forest_row(axes: "Axes", row: int, suite: SuiteResult) -> None:
    if suite.target:
        axes.axhspan(row - 0.46, row + 0.46, color=BAND, zorder=0)
    _limit(axes, row - OFFSET, -suite.margin, VERMILLION, f"margin-{suite.name}")
    _limit(axes, row + OFFSET, -suite.budget, ORANGE, f"budget-{suite.name}")
    _interval(axes, row - OFFSET, (suite.lower, suite.delta, suite.upper), BLUE, 2.8, f"champion-{suite.name}")
    _interval(
        axes,
        row + OFFSET,
        (suite.anchor_lower, suite.anchor_delta, suite.anchor_upper),
        SKY,
        2.0,
        f"anchor-{suite.name}",
    )
    said = suite.verdict if suite.delta is not None else f"{suite.verdict}: not judged"
    axes.annotate(
        said,
        (1, row),
        xycoords=("axes fraction", "data"),
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        color=INK,
        fontweight="bold",
        annotation_clip=False,
    )


def _limit(axes: "Axes", y: float, x: float, color: str, gid: str) -> None:
    axes.plot([x, x], [y - 0.15, y + 0.15], color=color, linewidth=2.6, solid_capstyle="butt", zorder=6, gid=gid)


def _interval(
    axes: "Axes", y: float, numbers: tuple[float | None, float | None, float | None], color: str, width: float, gid: str
) -> None:
    lower, delta, upper = numbers
    if lower is not None and upper is not None:
        axes.plot(
            [lower, upper], [y, y], color=color, linewidth=width, solid_capstyle="butt", zorder=4, gid=f"{gid}-interval"
        )
    if delta is not None:
        axes.plot(
            [delta],
            [y],
            marker="o",
            markersize=2.3 * width + 0.8,
            color=color,
            markeredgecolor="white",
            markeredgewidth=0.7,
            zorder=5,
            gid=f"{gid}-delta",
        )


def _forest_legend() -> list[Any]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=BLUE, linewidth=2.6, marker="o", label="against the champion"),
        Line2D([], [], color=VERMILLION, linewidth=0, marker="|", markersize=10, markeredgewidth=2.6, label="−margin"),
        Line2D([], [], color=SKY, linewidth=1.8, marker="o", markersize=5, label="against the anchor"),
        Line2D([], [], color=ORANGE, linewidth=0, marker="|", markersize=10, markeredgewidth=2.6, label="−budget"),
    ]


def _forest_label(suites: Sequence[SuiteResult]) -> str:
    told = [
        f"{suite.name}: not judged" if suite.delta is None else f"{suite.name}: {suite.delta:+.4f}, {suite.verdict}"
        for suite in suites
    ]
    return "Forest plot of the suites. " + "; ".join(told)


def training_curves(history: Sequence[dict[str, float]]) -> str:
    """Loss, reward margin and reward accuracy by step.

    Returns:
        SVG text; empty where no step logged any of the three.
    """
    series = {key: _series(history, key) for key, _, _ in CURVES}
    if not any(series.values()):
        return ""

    def draw(figure: "Figure") -> None:
        for panel, (key, title, color) in zip(figure.subplots(1, len(CURVES)), CURVES, strict=True):
            _curve(panel, series[key], title, color, key)

    return _picture("curves", "Training curves: loss, reward margin and reward accuracy by step", (WIDTH, 2.7), draw)


def _series(history: Sequence[dict[str, float]], key: str) -> list[tuple[float, float]]:
    """(step, value) where both are there and finite: what was not logged is left out, never drawn as zero."""
    points = [(one.get("step", math.nan), one.get(key, math.nan)) for one in history]
    return [(float(step), float(value)) for step, value in points if math.isfinite(step) and math.isfinite(value)]


def _curve(axes: "Axes", points: list[tuple[float, float]], title: str, color: str, key: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
    axes.set_xlabel("step")
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    if key == "rewards_margins":
        axes.axhline(0, color=GREY, linewidth=0.8)
    if key == "rewards_accuracies":
        axes.set_ylim(-0.03, 1.03)
        axes.axhline(0.5, color=GREY, linewidth=0.8, linestyle=(0, (3, 2)))
    _plain(axes, left=True)
    if not points:
        axes.set_xticks([])
        axes.text(0.5, 0.5, "not logged", transform=axes.transAxes, ha="center", va="center", color=GREY)
        return
    steps, values = [step for step, _ in points], [value for _, value in points]
    window = smoothing_window(len(points))
    marker = "o" if len(points) == 1 else ""
    axes.plot(
        steps,
        values,
        color=color,
        alpha=0.35 if window else 1.0,
        linewidth=1.0 if window else 1.6,
        marker=marker,
        gid=f"{key}-steps",
    )
    if window:
        axes.plot(steps, running_mean(values, window), color=color, linewidth=2.0, gid=f"{key}-mean")


def smoothing_window(steps: int) -> int:
    """Steps in the running mean; 0 where none is drawn."""
    return max(5, steps // 15) if steps >= SMOOTH_FROM else 0


def running_mean(values: Sequence[float], window: int) -> list[float]:
    """Mean of each value and those before it, ``window`` of them at most."""
    parts = [values[max(0, i + 1 - window) : i + 1] for i in range(len(values))]
    return [sum(part) / len(part) for part in parts]


def cost_bars(bill: Bill, words: Callable[[float], str]) -> str:
    """What each step cost, one horizontal bar a bill line; estimated lines are hatched and say so.

    Args:
        words: how the page writes an amount.

    Returns:
        SVG text; empty where the bill has no lines.
    """
    if not bill.lines:
        return ""

    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        for row, line in enumerate(bill.lines):
            look: dict[str, Any] = HATCHED if line.estimated else FILLED
            axes.barh(row, line.amount, height=0.58, linewidth=0.8, gid=f"bar-{row}", **look)
            said = f"{words(line.amount)} {bill.currency}{', estimated' if line.estimated else ''}"
            axes.annotate(said, (line.amount, row), xytext=(6, 0), textcoords="offset points", va="center", color=INK)
        axes.set_ylim(len(bill.lines) - 0.45, -0.55)
        axes.set_yticks(range(len(bill.lines)), bar_names(bill.lines))
        # room for the amounts in words; some width even where nothing cost anything
        axes.set_xlim(0, max(line.amount for line in bill.lines) * 1.18 or 1.0)
        axes.set_xlabel(f"amount ({bill.currency})")
        axes.grid(axis="x", color=RULE, linewidth=0.6)
        _plain(axes)

    return _picture("cost", f"Cost by step in {bill.currency}", (WIDTH, 0.7 + 0.34 * len(bill.lines)), draw)


def bar_names(lines: Sequence[BillLine]) -> list[str]:
    """The step's name, with its device where a step ran on several."""
    steps = [line.step for line in lines]
    return [f"{line.step} ({line.device})" if steps.count(line.step) > 1 else line.step for line in lines]


def _plain(axes: "Axes", *, left: bool = False) -> None:
    """No box around the data: the axis line that carries numbers is enough."""
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom" or (left and side == "left"))
        spine.set_color(GREY)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)


def _picture(name: str, label: str, size: tuple[float, float], draw: Callable[["Figure"], None]) -> str:
    """Draw a figure of its own and return it as an ``<svg>`` element that can stand in a page beside others."""
    import matplotlib
    from matplotlib.figure import Figure

    look: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "nightshift",  # ids are random without it
        "text.parse_math": False,  # a $ in a name is a $
        "font.size": 9,
        "hatch.linewidth": 0.7,
        "xtick.color": GREY,
        "xtick.labelcolor": INK,
        "axes.labelcolor": GREY,
        "text.color": INK,
        "ytick.color": INK,
        "axes.unicode_minus": True,
    }
    buffer = io.StringIO()
    with matplotlib.rc_context(look):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        figure.savefig(
            buffer, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    return _inline(buffer.getvalue(), name, label)


def _inline(svg: str, name: str, label: str) -> str:
    """An SVG file as an element: no XML header, no fixed size, ids and references under the picture's own name."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)  # it would apply to the whole page
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r' (?:width|height)="[^"]*pt"', "", svg, count=2)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1).strip()
