"""Rejection sampling in the training program: models are loaded, draw and judge, and are gone before the training."""

import functools
import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from infra.settings import launched_processes
from tasks.align.online.build import longest_of, refuse_missing_truth, rows_of
from tasks.align.online.rollout import draw_answers, refuse_long_prompts
from tasks.align.reject.draw import Drawn, Row, draw_rows, write_drawn
from tasks.align.reject.kept import FILE
from tasks.align.reward_model.drive import load_driver
from tasks.align.rewards.caller import Worker, scored_by
from tasks.errors import ModelError
from tasks.lm.decode import ends_of
from tasks.lm.generate import prompt_ids
from tasks.lm.loading import best_device, load_model, load_tokenizer
from tasks.lm.vllm_decoder import VllmDecoder
from tasks.phases import Phase

DRAWN = "drawn.jsonl"


def draw_for(
    spec: dict[str, Any], phase: Phase, pairs: list[dict[str, Any]], asked_to_end: Callable[[], bool]
) -> Drawn:
    """Draw and choose, as ``draw_rows`` says; what was drawn is written to the training's ``out``.

    Raises:
        ModelError: several processes, a prompt that leaves no room for its answer, or an unfit reward model.
        RewardError: a row lacks the truth that a reward compares with.
    """
    if launched_processes() > 1:
        raise ModelError(
            f"answers are drawn in one process, and here are {launched_processes()}",
            do="take one process in the pool's block, or a method that trains on pairs",
        )
    rows = rows_of(pairs)
    refuse_missing_truth(rows, phase)
    base, (device, dtype) = Path(spec["base"]), best_device()
    tokenizer = load_tokenizer(base)
    model = load_model(base, None, dtype, device)
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    refuse_long_prompts(tokenizer, rows, phase.max_new_tokens, context)
    longest, judge = longest_of(tokenizer, rows, phase), None
    if phase.needs_model:
        judge = load_driver(spec.get("reward_model"), tokenizer, longest, device, dtype)
    worker = Worker()
    rewards = list(zip(phase.reward, scored_by(phase, judge, worker), strict=True))
    vllm = VllmDecoder(base, model, longest) if phase.rollouts == "vllm" else None
    draw = functools.partial(_draw, model, vllm, tokenizer, phase, spec["seed"])
    where = Path(spec["checkpoints"]) / FILE, spec["context"]
    try:
        drawn = draw_rows(rows, phase.rows_of(spec["steps"]), phase, draw, rewards, where, asked_to_end)
    finally:
        worker.close()
        if vllm is not None:
            vllm.close()
        del model, judge, draw, rewards  # the training needs the room
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    write_drawn(drawn, Path(spec["out"]) / DRAWN)
    return drawn


def _draw(
    model: Any,
    vllm: VllmDecoder | None,
    tokenizer: Any,
    phase: Phase,
    seed: int,
    number: int,
    rows: Sequence[Row],
) -> list[list[tuple[str, int, bool]]]:
    """A round's answers. They depend on seed, round and prompt, and but for rounding on nothing else."""
    group, ends = phase.group_size, ends_of(model)
    prompts = [prompt_ids(tokenizer, row["prompt"]) for row in rows for _ in range(group)]
    found = draw_answers(model, prompts, group, phase.max_new_tokens, phase.temperature, (seed << 32) + number, vllm)
    said = [(tokenizer.decode(ids, skip_special_tokens=True).strip(), len(ids), ids[-1] in ends) for ids in found]
    return [said[begin : begin + group] for begin in range(0, len(said), group)]
