"""Rollouts: answers drawn from the policy to a step's prompts, all prompts together."""

from collections.abc import Sequence
from typing import Any

from tasks.errors import ModelError
from tasks.lm.generate import generate, prompt_ids
from tasks.lm.vllm_decoder import VllmDecoder


def draw_answers(
    model: Any,
    prompts: Sequence[Sequence[int]],
    group: int,
    most: int,
    temperature: float,
    seed: int,
    vllm: VllmDecoder | None = None,
) -> list[list[int]]:
    """An answer to each prompt, as token ids, sampled from softmax(logits / temperature).

    They depend on the seed and on the prompts alone: neither on the global random numbers nor, but for rounding, on
    what is drawn beside them. So a training that was killed draws them again as they were.

    Args:
        prompts: token ids; each prompt ``group`` times, one behind the other.
        most: tokens an answer may have.
        vllm: draws in our decoder's place; it has the model's weights already.
    """
    groups = [tuple(prompts[place]) for place in range(0, len(prompts), group)]
    answers: list[list[list[int]]] = [[]] * len(groups)
    was = model.training
    model.eval()
    try:
        for number, places in enumerate(_rounds(groups)):
            asked = [groups[place] for place in places]
            how: dict[str, Any] = {"temperature": temperature, "seed": (seed << 16) + number, "samples": group}
            found = vllm.generate(asked, most, **how) if vllm else generate(model, None, asked, most, **how)
            for place, drawn in zip(places, found, strict=True):
                answers[place] = drawn
    finally:
        model.train(was)
    return [answer for drawn in answers for answer in drawn]


def refuse_long_prompts(tokenizer: Any, rows: Sequence[dict[str, Any]], most: int, context: int | None) -> None:
    """A prompt and its longest answer have to fit into what the model reads.

    Raises:
        ModelError: one doesn't; the message names the longest.
    """
    if context is None:  # the model knows no bound
        return
    lengths = [len(prompt_ids(tokenizer, row["prompt"])) for row in rows]
    longer = sum(length + most > context for length in lengths)
    if longer:
        longest = max(lengths)
        raise ModelError(
            f"the prompt of {rows[lengths.index(longest)]['id']} has {longest} tokens with the chat template, and with "
            f"an answer of {most} (phase.max_new_tokens) it is longer than the model's context "
            f"(max_position_embeddings, {context}); {longer} of {len(rows)} prompts are",
            do="lower data.max_prompt_tokens or phase.max_new_tokens, or take a model with a longer context",
        )


def _rounds(groups: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Places of groups, such that no round has a prompt twice: within a round equal prompts get equal answers."""
    seen: dict[tuple[int, ...], int] = {}
    rounds: list[list[int]] = []
    for place, prompt in enumerate(groups):
        number = seen.get(prompt, 0)
        seen[prompt] = number + 1
        if number == len(rounds):
            rounds.append([])
        rounds[number].append(place)
    return rounds
