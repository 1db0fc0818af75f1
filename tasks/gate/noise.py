"""A/A: the champion against itself. What scoring it twice differs by is noise of the engine, not of the model. Pure.

It is asked on every new champion and every change of engine, precision or batch size, in other batches than the first
time. More disagreement than the noted floor blocks: then a night's differences may be the engine's.
"""

from collections.abc import Mapping, Sequence

from tasks.contracts import Engine, Noise
from tasks.gate.scorecard import ItemResult

# what fp32 differs by when other documents share the batch is 1e-5 and less; below fp32 it is a hundred times as much
FLOOR = {"float32": 1e-3}
COARSE = 2e-2


def floor_for(engine: Engine, given: float | None) -> float:
    """The noted noise floor: the recipe's, else by precision."""
    return given if given is not None else FLOOR.get(engine.dtype, COARSE)


def compare_twice(
    suite: str, first: Mapping[str, ItemResult], second: Sequence[ItemResult], floor: float, cause: str
) -> Noise:
    """How far a second scoring is from the first. An item without a first result counts as a whole flip.

    The gap is the largest of an item for choices, whose results are continuous. A generated answer is another one from
    the first near-tie on, so for these the gap is the mean and the floor at least COARSE.
    """
    flips, gaps = 0, [0.0]
    for one in second:
        before = first.get(one.id)
        flips += before is None or before.right != one.right
        gaps.append(1.0 if before is None else abs(before.score - one.score))
    generated = any(one.answers for one in second)
    gap = sum(gaps) / max(len(second), 1) if generated else max(gaps)
    return Noise(
        suite=suite,
        items=len(second),
        flips=flips,
        gap=gap,
        floor=max(floor, COARSE) if generated else floor,
        cause=cause,
    )


def noise_problems(noise: Sequence[Noise], suites: Sequence[str]) -> list[str]:
    """Suites whose A/A is missing, or on which the champion disagrees with itself by more than the floor.

    Args:
        suites: those that must have been checked; none where the recipe asks for no A/A.
    """
    checked = {one.suite for one in noise}
    return [
        f"{name}: there is no A/A check of the champion on this engine" for name in suites if name not in checked
    ] + [
        f"{one.suite}: the champion disagrees with itself (A/A): {one.flips} of {one.items} items flipped, "
        f"results differ by up to {one.gap:.3g}, the noise floor is {one.floor:g}; what is new: {one.cause}"
        for one in noise
        if not (one.gap <= one.floor and one.flips <= one.floor * one.items)
    ]


def what_is_new(before: Mapping[str, object] | None, champion: str, engine: Engine) -> str | None:
    """What an A/A check must be done for; None: nothing has changed since the last one.

    Args:
        before: the last check's ``champion`` and ``engine`` (its fields by name).
    """
    if before is None:
        return "the first check on this machine"
    parts = [] if before.get("champion") == champion else ["another champion"]
    old = before.get("engine")
    names = {"name": "engine", "device": "device", "dtype": "precision", "tokens": "batch size", "form": "served form"}
    for field, value in engine.model_dump(exclude={"judge"}).items():
        then = old.get(field) if isinstance(old, Mapping) else None
        if then != value:
            parts.append(f"{names.get(field, field)} {then} → {value}")
    return ", ".join(parts) or None
