"""What a training is given: tonight's pairs, a share of them held out, or answers drawn to their prompts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from infra.events import emit
from infra.jsonl import load_lines
from tasks.align.pairs import refuse_too_few
from tasks.align.reject.program import draw_for
from tasks.align.reward_model.report import split
from tasks.phases import Phase

Pairs = list[dict[str, Any]]


class Prepared(NamedTuple):
    """``phase`` trains on ``pairs`` for ``steps``; ``told`` goes into the program's result, ``said`` into its log."""

    phase: Phase
    pairs: Pairs
    steps: int
    held_out: Pairs
    told: dict[str, Any]
    said: str


def prepare(spec: dict[str, Any], asked_to_end: Callable[[], bool]) -> Prepared:
    """By the phase's method.

    Raises:
        ModelError: too few pairs. What ``split`` and ``draw_for`` raise.
    """
    phase, steps = Phase.model_validate(spec["phase"]), spec["steps"]
    pairs, held_out = load_lines(Path(spec["pairs"]).read_bytes()), []
    told, why = {}, ""
    if phase.method == "reward":
        pairs, held_out = split(pairs, phase)
        steps, why = _filled(steps, pairs, phase), f"{len(held_out)} pairs are held out"
    elif phase.method == "reject":
        drawn = draw_for(spec, phase, pairs, asked_to_end)
        pairs, told = drawn.rows, {"drawn": drawn.told}
        steps, why = _filled(steps, pairs, phase), f"{len(drawn.prompts)} prompts were drawn for"
        emit("metrics", step=0, total=steps, values=drawn.told)
        phase = phase.trained
    refuse_too_few(len(pairs), min(spec.get("first", steps), steps), phase)
    fewer = f"{steps} of {spec['steps']} steps are taken: {why}, {len(pairs)} rows are left to train on"
    return Prepared(phase, pairs, steps, held_out, told, fewer if steps < spec["steps"] else "")


def _filled(asked: int, rows: Pairs, phase: Phase) -> int:
    """Whole steps that the rows fill; by chance fewer than the plan thought."""
    return min(asked, len(rows) // phase.batch_size)
