"""The comparison as one self-contained HTML page: nothing in it is loaded from elsewhere, and nothing runs. Pure."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from infra.number_words import NONE, amount, duration, number, signed
from infra.pages import page_template
from tasks.compare.figures import Compared, Figures, MethodFigures, SuiteFigure, Value
from tasks.compare.pictures import Row, amounts, intervals, ratios
from tasks.compare.sentence import capital, closing, footing, hours_words, name
from tasks.compare.words import energy, gigabytes, hours, mean, table
from tasks.compared import Training

PUBLISHED = "PPO needs more than 3 times the memory of SFT (Santacroce et al. 2023, arXiv 2309.00754)"
_FINDINGS = {"shown": "shown", "shown of these trainings": "of these", "not shown": "not"}


def comparison_html(figures: Figures, trained: Sequence[Training]) -> str:
    """The page; all text is escaped."""
    heads, rows = table(figures)
    resting = footing(figures)
    page = _template().render(
        figures=figures,
        names=[name(one.method) for one in figures.methods],
        first=name(figures.first),
        sentences=closing(figures)[: -len(resting)],
        footing=resting,
        tiles=_tiles(figures, trained),
        heads=heads,
        rows=rows,
        failures=[(name(one.method), why) for one in figures.methods for why in one.failures],
        quality=[(suite, _to_start(figures, suite)) for suite in _suites(figures, "quality")],
        drift=[(suite.removeprefix("drift-"), _to_start(figures, suite)) for suite in _suites(figures, "drift")],
        differences=[(suite, _to_first(figures, suite)) for suite in _suites(figures, "quality")],
        ratios=_ratios(figures),
        hours_said=[capital(hours_words(one)) for one in figures.hours if one.ratio is None],
        costs=_costs(figures),
        distances=_distances(figures),
        larger=[_larger(figures, size) for size in dict.fromkeys(one.size for one in figures.larger)],
        published=PUBLISHED,
        phases=[(name(one.method), _phase(one)) for one in figures.methods],
    )
    return page.encode("utf-8", "replace").decode("utf-8")


def _tiles(figures: Figures, trained: Sequence[Training]) -> list[tuple[str, str, str]]:
    finished = sum(one.state == "Finished" for one in trained)
    seeds = f"{len(figures.seeds)} seed{'' if len(figures.seeds) == 1 else 's'}"
    return [
        ("preferences shown", f"{figures.budget:,}", "to every method, the same"),
        ("trainings finished", f"{finished} of {len(trained)}", f"{len(figures.methods)} methods, {seeds}"),
        ("target suite", figures.target, "of the recipe"),
        ("trained on", ", ".join(figures.devices), f"pool {', '.join(figures.pools)}"),
        (
            "all of it cost",
            f"{amount(figures.whole_amount, figures.digits)} {figures.currency}",
            "scoring included" + (", example prices" if figures.example else ""),
        ),
    ]  # fmt: skip


def _suites(figures: Figures, kind: str) -> list[str]:
    return list(dict.fromkeys(one.suite for method in figures.methods for one in getattr(method, kind)))


def _to_start(figures: Figures, suite: str) -> str:
    """Scores against the start's, a row a method: dots are seeds, the bar the interval over items."""
    rows = [_start_row(method, suite) for method in figures.methods]
    return intervals(rows, f"{suite} score minus the start's, in points; right of 0 is higher")


def _start_row(method: MethodFigures, suite: str) -> Row:
    found: SuiteFigure | None = next((one for one in (*method.quality, *method.drift) if one.suite == suite), None)
    if found is None:
        return Row(name(method.method), "no training finished", (), None)
    it = found.to_start
    return Row(
        name(method.method),
        f"{_percent(found.score)} ({signed(100 * it.delta, 1)})",
        _hundredfold(it.deltas),
        100 * it.delta,
        (100 * it.lower, 100 * it.upper),
    )


def _to_first(figures: Figures, suite: str) -> str:
    """Scores against the first method's: the thin line is the interval with seeds."""
    by_method = {one.difference.method: one for one in figures.differences if one.difference.suite == suite}
    rows = [
        _first_row(method.method, by_method.get(method.method))
        for method in figures.methods
        if method.method != figures.first
    ]
    return intervals(rows, f"{suite} score minus that of {name(figures.first)}, in points")


def _first_row(method: str, one: Compared | None) -> Row:
    if one is None:
        return Row(name(method), "no seed of both finished", (), None)
    it = one.difference
    whole = (
        None if one.whole_lower is None or one.whole_upper is None else (100 * one.whole_lower, 100 * one.whole_upper)
    )
    return Row(
        name(method),
        f"{signed(100 * it.delta, 1)}: {one.finding}",
        _hundredfold(it.deltas),
        100 * it.delta,
        (100 * it.lower, 100 * it.upper),
        whole,
        _FINDINGS[one.finding],
    )


def _ratios(figures: Figures) -> str:
    rows = []
    for one in figures.hours:
        if one.ratio is None:
            continue
        inner = None if one.lower is None or one.upper is None else (one.lower, one.upper)
        word = f"{one.ratio:.2f}×" + ("" if inner is None else f" [{inner[0]:.2f}, {inner[1]:.2f}]")
        rows.append(Row(f"of {name(one.other)}", word, _each(figures, one.other, one.unit), one.ratio, inner))
    unit = figures.hours[0].unit if figures.hours else "hours"
    return (
        ratios(rows, f"{unit} that {name(figures.first)} used, over each other method’s; left of 1 is less")
        if rows
        else ""
    )


def _each(figures: Figures, other: str, unit: str) -> tuple[float, ...]:
    """A seed's own ratio, where both have it."""
    field = "gpu_hours" if unit == "GPU-hours" else "device_hours"
    of = {
        one.method: dict(zip(getattr(one, field).seeds, getattr(one, field).values, strict=True))
        for one in figures.methods
    }
    mine, theirs = of[figures.first], of[other]
    return tuple(mine[seed] / theirs[seed] for seed in mine if seed in theirs and mine[seed] > 0 and theirs[seed] > 0)


class Shown(NamedTuple):
    """One picture of amounts: what it is titled, which figure it shows, and how that is written."""

    title: str
    get: Callable[[MethodFigures], Value]
    say: Callable[[float], str]


def _costs(figures: Figures) -> list[tuple[str, str]]:
    gpu = any(value for one in figures.methods for value in one.gpu_hours.values)
    money = f"{figures.currency}{', example prices' if figures.example else ''}"

    def paid(value: float) -> str:
        return amount(value, figures.digits) if value else "0"

    return [
        _amounts(figures, one)
        for one in (
            Shown("GPU-hours of training", lambda it: it.gpu_hours, hours)
            if gpu
            else Shown("device-hours of training", lambda it: it.device_hours, hours),
            Shown("wall time of training, queue included", lambda it: it.seconds, duration),
            Shown("peak memory of one process", lambda it: it.peak_memory_bytes, gigabytes),
            Shown(f"energy{', estimated' if figures.estimated else ''}", lambda it: it.kwh, energy),
            Shown(f"money, {money}", lambda it: it.amount, paid),
        )
    ]


def _distances(figures: Figures) -> list[tuple[str, str]]:
    """What says how far a method moved; what nothing measured is left out."""
    own, prompts = "its own answers", "the drift prompts"
    told = (
        Shown(f"KL to the start on {own}, nats a token", lambda it: it.kl, _nats),
        Shown(f"length of {own} over the start's", lambda it: it.length_ratio, _times),
        Shown(f"KL to the start on {prompts}, nats a token", lambda it: it.anchor_kl, _nats),
        Shown(f"length over the start's on {prompts}", lambda it: it.anchor_length_ratio, _times),
    )
    return [_amounts(figures, one) for one in told if any(one.get(method).values for method in figures.methods)]


def _amounts(figures: Figures, one: Shown) -> tuple[str, str]:
    values = [(name(method.method), one.get(method)) for method in figures.methods]
    rows = [Row(label, mean(value, one.say), value.values, value.mean) for label, value in values]
    return one.title, amounts(rows, one.title, one.say)


def _nats(value: float) -> str:
    return number(value, 2)


def _times(value: float) -> str:
    return f"{value:.2f}×"


def _larger(figures: Figures, size: str) -> dict[str, Any]:
    rows = [one for one in figures.larger if one.size == size]
    return {
        "size": size,
        "device": rows[0].device,
        "rate": rows[0].rate,
        "rows": [
            {
                "name": name(one.method),
                "how": one.how,
                "memory": gigabytes(one.memory_bytes),
                "times": f"{one.times_sft:.2f}×",
                "hours": hours(one.device_hours),
                "kwh": energy(one.kwh),
                "amount": f"{amount(one.amount, 2)} {one.currency}" + (" (example)" if one.example else ""),
            }
            for one in rows
        ],
    }


def _phase(one: MethodFigures) -> str:
    return ", ".join(f"{key} = {_plain(value)}" for key, value in one.phase.items())


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_plain(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_plain, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def _percent(value: Value) -> str:
    return NONE if value.mean is None else f"{100 * value.mean:.1f}"


def _hundredfold(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(100 * value for value in values)


@cache
def _template() -> Any:
    return page_template(Path(__file__).parent, "page.html", {})
