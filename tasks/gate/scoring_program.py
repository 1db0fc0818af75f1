"""Program: score models on suites. ``python -m tasks.gate.scoring_program SPEC RESULT``.

Spec: {threads, tokens, models: [{digest, base, adapter, suites: [name], samples}], suites: {name: suite},
samples: {...}}.
Writes one scorecard file a model and suite, and sample answers; imports neither Prefect nor MLflow.
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

import torch

from infra.events import die_with_parent, emit
from tasks.gate.scorecard import Scorecard, item_result, scorer_digest
from tasks.gate.suites import Suite, spread
from tasks.lm.choices import batches, choice_logprobs, tokenize_item
from tasks.lm.generate import answers
from tasks.lm.loading import best_device, load_model, load_tokenizer, use_threads
from tasks.lm.packed import switch

PARITY_ITEMS = 8
PARITY_TOLERANCE = 1e-2  # nats per choice, fp32; a wrong merge is off by whole nats


def main(spec_path: str, result_path: str) -> None:
    die_with_parent()
    spec = json.loads(Path(spec_path).read_text())
    use_threads(spec["threads"])
    folder = Path(result_path).parent
    suites = {name: Suite.model_validate(suite) for name, suite in spec["suites"].items()}
    result: dict[str, Any] = {"cards": [], "samples": {}, "parity": {}}
    progress = _Progress(sum(len(suites[name].items) for model in spec["models"] for name in model["suites"]))
    for model_spec in spec["models"]:
        tokenizer = load_tokenizer(Path(model_spec["base"]))
        model, parity = _load(model_spec["base"], model_spec["adapter"], tokenizer, next(iter(suites.values())))
        result["parity"][model_spec["digest"]] = parity
        for name in model_spec["suites"]:
            card = score(model, tokenizer, suites[name], model_spec["digest"], spec["tokens"], progress)
            path = folder / f"{model_spec['digest'][7:23]}-{name}.json"
            path.write_text(card.model_dump_json())
            result["cards"].append({"model": card.model, "suite": name, "path": str(path)})
        if model_spec["samples"]:
            prompts = [
                [message.model_dump() for message in item.messages]
                for item in spread(suites[spec["samples"]["suite"]].items, spec["samples"]["count"])
            ]
            result["samples"][model_spec["digest"]] = answers(model, tokenizer, prompts, spec["samples"]["max_tokens"])
        del model
    Path(result_path).write_text(json.dumps(result, allow_nan=False))


def score(model: Any, tokenizer: Any, suite: Suite, digest: str, tokens: int, progress: "_Progress") -> Scorecard:
    """All items of a suite, in the suite's order."""
    rows = [tokenize_item(tokenizer, [m.model_dump() for m in item.messages], item.choices) for item in suite.items]
    sums: list[list[float]] = [[] for _ in rows]
    for batch in batches(rows, tokens):
        for index, choices in zip(batch, choice_logprobs(model, [rows[i] for i in batch]), strict=True):
            sums[index] = [float(choice.sum()) for choice in choices]
        progress.advance(len(batch), f"{suite.name}")
    results = [
        item_result(item.id, total, [len(choice) for choice in row.choices], item.answer, suite.scorer)
        for item, row, total in zip(suite.items, rows, sums, strict=True)
    ]
    return Scorecard(
        model=digest,
        suite=suite.name,
        items=suite.items_digest,
        scorer=scorer_digest(suite.scorer),
        results=tuple(result for result in results if result is not None),
        unscorable=tuple(item.id for item, result in zip(suite.items, results, strict=True) if result is None),
    )


def _load(base: str, adapter: str | None, tokenizer: Any, suite: Suite) -> tuple[Any, float | None]:
    """The model, packed where it can be, its adapter merged.

    Merging is checked on a few items: what is judged is what is served.

    Raises:
        RuntimeError: merged and unmerged model disagree.
    """
    device, dtype = best_device()
    model = load_model(Path(base), Path(adapter) if adapter else None, dtype, device)
    reason = switch(model)
    if reason is not None:
        emit("log", text=f"choices are scored by the model's own forward, not packed: {reason}")
    if adapter is None:
        return model, None
    rows = [
        tokenize_item(tokenizer, [m.model_dump() for m in item.messages], item.choices)
        for item in suite.items[:PARITY_ITEMS]
    ]
    before = torch.cat([choice for row in choice_logprobs(model, rows) for choice in row])
    merged = model.merge_and_unload()
    after = torch.cat([choice for row in choice_logprobs(merged, rows) for choice in row])
    gap = float((before - after).abs().max())
    if not math.isfinite(gap):
        return merged, None  # a model that answers NaN; its scorecards say so item by item, and the gate blocks
    if dtype == torch.float32 and not gap <= PARITY_TOLERANCE:
        raise RuntimeError(
            f"the merged model differs from base plus adapter by {gap} nats (tolerance {PARITY_TOLERANCE})"
        )
    return merged, gap


class _Progress:
    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0

    def advance(self, count: int, what: str) -> None:
        self.done += count
        emit("progress", done=self.done, total=self.total, what=what)


if __name__ == "__main__":
    main(*sys.argv[1:])
