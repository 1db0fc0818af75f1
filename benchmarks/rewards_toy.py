"""Best-of-n and reward models on small tasks with a known answer, each beside a control that has nothing to learn from.

    python benchmarks/rewards_toy.py [SEED ...]

Best-of-16: whatever the digit asked for, an answer earns 1 where its last number is 5, so the optimum is 1; the
untrained model earns about a ninth. Control: the right number is another one for each prompt, at random. Reward model:
pairs prefer ones, held-out accuracy; control: which answer is the chosen one is decided by a coin. Everything goes
through the training program. The last line is one JSON object.
"""

import contextlib
import io
import json
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.ppo_toy import make_model as make_plain
from infra.digest import digest_of
from infra.jsonl import dump_lines
from tasks.align.program import Run
from tasks.align.rewards.verifiers import exact_number
from tasks.lm.generate import generate
from tasks.lm.loading import load_model, load_tokenizer

DIGITS = "12345678"
RIGHT = 5
PROMPTS, ANSWERS = 320, 200  # answers a digit, for the mean reward that is told
REWARD_STEPS = 30
LIKED, DISLIKED = (14, 1, 1, 1, 1, 1, 1, 1), (0, 1, 1, 1, 1, 1, 1, 1)  # how often each digit is in an answer
# opens and ends an answer: what is drawn is what is trained on
TEMPLATE = (
    "{% for message in messages %}{{ '<s> ' + message['content'] + ' </s> ' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<s> ' }}{% endif %}"
)


def make_model(folder: Path) -> Path:
    """The fixed start: some thousand random parameters whose words are digits."""
    make_plain(folder, DIGITS)
    tokenizer = load_tokenizer(folder)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


def prompts(count: int, *, seed: int = 0, blind: bool = False) -> list[dict[str, Any]]:
    """Rows that ask for a digit; ``blind``: their truths are dealt at random."""
    rng = random.Random(seed)
    return [
        row(number, str(rng.randint(1, 8)), "1", "2", rng.randint(1, 8) if blind else RIGHT) for number in range(count)
    ]


def preferences(count: int, *, seed: int = 0, coin: bool = False) -> list[dict[str, Any]]:
    """Pairs that prefer ones to all other digits; ``coin``: by a coin."""
    rng, rows = random.Random(seed), []
    for number in range(count):
        good, bad = (" ".join(rng.choices(DIGITS, weights, k=rng.randint(1, 4))) for weights in (LIKED, DISLIKED))
        if coin and rng.random() < 0.5:
            good, bad = bad, good
        rows.append(row(number, " ".join(rng.choices(DIGITS, k=3)), good, bad, rng.randint(1, 8)))
    return rows


def row(number: int, prompt: str, chosen: str, rejected: str, truth: int) -> dict[str, Any]:
    return {
        "id": f"pair-{number}",
        "prompt": [{"role": "user", "content": prompt}],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
        "truth": truth,
    }


class Nobody:
    """Asks for no end."""

    received: str | None = None

    def __call__(self) -> bool:
        return False


def train(base: Path, folder: Path, rows: list[dict[str, Any]], steps: int, seed: int, phase: dict[str, Any]) -> Run:
    """A phase by the training program, silently."""
    folder.mkdir()
    (folder / "pairs.jsonl").write_bytes(dump_lines(rows))
    run = {
        "base": str(base), "pairs": str(folder / "pairs.jsonl"), "out": str(folder / "out"), "seed": seed, "threads": 1,
        "steps": steps, "phase": {"max_steps": steps, "probe_every": 0, "checkpoint_every": 10_000, **phase},
        "max_tokens": 1000, "shard": False, "cache": str(folder / "store"), "cache_context": digest_of("cache"),
        "context": digest_of("toy"), "checkpoints": str(folder / "checkpoints"),
    }  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        made = Run(run, Nobody())
        made.train()
    return made


def best_of_n(train_as: str) -> dict[str, Any]:
    """The phase of best-of-16 that these figures are of."""
    return {
        "method": "reject", "reward": "exact_number", "train_as": train_as, "batch_size": 8, "group_size": 16,
        "max_new_tokens": 4, "adapter": "full", "learning_rate": 1e-2, "max_kept": 2,
    }  # fmt: skip


REWARD = {"method": "reward", "batch_size": 8, "learning_rate": 4e-3}


def in_full(base: Path, run: Run, folder: Path) -> Path:
    """The folder of a model that was trained in full."""
    shutil.copytree(base, folder)
    shutil.copy(Path(run.spec["out"]) / "model.safetensors", folder)
    return folder


def mean_reward(base: Path) -> float:
    """Of sampled answers to each digit."""
    model, tokenizer = load_model(base, None, torch.float32, "cpu"), load_tokenizer(base)
    asked = [[{"role": "user", "content": digit}] for digit in DIGITS]
    drawn = generate(model, tokenizer, asked, 4, temperature=1.0, seed=5, samples=ANSWERS)
    texts = [tokenizer.decode(answer, skip_special_tokens=True) for answers in drawn for answer in answers]
    return sum(exact_number(text, RIGHT) for text in texts) / len(texts)


def main(seeds: list[int]) -> None:
    found: dict[str, Any] = {"prompts": PROMPTS, "group": 16, "optimum": 1.0, "best_of_n": {}, "reward_model": {}}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        base = make_model(folder / "base")
        found["start"] = round(mean_reward(base), 4)
        for seed in seeds:
            for name, train_as, blind in (("sft", "sft", False), ("dpo", "dpo", False), ("sft, blind", "sft", True)):
                began, where = time.monotonic(), folder / f"{name}-{seed}"
                rows = prompts(PROMPTS, seed=seed, blind=blind)
                run = train(base, where, rows, 20, seed, best_of_n(train_as))
                told = {"reward": round(mean_reward(in_full(base, run, where / "whole")), 4), "steps": run.steps}
                told |= {"rows": run.told["drawn"]["drawn_rows"], "seconds": round(time.monotonic() - began, 1)}
                found["best_of_n"].setdefault(name, {})[str(seed)] = told
                print(name, seed, told, flush=True)
            for name, coin in (("planted", False), ("coin", True)):
                run = train(
                    base, folder / f"{name}-{seed}", preferences(320, seed=seed, coin=coin), REWARD_STEPS, seed, REWARD
                )
                report = run.told["reward"]
                of = report["accuracy"]
                told = {key: round(of[key], 4) for key in ("accuracy", "lower", "upper", "n")}
                told |= {"calibration_error": round(report["calibration"]["error"], 4)}
                told |= {"temperature": round(report["temperature"], 3), "drives": of["lower"] >= report["floor"]}
                found["reward_model"].setdefault(name, {})[str(seed)] = told
                print(name, seed, told, flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main([int(seed) for seed in sys.argv[1:]] or [0, 1, 2, 3, 4])
