"""Trainings of a comparison as a test wants them: scores and hours by method and seed, all else alike."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.compare.figures import ALPHA, Figures, comparisons_of, figures_of
from tasks.compared import START, Distance, Marks, Spent, Training
from tasks.gate.methods import differences
from tasks.judged import Measure


def marks(suite: str, values: Sequence[float], measure: Measure = "right") -> Marks:
    ids = tuple(f"{suite}-{number}" for number in range(len(values)))
    return Marks(suite=suite, measure=measure, ids=ids, families=ids, values=tuple(values))


def answers(right: float, count: int, seed: int) -> list[float]:
    """Right or wrong answers, of which about this share is right; the same items are hard for every model."""
    hard, own = random.Random(0), random.Random(seed)
    return [float(0.6 * hard.random() + 0.4 * own.random() < right) for _ in range(count)]


def spent(hours: float, **changes: Any) -> Spent:
    values = {
        "steps": ("train_apart",), "attempts": 1, "failed": 0, "seconds": 3600 * hours, "queue_seconds": 0.0,
        "device_hours": hours, "gpu_hours": hours, "kwh": 0.7 * hours, "estimated": True, "meter": None,
        "peak_memory_bytes": 10_000_000_000, "planned_memory_bytes": 11_000_000_000, "amount": 2.6 * hours,
        "whole_amount": 3 * hours, "currency": "EUR", "digits": 4, "example": True, "price_book": "a test's",
    }  # fmt: skip
    return Spent.model_validate(values | changes)


def training(method: str, seed: int, suites: Sequence[Marks], hours: float = 1.0, **changes: Any) -> Training:
    values: dict[str, Any] = {
        "method": method, "seed": seed, "state": "Finished", "pool": "local", "device": "h100", "accelerator": True,
        "shown": 64, "shown_digest": f"sha256:{seed:064x}", "steps": 8, "of_steps": 8, "marks": tuple(suites),
        "distance": Distance(kl=0.1, length_ratio=1.1), "spent": spent(hours),
    }  # fmt: skip
    return Training.model_validate(values | changes)


def failed(method: str, seed: int, why: str = "it broke", state: str = "Failed") -> Training:
    return training(method, seed, (), state=state, why=why, shown=None, shown_digest=None, spent=None)


def figures(
    trained: Sequence[Training], start: Sequence[Marks], target: str, methods: Sequence[str] | None = None, **more: Any
) -> Figures:
    """As the flow makes them."""
    named = list(dict.fromkeys(one.method for one in trained)) if methods is None else list(methods)
    alpha = ALPHA / comparisons_of(len(named), start)
    phases: Mapping[str, dict[str, object]] = {name: {"method": name, "max_steps": 8} for name in named}
    return figures_of(
        name="tiny-compare-0",
        recipe="tiny",
        target=target,
        budget=64,
        phases=dict(phases),
        start=start,
        trained=trained,
        to_start=differences(trained, start, START, alpha),
        to_first=differences(trained, start, named[0], alpha),
        **more,
    )
