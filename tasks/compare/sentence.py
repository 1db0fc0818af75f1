"""What a comparison ends with: sentences that its figures can defend, and no other. Pure.

Of the first method against each other one: hours as a ratio, then scores. A difference is called shown only where
``figures.find`` says so; an interval that includes no difference at all is "not shown", whatever its middle is.
"""

from collections.abc import Sequence

from infra.drawing import MINUS
from tasks.compare.figures import MIN_SEEDS, Compared, Figures, Hours, MethodFigures

_NAMES = {"simpo": "SimPO", "rejection": "rejection sampling"}


def name(method: str) -> str:
    """A method as the field writes it."""
    return _NAMES.get(method, method.upper())


def hours_words(hours: Hours) -> str:
    """As in "DPO used 0.21× [0.19, 0.24] of PPO's GPU-hours"."""
    what = f"of {name(hours.other)}'s {hours.unit}"
    if hours.ratio is None:
        return f"what {name(hours.method)} used {what} can't be said: {hours.why}"
    said = f"{name(hours.method)} used {_times(hours.ratio)}"
    if hours.lower is None or hours.upper is None:
        return f"{said} {what} with one seed, which has no interval: not shown"
    shown = hours.upper < 1 or hours.lower > 1
    return f"{said} [{_bare(hours.lower)}, {_bare(hours.upper)}] {what}{'' if shown else ': not shown'}"


def score_words(one: Compared) -> str:
    """As in "PPO's reasoning score is higher by 1.2 points [−0.4, 2.8]: not shown"."""
    it = one.difference
    up = it.delta >= 0
    delta, lower, upper = (it.delta, it.lower, it.upper) if up else (-it.delta, -it.upper, -it.lower)
    digits = _digits(lower, shown=one.finding != "not shown")
    said = (
        f"{name(it.method)}'s {it.suite} score is {'higher' if up else 'lower'} by {_points(delta, digits)} "
        f"points [{_points(lower, digits)}, {_points(upper, digits)}]"
    )
    because = f" ({one.because})" if one.because else ""
    return said if one.finding == "shown" else f"{said}: {one.finding}{because}"


def closing(figures: Figures) -> list[str]:
    """One sentence on each other method, then what all of them rest on."""
    told = [_on(figures, hours) for hours in figures.hours]
    return [*told, *footing(figures)]


def _on(figures: Figures, hours: Hours) -> str:
    """Of one other method: hours, the target, and what else can be told apart."""
    mine = [one for one in figures.differences if one.difference.method == hours.other]
    said = [one for one in mine if one.difference.suite == figures.target or one.finding != "not shown"]
    said.sort(key=lambda one: one.difference.suite != figures.target)
    scores = [score_words(one) for one in said] or [
        f"{name(hours.other)}'s scores can't be compared: {_lacking(figures, hours)}"
    ]
    rest = len(mine) - len(said)
    more = [f"on {rest} other suite{'s' if rest > 1 else ''} no difference is shown"] if rest else []
    return capital("; ".join([hours_words(hours), *scores, *more])) + "."


def _lacking(figures: Figures, hours: Hours) -> str:
    lost = [one for one in figures.methods if one.method in (hours.method, hours.other) and not one.finished]
    return f"no training of {name(lost[0].method)} finished" if lost else "no seed of both finished"


def footing(figures: Figures) -> list[str]:
    """What the sentences rest on: budget, intervals and their number, seeds, trainings that ended early, prices."""
    seeds = len(figures.seeds)
    found = [
        f"Every method was shown the same {figures.budget} preferences from the same start, with {seeds} "
        f"seed{'s' if seeds != 1 else ''}."
        if not figures.unequal
        else f"The budgets were not equal: {figures.unequal}. No difference of scores is one of methods alone.",
        _intervals(figures),
    ]
    if seeds < MIN_SEEDS:
        found.append(
            f"With {seeds} seed{'s' if seeds != 1 else ''} nothing is shown of the methods as such, only of these "
            f"trainings; that takes {MIN_SEEDS} seeds or more."
        )
    failed = [one for one in figures.methods if one.failures]
    if failed:
        found.append(f"Not finished: {', '.join(_failed(one) for one in failed)}.")
    found.append("Comparing is not judging: nothing was registered, and no decision was spent.")
    return found


def _intervals(figures: Figures) -> str:
    count = figures.comparisons
    together = (
        f"are over items and hold together at {1 - figures.alpha:.0%} for all {count} comparisons (Bonferroni)"
        if count > 1
        else f"are over items, at {1 - figures.alpha:.0%}"
    )
    return f"Intervals of scores {together}; those of hours are over seeds, each at {1 - figures.alpha:.0%} by itself."


def _failed(one: MethodFigures) -> str:
    return f"{one.trainings - one.finished} of {one.trainings} trainings of {name(one.method)}"


def capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _times(ratio: float) -> str:
    return f"{_bare(ratio)}×"


def _bare(ratio: float) -> str:
    """Two decimals, or three figures where that would be nothing or too much."""
    if not 1e-3 <= ratio < 1e5:
        return f"{ratio:.1e}"
    return f"{ratio:.2f}" if 0.095 <= ratio < 100 else f"{ratio:.3g}"


def _digits(lower: float, *, shown: bool) -> int:
    """Decimals of points: as many as a bound needs not to look like 0 where it isn't."""
    return next((digits for digits in range(1, 5) if not shown or round(100 * lower, digits) != 0), 5)


def _points(value: float, digits: int) -> str:
    return f"{round(100 * value, digits) + 0.0:.{digits}f}".replace("-", MINUS)


def headline(sentences: Sequence[str]) -> str:
    """All of them as one paragraph."""
    return " ".join(sentences)
