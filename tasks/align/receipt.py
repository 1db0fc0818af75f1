"""One half of a portability receipt: the first steps of tonight's training on one pool; and the two put together.

The half goes the way of a night's training (the same spec, program and launch), but it fills a reference cache of its
own, so that one device's references can't stand in for the other's, and it leaves no checkpoint and no model.
"""

import math
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from infra.digest import digest_of, short
from infra.jsonl import dump_lines, load_lines
from infra.pools.base import Pool
from infra.programs import fresh_folder
from infra.store import Blob
from tasks import place
from tasks.align.tolerances import tolerances_for
from tasks.align.train import machine_of, make_spec, run_training
from tasks.contracts import Model, Night, Plan, Preferences
from tasks.errors import PoolDown, ReceiptError
from tasks.phases import Phase
from tasks.receipts import Machine, Quantity, Receipt, Side, Subject, judge, phase_digest
from tasks.recipe import Recipe
from tasks.spending import watch

QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)


def refuse_down(pools: dict[str, Pool], names: tuple[str, ...]) -> None:
    """A pool that can't run is found before the other one is held.

    Raises:
        ReceiptError: they aren't two pools. PoolDown: names the pool and what is wrong with it.
    """
    if len(names) != 2 or len(pools) != 2:
        raise ReceiptError(
            f"a receipt compares two pools, not {', '.join(names) or 'none'}", do="name two, as in --pools A,B"
        )
    for name, pool in pools.items():
        if problems := pool.check():
            raise PoolDown(f"the pool {name} can't run: {problems[0]}", do="mend that, or name another with --pools")


def train_first(night: Night, recipe: Recipe, preferences: Preferences, base: Model, steps: int) -> Side:
    """The first ``steps`` steps of tonight's training on the recipe's pool (fewer where it has fewer).

    Raises:
        ReceiptError: what it logged isn't whole. Others: as a night's training does.
    """
    pool, tracker = place.pool(recipe.pool), place.tracking()
    # one a pool, not one a receipt: the next takes the place of what this one leaves
    work = fresh_folder(place.home() / "work" / f"receipt-{recipe.name}-{short(digest_of(recipe.pool), 8)}")
    spec = first_spec(make_spec(recipe, whole(recipe, preferences), preferences, base, work), recipe.phase[0], steps)
    run = tracker.nested_run(night.mlflow_run, f"first {spec['first']} steps on {recipe.pool}")
    with tracker.ending(run):
        budget = watch(night, recipe, pool.device())
        result = run_training(pool, spec, work, lambda values, step: tracker.metrics(run, values, step), budget)
        return side_of(recipe, pool.device_kind(), base, spec, result, machine_of(work, place.store()))


def whole(recipe: Recipe, preferences: Preferences) -> Plan:
    """The training whose first steps these are: as a night plans it that has enough to learn."""
    phase = recipe.phase[0]
    steps = phase.steps_of(preferences.n_train)
    return Plan(
        train=True, reason="the first steps, for a receipt", new_pairs=0, pairs=phase.pairs_of(steps), steps=steps,
        memory_bytes=0, seconds=0.0, amount=0.0, currency="",
    )  # fmt: skip


def first_spec(spec: dict[str, Any], phase: Phase, steps: int) -> dict[str, Any]:
    """A training's spec, cut to its first steps: the learning rate's course stays that of the whole.

    Raises:
        ReceiptError: there is but one step, which doesn't show the optimizer.
    """
    first, work = min(steps, spec["steps"]), Path(spec["pairs"]).parent
    if first < 2:
        raise ReceiptError(
            f"a receipt of {first} step would not see the optimizer",
            do="take --steps 2 or more, and bring pairs for them",
        )
    pairs = load_lines(Path(spec["pairs"]).read_bytes())
    Path(spec["pairs"]).write_bytes(dump_lines(pairs[: phase.pairs_of(first)]))
    told = {name: value for name, value in spec["phase"].items() if not name.startswith("probe_")}
    return spec | {
        "first": first,
        "phase": told | {"probe_every": 0, "checkpoint_every": first + 1},
        "cache": str(work / "references"),
        "context": digest_of("a receipt's half is never gone on from"),
        "checkpoints": str(work / "checkpoints"),
    }


def side_of(
    recipe: Recipe, device: str, base: Model, spec: dict[str, Any], result: dict[str, Any], doctor: Blob | None
) -> Side:
    """What the program logged and said of itself, as one half of a receipt.

    Raises:
        ReceiptError: a step or a quantity is missing, or a value isn't a number.
    """
    phase, facts = recipe.phase[0], result["facts"]
    try:
        return Side(
            pool=recipe.pool,
            device=device,
            subject=Subject(
                model=base.digest,
                phase=phase_digest(phase),
                method=phase.method,
                losses=phase.losses,
                beta=phase.beta,
                seed=spec["seed"],
                pairs=facts["pairs"],
                steps=spec["first"],
                of=spec["steps"],
                code=facts["code"],
                libraries=tuple(facts["libraries"]),
            ),
            machine=Machine.model_validate(facts["machine"]),
            doctor=doctor,
            series=series_of(result["history"], recipe.pool),
        )
    except ValidationError as error:
        raise ReceiptError(
            f"the half on {recipe.pool} isn't whole: {error.errors()[0]['msg']}",
            do="read output.log beside its spec in HOME/work, and make the receipt again",
        ) from error


def series_of(history: Sequence[dict[str, float]], pool: str) -> dict[Quantity, tuple[float, ...]]:
    """By quantity, one value a step, of those that were logged.

    Raises:
        ReceiptError: steps are missing or out of order, a quantity is missing at some, or a value is no number.
    """
    if [step.get("step") for step in history] != list(range(1, len(history) + 1)) or not history:
        raise ReceiptError(f"{pool} logged the steps {[step.get('step') for step in history]}", do=_AGAIN)
    series: dict[Quantity, tuple[float, ...]] = {}
    for name in QUANTITIES:
        at = [step["step"] for step in history if name in step]
        if not at:
            continue
        if len(at) != len(history):
            raise ReceiptError(f"{pool} logged {name} at {len(at)} of {len(history)} steps", do=_AGAIN)
        if bad := [step for step in history if not math.isfinite(step[name])]:
            raise ReceiptError(f"{name} is {bad[0][name]} at step {bad[0]['step']:.0f} on {pool}", do=_AGAIN)
        series[name] = tuple(float(step[name]) for step in history)
    return series


_AGAIN = "look at that pool with `nightshift doctor` in a job of it; nothing can be compared with these numbers"


def receipt_of(recipe: str, one: Side, other: Side, now: datetime) -> Receipt:
    """Compare two halves, within the tolerances of their dtype.

    Raises:
        ReceiptError: none are stated for it.
    """
    tolerances = tolerances_for(one.machine.computed)
    sides = (one, other)
    return Receipt(
        recipe=recipe,
        created=now.isoformat(timespec="seconds"),
        sides=sides,
        tolerances=tolerances,
        finding=judge(sides, tolerances),
    )
