"""A comparison in words, for a terminal. Pure."""

from collections.abc import Callable

from infra.number_words import NONE, amount, duration, number
from tasks.compare.figures import Figures, MethodFigures, Value
from tasks.compare.sentence import closing, name


def in_words(figures: Figures) -> str:
    """The table, then the sentences it ends with."""
    heads, rows = table(figures)
    widths = [max(len(row[at]) for row in [heads, *rows]) for at in range(len(heads))]
    lines = [
        "  ".join(
            text.ljust(width) if at == 0 else text.rjust(width)
            for at, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [heads, *rows]
    ]
    notes = [f"  {name(one.method)}: {failure}" for one in figures.methods for failure in one.failures]
    return "\n".join(
        [f"Comparison {figures.name}", "", *lines, *([""] if notes else []), *notes, "", *closing(figures)]
    )


def table(figures: Figures) -> tuple[list[str], list[list[str]]]:
    """Heads and a row a method, the start first: means over seeds that finished, ± their standard deviation."""
    suites = list(dict.fromkeys(one.suite for method in figures.methods for one in method.quality)) or [
        suite for suite in figures.start if not suite.startswith("drift-")
    ]
    gpu = any(value for one in figures.methods for value in one.gpu_hours.values)
    unit = "GPU-hours" if gpu else "device-hours"
    heads = [
        "method", "finished", *suites, unit, "wall time", "peak memory",
        f"energy{' (est.)' if figures.estimated else ''}",
        f"{figures.currency}{' (example)' if figures.example else ''}", "KL", "length",
    ]  # fmt: skip
    start = ["start", "", *(f"{100 * figures.start[suite]:.1f}" for suite in suites), *[""] * 7]
    return heads, [start, *(_row(one, suites, figures, gpu=gpu) for one in figures.methods)]


def _row(one: MethodFigures, suites: list[str], figures: Figures, *, gpu: bool) -> list[str]:
    scores = {suite.suite: suite.score for suite in one.quality}
    none = Value(seeds=(), values=(), mean=None, spread=None)
    return [
        name(one.method),
        f"{one.finished} of {one.trainings}",
        *(plus_minus(scores.get(suite, none), lambda value: f"{100 * value:.1f}") for suite in suites),
        plus_minus(one.gpu_hours if gpu else one.device_hours, hours),
        mean(one.seconds, duration),
        mean(one.peak_memory_bytes, gigabytes),
        mean(one.kwh, energy),
        mean(one.amount, lambda value: amount(value, figures.digits)),
        mean(one.kl if one.kl.values else one.anchor_kl, lambda value: number(value, 3)),
        mean(one.length_ratio if one.length_ratio.values else one.anchor_length_ratio, lambda value: f"{value:.2f}×"),
    ]


def mean(value: Value, say: Callable[[float], str]) -> str:
    return NONE if value.mean is None else say(value.mean)


def plus_minus(value: Value, say: Callable[[float], str]) -> str:
    if value.mean is None:
        return NONE
    said = say(value.mean)
    return said if value.spread is None else f"{said} ± {_alike(value.spread, said, say)}"


def _alike(spread: float, said: str, say: Callable[[float], str]) -> str:
    """A spread with as many decimals as its mean was said with."""
    return say(spread) if "e" in said else f"{spread:.{len(said.partition('.')[2])}f}"


def hours(value: float) -> str:
    """Three figures, however short."""
    return f"{value:.3g}" if value >= 0.001 or value == 0 else f"{value:.1e}"


def energy(kwh: float) -> str:
    """In kWh, or in Wh where it is less than a tenth of one."""
    return f"{kwh:.3g} kWh" if kwh >= 0.1 else f"{1000 * kwh:.3g} Wh"


def gigabytes(bytes_: float) -> str:
    """For people: 10^9 bytes."""
    return f"{bytes_ / 1e9:.2f} GB"
