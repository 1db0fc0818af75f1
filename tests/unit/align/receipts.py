"""Halves of receipts for tests: a small training as TRL logs it, and what a fault makes of it."""

import math
from typing import Any

from infra.digest import digest_of
from tasks.align.tolerances import tolerances_for
from tasks.receipts import Finding, Machine, Quantity, Side, Subject, judge

STEPS = 20
SUBJECT = Subject(
    model=digest_of("model"),
    phase=digest_of("phase"),
    method="dpo",
    losses=("sigmoid",),
    beta=0.1,
    seed=3,
    pairs=digest_of("pairs"),
    steps=STEPS,
    of=100,
    code=digest_of("code"),
    libraries=("trl==1.16.0",),
)
MACHINE = Machine(
    torch="2.12", build="cpu", accelerator=None, weights="float32", computed="float32", processes=1, threads=1,
    packed=True, max_tokens=640,
)  # fmt: skip


def series(steps: int = STEPS) -> dict[Quantity, tuple[float, ...]]:
    """A loss that falls from ln 2 while the margin grows from 0."""
    at = range(steps)
    return {
        "loss": tuple(0.693 - 0.01 * step for step in at),
        "logps_chosen": tuple(-120.0 + 0.1 * step for step in at),
        "logps_rejected": tuple(-110.0 - 0.1 * step for step in at),
        "rewards_chosen": tuple(0.01 * step for step in at),
        "rewards_rejected": tuple(-0.01 * step for step in at),
        "rewards_margins": tuple(0.02 * step for step in at),
        "grad_norm": tuple(1.0 + 0.01 * step for step in at),
        "learning_rate": tuple(1e-4 * (1 - step / 100) for step in at),
        "num_tokens": tuple(300.0 * (step + 1) for step in at),
    }


def side(pool: str = "one", device: str = "mi355x", /, **changes: Any) -> Side:
    """A half; ``changes``: fields of it, of its subject, its machine, or whole quantities."""
    fields: dict[str, Any] = {"pool": pool, "device": device, "doctor": None}
    values: dict[Any, Any]
    subject, machine, values = SUBJECT.model_dump(), MACHINE.model_dump(), series()
    for name, value in changes.items():
        for part in (subject, machine, values, fields):
            if name in part:
                part[name] = value
                break
        else:
            raise KeyError(name)
    return Side(subject=Subject(**subject), machine=Machine(**machine), series=values, **fields)


def moved(name: Quantity, step: int, by: float) -> tuple[float, ...]:
    """A quantity of ``series`` that is larger by so much at one step, counted from 1."""
    values = list(series()[name])
    values[step - 1] += math.copysign(by, values[step - 1])
    return tuple(values)


def found(one: Side, other: Side) -> Finding:
    return judge((one, other), tolerances_for(one.machine.computed))
