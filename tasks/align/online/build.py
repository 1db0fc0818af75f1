"""From a phase to a trainer that learns from its own answers: PPO, GRPO, RLOO or online DPO."""

import json
from typing import Any

from tasks.align.labels import prompt_of
from tasks.align.rewards.caller import Worker, scored_by
from tasks.align.rewards.verifiers import VERIFIERS
from tasks.errors import RewardError
from tasks.lm.generate import prompt_ids
from tasks.lm.reward import RewardModel
from tasks.phases import METHODS, NEED_TRUTH, Phase


def rows_of(pairs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is trained on: id, prompt and truth (JSON text, for a column holds one type; None where there is none)."""
    return [
        {
            "id": pair["id"],
            "prompt": prompt_of(pair),
            "truth": json.dumps(pair["truth"]) if pair.get("truth") is not None else None,
        }
        for pair in pairs
    ]


def refuse_missing_truth(rows: list[dict[str, Any]], phase: Phase) -> None:
    """Found before anything is drawn.

    Raises:
        RewardError: a reward compares with a truth that a row hasn't.
    """
    needs = [name for name in phase.reward if name in NEED_TRUTH]
    without = [row["id"] for row in rows if row["truth"] is None]
    if needs and without:
        raise RewardError(
            f"the reward {needs[0]!r} compares with a row's `truth`, and {len(without)} of {len(rows)} rows have none, "
            f"{without[0]} the first",
            do="bring rows with one, or take a reward that needs none: "
            + ", ".join(name for name, one in VERIFIERS.items() if not one.truth),
        )


def part_size(answers: int, longest: int, max_tokens: int) -> int:
    """Answers that go through the model at once: the most that divide the step and have at most ``max_tokens``."""
    return max(
        size for size in range(1, answers + 1) if answers % size == 0 and (size == 1 or size * longest <= max_tokens)
    )


def drawn_at_once(phase: Phase, prompts: int, longest: int, max_tokens: int) -> int:
    """Answers drawn for one part of a step; where a group is ranked, two of each go through the model, together."""
    if METHODS[phase.method].ranks:
        return phase.group_size * part_size(prompts, 2 * longest, max_tokens)
    return part_size(prompts * phase.group_size, longest, max_tokens)


def arguments_of(phase: Phase, given: dict[str, Any], longest: int, max_tokens: int) -> dict[str, Any]:
    """Of GRPOConfig and RLOOConfig: a rollout is a step's prompts, in parts that fit the memory.

    Args:
        given: of transformers.TrainingArguments, with a process's prompts as its batch.
        longest: tokens of the longest prompt with the longest answer.
    """
    prompts = given["per_device_train_batch_size"]
    answers, size = prompts * phase.group_size, drawn_at_once(phase, prompts, longest, max_tokens)
    return given | {
        "per_device_train_batch_size": size,
        "gradient_accumulation_steps": answers // size,
        "steps_per_generation": answers // size,
        "num_generations": phase.group_size,
        "num_iterations": phase.epochs,
        "max_completion_length": phase.max_new_tokens,
        "temperature": phase.temperature,
        "epsilon": phase.clip,
        "beta": phase.beta,
        "reward_weights": list(phase.reward_weights) or None,
        "shuffle_dataset": False,  # the rows come in an order that the seed has chosen already
        "disable_dropout": True,
    }


def make_trainer(
    phase: Phase,
    rows: list[dict[str, Any]],
    arguments: dict[str, Any],
    common: Any,
    model: RewardModel | None,
    vllm: int | None = None,
) -> Any:
    """The trainer of a phase.

    Args:
        model: of the reward "model".
        common: makes the arguments that all of TRL's trainers take, of a config and rows.
        vllm: tokens of the longest prompt with its answer, where vLLM draws.
    """
    from trl import GRPOConfig, RLOOConfig  # pyright: ignore[reportPrivateImportUsage]

    from tasks.align.online.base import NightGRPO, NightRLOO
    from tasks.align.online.dpo import OnlineDPOTrainer
    from tasks.align.online.ppo import PPO, PPOTrainer

    own: dict[str, Any] = {"reward_funcs": scored_by(phase, model, Worker()), "vllm": vllm}
    if phase.method == "rloo":
        return NightRLOO(**own, **common(RLOOConfig(**arguments), rows))
    config = common(GRPOConfig(**arguments, loss_type="grpo" if phase.method == "grpo" else "dapo"), rows)
    if phase.method == "grpo":
        return NightGRPO(**own, **config)
    if phase.method == "online_dpo":
        return OnlineDPOTrainer(**own, **config)
    ppo = PPO(clip=phase.clip, lam=phase.gae_lambda, kl_start=phase.beta, kl_target=phase.kl_target)
    return PPOTrainer(ppo=ppo, **own, **config)


def longest_of(tokenizer: Any, rows: list[dict[str, Any]], phase: Phase) -> int:
    """Tokens of the longest prompt with the longest answer."""
    return max(len(prompt_ids(tokenizer, row["prompt"])) for row in rows) + phase.max_new_tokens
