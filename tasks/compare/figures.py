"""All figures of a comparison from its trainings: one object a method, and what differs. Pure."""

from collections.abc import Callable, Sequence
from typing import Literal

from infra.digest import Record
from tasks.compare.intervals import ratio_of, spread, with_seeds
from tasks.compared import START, Difference, Larger, Marks, Spent, Training

ALPHA = 0.05
SAY_DRIFT = "drift-"  # suites that measure change, in whatever direction: no quality

Finding = Literal["shown", "shown of these trainings", "not shown"]
TINY = 1e-6  # of a score: a bound nearer to 0 is 0
MIN_SEEDS = 3  # fewer say nothing of a method, only of these trainings


class Value(Record):
    """One figure of a method over its seeds: a value a seed that has one, their mean and standard deviation."""

    seeds: tuple[int, ...]
    values: tuple[float, ...]
    mean: float | None
    spread: float | None


class SuiteFigure(Record):
    """A method on one suite: its score, and the difference to the start with an interval over items."""

    suite: str
    score: Value
    to_start: Difference


class MethodFigures(Record):
    """One method of a comparison.

    Attributes:
        trainings: of which ``finished``; ``failures`` says of each other one what ended it.
        phase: what it was trained with, as the recipe would say it.
        quality, drift: by suite. shown, drawn: preferences it was shown and answers it drew, a training.
    """

    method: str
    phase: dict[str, object]
    trainings: int
    finished: int
    failures: tuple[str, ...]
    shown: int | None
    drawn: int | None
    quality: tuple[SuiteFigure, ...]
    drift: tuple[SuiteFigure, ...]
    gpu_hours: Value
    device_hours: Value
    seconds: Value
    peak_memory_bytes: Value
    planned_memory_bytes: Value
    kwh: Value
    amount: Value
    kl: Value
    length_ratio: Value
    anchor_kl: Value
    anchor_length_ratio: Value


class Hours(Record):
    """What one method used of another's hours: ``unit`` is GPU-hours, or device-hours where no accelerator trained.

    ``lower`` and ``upper`` are None of one seed; ``why`` says why there is no ratio.
    """

    method: str
    other: str
    unit: str
    seeds: tuple[int, ...]
    ratio: float | None
    lower: float | None
    upper: float | None
    why: str = ""


class Compared(Record):
    """A difference to the first method, with what may be said of it.

    Attributes:
        whole_lower, whole_upper: the interval over items and seeds; None of one seed.
        finding: what the intervals allow.
        because: why no more than that is shown; empty where it is.
    """

    difference: Difference
    whole_lower: float | None
    whole_upper: float | None
    finding: Finding
    because: str


class Figures(Record):
    """A whole comparison. ``first`` is the method that the others are compared with; ``target`` the recipe's suite.

    Attributes:
        budget: preferences that each method is shown.
        comparisons: differences between methods that are looked at together; each interval is at ``alpha`` of them all.
        unequal: why the budgets were not equal; empty where every training was shown the same.
        currency, digits, estimated, example: of the amounts and of the energy.
        start: the start's score by suite.
    """

    form: Literal["nightshift/comparison/1"] = "nightshift/comparison/1"
    name: str
    recipe: str
    first: str
    target: str
    seeds: tuple[int, ...]
    budget: int
    devices: tuple[str, ...]
    pools: tuple[str, ...]
    start: dict[str, float]
    methods: tuple[MethodFigures, ...]
    hours: tuple[Hours, ...]
    differences: tuple[Compared, ...]
    comparisons: int
    alpha: float
    unequal: str
    whole_amount: float
    currency: str
    digits: int
    estimated: bool
    example: bool
    price_book: str
    larger: tuple[Larger, ...] = ()
    larger_why: str = ""


def quality(suites: Sequence[Marks]) -> list[Marks]:
    """The suites that say how good a model is."""
    return [one for one in suites if not one.suite.startswith(SAY_DRIFT)]


def comparisons_of(methods: int, start: Sequence[Marks]) -> int:
    """Differences between methods that are looked at together: each to the first, on each suite of quality."""
    return max(1, (methods - 1) * len(quality(start)))


def value(trained: Sequence[Training], get: Callable[[Training], float | int | None]) -> Value:
    """A figure over the seeds that have it; nothing is a zero that isn't known."""
    known = [(one.seed, float(found)) for one in trained if (found := get(one)) is not None]
    values = tuple(found for _, found in known)
    return Value(
        seeds=tuple(seed for seed, _ in known),
        values=values,
        mean=sum(values) / len(values) if values else None,
        spread=spread(values),
    )


def method_figures(
    method: str, phase: dict[str, object], trained: Sequence[Training], to_start: Sequence[Difference]
) -> MethodFigures:
    """One method's. Costs are of finished trainings: one that broke off cost less for having done less."""
    mine = [one for one in trained if one.method == method]
    done = [one for one in mine if one.state == "Finished"]
    suites = [
        SuiteFigure(suite=one.suite, score=_score(done, one.suite), to_start=one)
        for one in to_start
        if one.method == method
    ]

    def spent(get: Callable[[Spent], float | int | None]) -> Value:
        return value(done, lambda one: None if one.spent is None else get(one.spent))

    return MethodFigures(
        method=method,
        phase=phase,
        trainings=len(mine),
        finished=len(done),
        failures=tuple(f"seed {one.seed}: {one.state.lower()}: {one.why}" for one in mine if one.state != "Finished"),
        shown=done[0].shown if done else None,
        drawn=done[0].drawn if done else None,
        quality=tuple(one for one in suites if not one.suite.startswith(SAY_DRIFT)),
        drift=tuple(one for one in suites if one.suite.startswith(SAY_DRIFT)),
        gpu_hours=spent(lambda it: it.gpu_hours),
        device_hours=spent(lambda it: it.device_hours),
        seconds=spent(lambda it: it.seconds + it.queue_seconds),
        peak_memory_bytes=spent(lambda it: it.peak_memory_bytes),
        planned_memory_bytes=spent(lambda it: it.planned_memory_bytes),
        kwh=spent(lambda it: it.kwh),
        amount=spent(lambda it: it.amount),
        kl=value(done, lambda one: one.distance.kl),
        length_ratio=value(done, lambda one: one.distance.length_ratio),
        anchor_kl=value(done, lambda one: one.distance.anchor_kl),
        anchor_length_ratio=value(done, lambda one: one.distance.anchor_length_ratio),
    )


def _score(done: Sequence[Training], suite: str) -> Value:
    return value(done, lambda one: next((marks.mean for marks in one.marks if marks.suite == suite), None))


def hours_of(first: str, method: str, trained: Sequence[Training]) -> Hours:
    """What the first method used of another's hours, seed by seed, each seed on one kind of device."""
    done = {(one.method, one.seed): one for one in trained if one.state == "Finished" and one.spent is not None}
    both = [
        (done[first, seed], done[method, seed])
        for seed in sorted({one.seed for one in trained})
        if (first, seed) in done and (method, seed) in done
    ]
    alike = [(one, other) for one, other in both if one.device == other.device]
    gpu = bool(alike) and all(one.accelerator for pair in alike for one in pair)
    hours = [tuple(_hours(one, gpu=gpu) for one in pair) for pair in alike]
    known: dict[str, object] = {
        "method": first,
        "other": method,
        "unit": "GPU-hours" if gpu else "device-hours",
        "seeds": tuple(one.seed for one, _ in alike),
    }
    if not hours or not all(one > 0 for pair in hours for one in pair):
        why = "no seed of both finished" if not both else "they were trained on different devices"
        why = why if not hours else "a training's hours are not known"
        return Hours.model_validate({**known, "ratio": None, "lower": None, "upper": None, "why": why})
    found = ratio_of([ours for ours, _ in hours], [theirs for _, theirs in hours], ALPHA)
    return Hours.model_validate({**known, **found._asdict()})


def _hours(one: Training, *, gpu: bool) -> float:
    assert one.spent is not None
    return one.spent.gpu_hours if gpu else one.spent.device_hours


def compared(difference: Difference, trained: Sequence[Training]) -> Compared:
    """What a difference's intervals allow to say. Every bound asks for proof: a NaN shows nothing."""
    one = difference
    whole = with_seeds(one.delta, one.lower, one.upper, one.deltas, one.alpha)
    finding, because = find(one, whole, [it for it in trained if it.method in (one.method, one.other)])
    lower, upper = whole or (None, None)
    return Compared(difference=one, whole_lower=lower, whole_upper=upper, finding=finding, because=because)


def find(one: Difference, whole: tuple[float, float] | None, trained: Sequence[Training]) -> tuple[Finding, str]:
    """``shown``, where the interval over items and seeds is on one side of 0 and every training finished; of these
    trainings only, where the interval over items alone is."""
    if not one.enough:
        return "not shown", f"{one.n} graded items are too few for a bound"
    if not _apart(one.lower, one.upper):
        return "not shown", ""
    if not all(delta * one.delta > 0 for delta in one.deltas):
        return "not shown", "the seeds disagree on which is better"
    unfinished = sum(it.state != "Finished" for it in trained)
    if unfinished:
        return "shown of these trainings", f"{unfinished} of {len(trained)} trainings did not finish"
    if len(one.seeds) < MIN_SEEDS or whole is None:
        return "shown of these trainings", f"{_seeds(len(one.seeds))} too few to speak of the methods"
    if not _apart(*whole):
        return "shown of these trainings", "seeds differ by as much"
    return "shown", ""


def _apart(lower: float, upper: float) -> bool:
    """Whether an interval is on one side of 0, by more than rounding."""
    return lower > TINY or upper < -TINY


def _seeds(count: int) -> str:
    return f"{count} seed{' is' if count == 1 else 's are'}"


def unequal_budgets(trained: Sequence[Training]) -> str:
    """Why the trainings of a seed were not shown the same preferences; empty where they were."""
    for seed in sorted({one.seed for one in trained}):
        done = [one for one in trained if one.seed == seed and one.state == "Finished"]
        if len({(one.shown, one.shown_digest) for one in done}) > 1:
            counts = ", ".join(f"{one.method} {one.shown}" for one in done)
            return f"with seed {seed} the methods were not shown the same preferences ({counts})"
    return ""


def figures_of(
    *,
    name: str,
    recipe: str,
    target: str,
    budget: int,
    phases: dict[str, dict[str, object]],
    start: Sequence[Marks],
    trained: Sequence[Training],
    to_start: Sequence[Difference],
    to_first: Sequence[Difference],
    larger: Sequence[Larger] = (),
    larger_why: str = "",
) -> Figures:
    """All figures. ``phases``: by method, the first of them what others are compared with."""
    first, *others = phases
    bills = [one.spent for one in trained if one.spent is not None]
    some = bills[0] if bills else None
    return Figures(
        name=name,
        recipe=recipe,
        first=first,
        target=target,
        seeds=tuple(sorted({one.seed for one in trained})),
        budget=budget,
        devices=tuple(sorted({one.device for one in trained})),
        pools=tuple(sorted({one.pool for one in trained})),
        start={one.suite: one.mean for one in start},
        methods=tuple(method_figures(method, phase, trained, to_start) for method, phase in phases.items()),
        hours=tuple(hours_of(first, other, trained) for other in others),
        differences=tuple(compared(one, trained) for one in to_first if not one.suite.startswith(SAY_DRIFT)),
        comparisons=comparisons_of(len(phases), start),
        alpha=ALPHA,
        unequal=unequal_budgets(trained),
        whole_amount=sum(one.whole_amount for one in bills),
        currency=some.currency if some else "",
        digits=some.digits if some else 2,
        estimated=any(one.estimated for one in bills),
        example=any(one.example for one in bills),
        price_book=some.price_book if some else "",
        larger=tuple(larger),
        larger_why=larger_why,
    )


__all__ = ["START", "Figures", "comparisons_of", "figures_of"]
