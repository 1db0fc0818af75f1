"""PPO on a task whose optimum is known, from one fixed start, beside a policy that can't see its rewards.

    python benchmarks/ppo_toy.py [SEED ...]

A prompt is one of eight symbols, and the right answer the three symbols behind it in a circle. An answer earns the
share of its places that are right, so the optimum is 1; the untrained model, some thousand random parameters, earns
less than a tenth. The control is the same training with each rollout's rewards dealt to its answers at random. The last
line is one JSON object.
"""

import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, PrinterCallback
from trl import GRPOConfig  # pyright: ignore[reportPrivateImportUsage]

from tasks.align.online.ppo import PPO, PPOTrainer
from tasks.align.rewards.caller import text_of
from tasks.lm.generate import generate

SYMBOLS = "abcdefgh"
LENGTH = 3
OPTIMUM = 1.0
STEPS = 1600
ANSWERS = 64  # a prompt, for the mean reward that is told
SETTINGS = PPO(kl_target=2.3)  # nats a token: one that is sure of its answer is log 11 = 2.4 away from any


def make_model(folder: Path, symbols: str = SYMBOLS) -> Path:
    """The fixed start: a Llama of some thousand random parameters and its tokenizer, saved."""
    names = ["<unk>", "<s>", "</s>", *symbols]
    tokenizer = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    fast.chat_template = "{% for message in messages %}{{ '<s> ' + message['content'] + ' ' }}{% endfor %}"
    fast.save_pretrained(folder)
    torch.manual_seed(11)
    config = LlamaConfig(
        vocab_size=len(names), hidden_size=24, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=16, bos_token_id=1, eos_token_id=2, pad_token_id=2,
        tie_word_embeddings=False,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def right(symbol: str) -> list[str]:
    """The right answer to a symbol."""
    at = SYMBOLS.index(symbol)
    return [SYMBOLS[(at + step) % len(SYMBOLS)] for step in range(1, LENGTH + 1)]


def share_right(prompts: list[Any], completions: list[Any], **_: Any) -> list[float]:
    """The share of an answer's places that are right."""
    found = []
    for prompt, completion in zip(prompts, completions, strict=True):
        answer, true = text_of(completion).split(), right(prompt[-1]["content"])
        found.append(sum(one == other for one, other in zip(answer, true, strict=False)) / LENGTH)
    return found


def dealt_at_random(seed: int) -> Any:
    """The same rewards, dealt to a rollout's answers at random: all is as it was, but nothing can be learned."""
    deal = random.Random(seed)

    def shuffled(prompts: list[Any], completions: list[Any], **_: Any) -> list[float]:
        found = share_right(prompts, completions)
        deal.shuffle(found)
        return found

    return shuffled


def make_trainer(start: Path, out: Path, seed: int, steps: int = STEPS, *, blind: bool = False, **changes: Any) -> Any:
    """A training from the fixed start; ``changes`` are of GRPOConfig, or the trainer's own."""
    torch.set_num_threads(1)  # on tensors this small, several wait for each other
    ppo = changes.pop("ppo", SETTINGS)
    callbacks = changes.pop("callbacks", [])
    adapter = changes.pop("peft_config", None)
    reward = changes.pop("reward", dealt_at_random(seed) if blind else share_right)
    arguments = {
        "output_dir": str(out), "max_steps": steps, "seed": seed, "learning_rate": 2e-3, "lr_scheduler_type": "linear",
        "per_device_train_batch_size": 32, "steps_per_generation": 4, "num_iterations": 4, "num_generations": 16,
        "max_completion_length": LENGTH, "beta": ppo.kl_start, "use_cpu": True, "bf16": False, "logging_steps": 1,
        "report_to": "none", "disable_tqdm": True, "save_strategy": "no", "gradient_checkpointing": False,
        "disable_dropout": True,
        "shuffle_dataset": False,  # TRL's shuffle isn't taken up again by a resume beyond the first epoch
        "max_grad_norm": 1.0, "logging_nan_inf_filter": False,
    } | changes  # fmt: skip
    rows = [{"prompt": [{"role": "user", "content": symbol}]} for symbol in SYMBOLS]
    trainer = PPOTrainer(
        model=LlamaForCausalLM.from_pretrained(start),
        processing_class=PreTrainedTokenizerFast.from_pretrained(start),
        args=GRPOConfig(**arguments),
        train_dataset=Dataset.from_list(rows),
        reward_funcs=reward if isinstance(reward, list) else [reward],
        peft_config=adapter,
        callbacks=callbacks,
        ppo=ppo,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def mean_reward(trainer: Any) -> float:
    """Of sampled answers, as the policy is now."""
    prompts: Any = [[{"role": "user", "content": symbol}] for symbol in SYMBOLS]
    trainer.model.eval()
    tokenizer = trainer.processing_class
    drawn = generate(trainer.model, tokenizer, prompts, LENGTH, temperature=1.0, seed=1, samples=ANSWERS)
    rows = [(prompt, answer) for prompt, answers in zip(prompts, drawn, strict=True) for answer in answers]
    texts = [tokenizer.decode(answer, skip_special_tokens=True) for _, answer in rows]
    return sum(share_right([prompt for prompt, _ in rows], texts)) / len(rows)


def seconds_of(history: list[dict[str, float]]) -> dict[str, float]:
    """Of a training by part."""
    parts = ("rollout", "reward", "values", "update")
    return {part: round(sum(step.get(f"seconds/{part}", 0.0) for step in history), 2) for part in parts}


def main(seeds: list[int]) -> None:
    found: dict[str, Any] = {"optimum": OPTIMUM, "steps": STEPS, "seeds": {}, "blind": {}}
    with tempfile.TemporaryDirectory() as folder:
        start = make_model(Path(folder) / "start")
        untrained = make_trainer(start, Path(folder) / "none", 0)
        found["parameters"] = sum(one.numel() for one in untrained.model.parameters())
        found["start"] = round(mean_reward(untrained), 4)
        for seed in seeds:
            for kind, blind in (("seeds", False), ("blind", True)):
                began = time.monotonic()
                trainer = make_trainer(start, Path(folder) / f"{kind}-{seed}", seed, blind=blind)
                trainer.train()
                told = {"of_optimum": round(mean_reward(trainer) / OPTIMUM, 4)}
                told["seconds"] = round(time.monotonic() - began, 1)
                found[kind][str(seed)] = told | {"parts": seconds_of(trainer.state.log_history)}
                print(kind, seed, found[kind][str(seed)], flush=True)
    found["reached"] = sum(one["of_optimum"] >= 0.95 for one in found["seeds"].values())
    found["blind_below_half"] = sum(one["of_optimum"] < 0.5 for one in found["blind"].values())
    print(json.dumps(found))


if __name__ == "__main__":
    main([int(seed) for seed in sys.argv[1:]] or [0, 1, 2, 3, 4])
