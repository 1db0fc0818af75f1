"""Program: one question to several models, one after another. ``python -m tasks.lm.ask_program SPEC RESULT``.

Spec: question, max_tokens, dtype, threads (or null), and models, each with base, adapter (or null) and quantise (or
null). Each answers as it serves, greedily. Result: an answer a model, in their order.
"""

import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch

from infra.events import die_with_parent, emit
from tasks.errors import ModelError
from tasks.lm.generate import generate, prompt_ids
from tasks.lm.loading import best_device, use_threads
from tasks.lm.raw import longest_of
from tasks.lm.results import write_result
from tasks.lm.served import Served, load_as_served


def main(spec_path: str, result_path: str) -> None:
    die_with_parent()
    spec = json.loads(Path(spec_path).read_text())
    use_threads(spec["threads"])
    write_result(result_path, partial(_ask, spec))


def _ask(spec: dict[str, Any]) -> dict[str, Any]:
    answers = []
    device, _ = best_device()
    for one in spec["models"]:
        emit("log", text=f"asking {one['title']}")
        adapter = Path(one["adapter"]) if one["adapter"] else None
        served = load_as_served(Path(one["base"]), adapter, getattr(torch, spec["dtype"]), device, one["quantise"])
        answers.append(answer(served, spec["question"], spec["max_tokens"]))
        del served  # one model at a time is held
    return {"answers": answers}


def answer(served: Served, question: str, max_tokens: int) -> dict[str, Any]:
    """A greedy answer: its text, its tokens, the seconds from question to last token, and whether it was cut off.

    Raises:
        ModelError: question and answer together are longer than the model takes.
    """
    model, tokenizer, _ = served
    prompt = prompt_ids(tokenizer, [{"role": "user", "content": question}])
    longest = longest_of(model.config, tokenizer)
    if len(prompt) + max_tokens > longest:
        raise ModelError(
            f"the question has {len(prompt)} tokens, an answer may have {max_tokens}, and the model takes {longest}",
            do="ask a shorter question, or lower --max-tokens",
        )
    generate(model, tokenizer, [prompt], 1)  # what only a first call pays is no model's latency
    begun = time.perf_counter()
    tokens = generate(model, tokenizer, [prompt], max_tokens)[0][0]
    seconds = time.perf_counter() - begun
    text = tokenizer.decode(tokens, skip_special_tokens=True).strip()
    return {"text": text, "tokens": tokens, "seconds": seconds, "cut": len(tokens) == max_tokens}


if __name__ == "__main__":
    main(*sys.argv[1:])
